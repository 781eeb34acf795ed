"""What the docker pair shares: the routing table, HTTP/1.1 framing, and streams."""
