"""HTTP/1.1 over byte streams: the messages that arrive (`incoming`), their heads, and what is written (`outgoing`)."""
