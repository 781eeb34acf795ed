"""Placement of new containers: what a container asks of a node, which nodes are ruled out, and which one is chosen."""
