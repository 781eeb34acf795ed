"""The bytes of a stream as they were before somebody compressed them: by gzip, bzip2 or xz, or not at all."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Final, Protocol

import trio

from swarmlib import Invalid

_PIECE: Final = 64 * 1024
_LONGEST_MAGIC: Final = 6
_MOST_MEMORY: Final = 128 << 20
"""Bytes that xz may take: a compressed stream says itself how much it needs."""


class _Reader(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class _Gzip:
    """A reader of gzip that keeps what it has not read yet, as those of the other kinds do."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


_KINDS: Final[tuple[tuple[bytes, Callable[[], _Reader]], ...]] = (
    (b"\x1f\x8b\x08", _Gzip),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lambda: lzma.LZMADecompressor(memlimit=_MOST_MEMORY)),
)
"""What compressed streams begin with, and their readers."""


class Unpacked:
    """Reads a stream. Compressed ones may follow one another, as gzip allows."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._make: Callable[[], _Reader] | None = None
        self._reader: _Reader | None = None
        self._early = b""
        self._begun = False

    async def some(self) -> bytes:
        """Return the next bytes; b"" at the end.

        Raises:
            Invalid: what is compressed is broken, or ends too early.
        """
        if not self._begun:
            await self._begin()
        if self._make is None:
            return await self._receive()
        while True:
            if self._reader is None and not await self._another(self._make):
                return b""
            if found := await self._read():
                return found

    async def _begin(self) -> None:
        self._begun = True
        while len(self._early) < _LONGEST_MAGIC and (more := await self._stream.receive_some(_PIECE)):
            self._early += more
        self._make = next((make for magic, make in _KINDS if self._early.startswith(magic)), None)

    async def _receive(self) -> bytes:
        early, self._early = self._early, b""
        return early or bytes(await self._stream.receive_some(_PIECE))

    async def _another(self, make: Callable[[], _Reader]) -> bool:
        """Begin with what follows; return whether there is more. Zeros may fill up the end."""
        while data := await self._receive():
            self._early = data.lstrip(b"\0")
            if self._early:
                self._reader = make()
                return True
        return False

    async def _read(self) -> bytes:
        reader = self._reader
        assert reader is not None
        try:
            found = reader.decompress(b"", _PIECE)  # what it has kept
            if not found and not reader.eof:
                data = await self._receive()
                found = reader.decompress(data, _PIECE)
                if not data and not reader.eof:
                    raise Invalid("unexpected EOF")
        except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError) as exc:
            raise Invalid(str(exc)) from exc
        if reader.eof:
            self._early, self._reader = reader.unused_data, None
        return found
