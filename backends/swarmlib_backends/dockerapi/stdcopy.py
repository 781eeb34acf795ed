"""The multiplexed stream of a container without a TTY: frames of 8 bytes of head (stream, length) and a payload.

Source: the Engine API's ContainerAttach, "Stream format".
"""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator
from typing import Final

import trio

STREAMS: Final = {0: "stdin", 1: "stdout", 2: "stderr"}
_HEAD: Final = struct.Struct(">BxxxL")


def framed(stream: int, data: bytes) -> bytes:
    """One frame."""
    return _HEAD.pack(stream, len(data)) + data


async def lines(source: trio.abc.ReceiveStream, *, tty: bool) -> AsyncGenerator[tuple[str, bytes]]:
    """The lines of a stream, each with the name of the stream that it came on, without their ends.

    Raises what `source` does, and `trio.BrokenResourceError` when it ends inside a frame.
    """
    partial = dict.fromkeys(STREAMS.values(), b"")
    async for name, data in _pieces(source, tty=tty):
        *whole, partial[name] = (partial[name] + data).split(b"\n")
        for line in whole:
            yield name, line.removesuffix(b"\r") if tty else line
    for name, rest in partial.items():
        if rest:
            yield name, rest


async def _pieces(source: trio.abc.ReceiveStream, *, tty: bool) -> AsyncGenerator[tuple[str, bytes]]:
    buffer = b""
    async for data in source:
        if tty:
            yield "stdout", bytes(data)
            continue
        buffer += data
        while len(buffer) >= _HEAD.size:
            stream, length = _HEAD.unpack_from(buffer)
            end = _HEAD.size + length
            if len(buffer) < end:
                break
            yield STREAMS.get(stream, "stderr"), buffer[_HEAD.size : end]
            buffer = buffer[end:]
    if buffer:
        raise trio.BrokenResourceError("the stream ended inside a frame")
