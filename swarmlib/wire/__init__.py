"""The wire: any chain cut in two and joined over a byte stream (design, section 10).

`codec` is the form of requests and replies, `frames` what goes over the stream, `session` the protocol (bytes in,
events out; no I/O), `connection` what drives it on trio. The format is written down in `docs/wire.md`.
"""
