"""The byte stream of a workload. Without a terminal, stdout and stderr come in frames: a head of 8 bytes (stream,
length) and a payload. With a terminal, they are one unframed stream.

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
"""By number, as Docker's own clients treat them: 0 would be stdin, 3 is messages of the engine itself."""
MAX_LINE: Final = 16 * 1024 * 1024
"""The most bytes that are kept of a line that has not ended."""
_HEAD: Final = struct.Struct(">B3xL")


def framed(stream: int, data: bytes) -> bytes:
    """Encode one frame; `stream` is 1 for stdout, 2 for stderr."""
    return _HEAD.pack(stream, len(data)) + data


class Demultiplexer:
    """Decodes frames in pieces of any size, and returns their payloads as they come; holds back one head at most."""

    def __init__(self, *, tty: bool = False) -> None:
        self._tty = tty
        self._stream = 0
        self._left = 0
        self._head = b""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Decode the next bytes of the stream into pieces, each with the name of its stream.

        Raises:
            trio.BrokenResourceError: the bytes are not frames.
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
        """Take the end of the stream.

        Raises:
            trio.BrokenResourceError: the stream ends inside a frame.
        """
        if self._left or self._head:
            raise trio.BrokenResourceError("the stream ended inside a frame")


def _head(data: bytes, at: int) -> tuple[int, int]:
    stream, length = _HEAD.unpack_from(data, at)
    if stream >= len(STREAMS) or any(data[at + 1 : at + 4]):
        raise trio.BrokenResourceError(f"no frame of a workload's output begins with {data[at : at + _HEAD.size]!r}")
    return stream, length


async def lines(source: trio.abc.ReceiveStream, *, tty: bool) -> AsyncGenerator[Line]:
    """Yield the lines of a workload's stream; a line of over `MAX_LINE` bytes comes in several pieces.

    Raises what `source` does, and `trio.BrokenResourceError` if the stream is not made of frames, or ends inside one.
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
    """Return the lines that end in `piece`. The first may have begun in `begun`, which then keeps the unended rest."""
    *whole, rest = piece.split(b"\n")
    if whole or len(begun) > MAX_LINE:
        whole = [bytes(begun) + whole[0], *whole[1:]] if whole else [bytes(begun)]
        begun.clear()
    begun += rest
    return whole
