"""Containers that are services of one replica, so that the swarm runs them elsewhere when their node dies.

A container with the label swarmlib.swarm=service is one. All that is known of it is in the swarm: the service's labels
hold the body of the container's creation, and its tasks say how it is.
"""
