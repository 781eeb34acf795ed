"""Where new containers go: what a request for a container asks of a node, what rules nodes out, and which one it is."""
