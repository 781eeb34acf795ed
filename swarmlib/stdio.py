"""The byte stream of a workload: without a terminal, its stdout and stderr come in frames of 8 bytes of head (stream,
length) and a payload; with one, they are one stream, as it is.

Source: the Engine API's ContainerAttach, "Stream format".
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Final

import trio

from .objects import Line

STREAMS: Final = ("stdout", "stdout", "stderr", "stderr")
"""By number, as Docker's own clients take them: 0 would be stdin, 3 is what the engine itself has to say."""
MAX_LINE: Final = 16 * 1024 * 1024
"""Bytes that are kept of a line that has not ended."""
_HEAD: Final = struct.Struct(">B3xL")


def framed(stream: int, data: bytes) -> bytes:
    """One frame; `stream` is 1 for stdout, 2 for stderr."""
    return _HEAD.pack(stream, len(data)) + data


class Demultiplexer:
    """Takes frames, in pieces of any size, and gives what is in them as it comes; holds at most one head back."""

    def __init__(self, *, tty: bool = False) -> None:
        self._tty = tty
        self._stream = 0
        self._left = 0
        self._head = b""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """What the next bytes of the stream hold, each piece with the name of its stream.

        Raises:
            trio.BrokenResourceError: they are no frames.
        """
        if self._tty:
            return [("stdout", data)]
        pieces: list[tuple[str, bytes]] = []
        data, at = self._head + data, 0
        while self._left or len(data) - at >= _HEAD.size:
            if self._left:
                piece = data[at : at + self._left]
                if not piece:
                    break
                pieces.append((STREAMS[self._stream], piece))
                self._left -= len(piece)
                at += len(piece)
            else:
                self._stream, self._left = _head(data, at)
                at += _HEAD.size
        self._head = data[at:]
        return pieces

    def end(self) -> None:
        """Take the stream's end.

        Raises:
            trio.BrokenResourceError: it is inside a frame.
        """
        if self._left or self._head:
            raise trio.BrokenResourceError("the stream ended inside a frame")


def _head(data: bytes, at: int) -> tuple[int, int]:
    stream, length = _HEAD.unpack_from(data, at)
    if stream >= len(STREAMS) or any(data[at + 1 : at + 4]):
        raise trio.BrokenResourceError(f"no frame of a workload's output begins with {data[at : at + _HEAD.size]!r}")
    return stream, length


async def lines(source: trio.abc.ReceiveStream, *, tty: bool) -> AsyncGenerator[Line]:
    """The lines of a workload's stream; one of over `MAX_LINE` bytes comes in several.

    Raises what `source` does, and `trio.BrokenResourceError` when what comes is no frame, or ends inside one.
    """
    frames = Demultiplexer(tty=tty)
    begun: defaultdict[str, bytearray] = defaultdict(bytearray)
    async for data in source:
        for name, piece in frames.feed(bytes(data)):
            for line in _ended(begun[name], piece):
                yield Line(name, line.removesuffix(b"\r") if tty else line)
    frames.end()
    for name, rest in begun.items():
        if rest:
            yield Line(name, bytes(rest))


def _ended(begun: bytearray, piece: bytes) -> list[bytes]:
    """The lines that end in a piece, the first of which had begun before; what begins in it is kept there."""
    *whole, rest = piece.split(b"\n")
    if whole or len(begun) > MAX_LINE:
        whole = [bytes(begun) + whole[0], *whole[1:]] if whole else [bytes(begun)]
        begun.clear()
    begun += rest
    return whole
