"""The wire: any chain cut in two and joined over a byte stream.

The protocol does no I/O: `session` turns bytes into events, by `frames`, `channels`, `incoming` and their like; `codec`
is the form of requests and replies. What runs it on trio is `connection`, with the `driver` and its `reader`, `writer`
and `keepalive`, and the `endpoints` and `remote_streams` that are served. The format is written down in `docs/wire.md`.
"""
