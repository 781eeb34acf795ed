"""The byte streams that carry a session (TCP, TLS, unix sockets, ssh), and the docker pair's HTTP as well.

`address` says which there are, `dialling` opens one, `listening` waits for them. A session needs nothing of a stream
but its bytes, and knows none of these.
"""
