"""The wire: any chain cut in two and joined over a byte stream.

The protocol does no I/O: `session` turns bytes into events, by `frames`, `channels`, `incoming` and their like; `codec`
is the form of requests and replies. `connection` runs it on trio, with the `driver` and its `reader` and `writer`.
`incoming_calls` and `outgoing_calls` are the calls of a session, and `stream_endpoint`, `remote_streams` and `pump` the
byte streams that go with their messages. `docs/wire.md` describes the format.
"""
