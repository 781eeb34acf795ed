"""Tars that pass through: each entry is read strictly, and written anew.

So whoever reads the result finds the entries that were seen here, whatever the tar's own headers would have made other
readers believe.
"""

from __future__ import annotations

import copy
import tarfile
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import trio

from swarmlib import Invalid, SwarmError, TooLarge

from .dockerapi.status import refusal
from .unpacked import Unpacked

_BLOCK: Final = tarfile.BLOCKSIZE
_LONGEST_HEADER: Final = 1 << 20
"""Bytes of an extended header, at most, as in Go."""
_END: Final = bytes(2 * _BLOCK)
_FILES: Final = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE})
_OTHERS: Final = frozenset(
    {tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE}
)
_LONG: Final[Mapping[bytes, str]] = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
_ATTRIBUTE: Final = "SCHILY.xattr."
"""What the name of a file's extended attribute begins with in an extended header."""
_SPARSE: Final = "GNU.sparse."


class Tar:
    """The entries of a tar, compressed or not, in their order. What is not read of one is skipped."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = Unpacked(stream)
        self._early = b""
        self._left = 0
        """The bytes of the entry that were not read yet."""
        self._padding = 0
        self.watch: Callable[[bytes], object] | None = None
        """Called with each piece of the content of this entry."""

    async def next(self) -> tarfile.TarInfo | None:
        """Return the next entry; None at the end, when all of the stream has been read.

        Raises:
            SwarmError: it is no tar, or holds what readers disagree on; the engine's error.
        """
        await self.skip()
        self.watch = None
        extended: dict[str, str] = {}
        while (found := await self._header()) is not None:
            if found.type == tarfile.XGLTYPE:  # engines ignore it
                await self._extension(found)
            elif found.type == tarfile.XHDTYPE:
                extended |= _records(await self._extension(found))
            elif found.type in _LONG:
                text = (await self._extension(found)).partition(b"\0")[0]
                extended[_LONG[found.type]] = text.decode(errors="surrogateescape")
            else:
                made = _entry(found, extended)
                self._left, self._padding = made.size, -made.size % _BLOCK
                return made
        if extended:
            raise wrong("unexpected EOF")
        while await self._some(_BLOCK):
            pass
        return None

    async def piece(self) -> bytes:
        """Return the next bytes of the entry, with zeros up to a whole block at its end; b"" after that."""
        if self._left:
            found = await self._some(self._left)
            if not found:
                raise wrong("unexpected EOF")
            self._left -= len(found)
            if self.watch is not None:
                self.watch(found)
            return found
        if self._padding:
            await self._exactly(self._padding)
            found, self._padding = bytes(self._padding), 0
            return found
        return b""

    async def content(self, most: int) -> bytes:
        """Return all bytes of the entry.

        Raises:
            TooLarge: they are over `most`.
        """
        if self._left > most:
            raise TooLarge(f"a file that the engine would read has {self._left} bytes: the maximum is {most}")
        found = await self._exactly(self._left)
        self._left = 0
        return found

    async def skip(self) -> None:
        """Read what is left of the entry."""
        while await self.piece():
            pass

    async def _header(self) -> tarfile.TarInfo | None:
        block = await self._some(_BLOCK)
        if not block:
            return None
        block += await self._exactly(_BLOCK - len(block))
        if not block.strip(b"\0"):
            return None
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as exc:
            raise wrong("archive/tar: invalid tar header") from exc

    async def _extension(self, info: tarfile.TarInfo) -> bytes:
        if not 0 <= info.size <= _LONGEST_HEADER:
            raise wrong("archive/tar: invalid tar header")
        content = await self._exactly(info.size)
        await self._exactly(-info.size % _BLOCK)
        return content

    async def _some(self, most: int) -> bytes:
        if not self._early:
            try:
                self._early = await self._stream.some()
            except Invalid as exc:
                raise wrong(exc.message) from exc
        found, self._early = self._early[:most], self._early[most:]
        return found

    async def _exactly(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            more = await self._some(count - len(found))
            if not more:
                raise wrong("unexpected EOF")
            found += more
        return bytes(found)


def wrong(problem: str) -> SwarmError:
    """Return an engine's error about a tar that can't be unpacked."""
    return refusal(500, f"Error processing tar file(exit status 1): {problem}")


def _records(data: bytes) -> dict[str, str]:
    """Return the records of an extended header: `LENGTH NAME=VALUE\\n` each."""
    found: dict[str, str] = {}
    while data:
        length, space, _ = data[:20].partition(b" ")
        end = int(length) if length.isdigit() else 0
        record = data[len(length) + 1 : end]
        name, equals, value = record[:-1].decode(errors="surrogateescape").partition("=")
        if not (space and equals and record.endswith(b"\n") and end <= len(data)) or name.startswith(_SPARSE):
            raise wrong("archive/tar: invalid tar header")
        found[name] = value
        data = data[end:]
    return found


def _entry(info: tarfile.TarInfo, extended: Mapping[str, str]) -> tarfile.TarInfo:
    """Return an entry as it is written: of what its headers say, only what an engine unpacks."""
    if info.type not in _FILES | _OTHERS:
        raise wrong("archive/tar: invalid tar header")
    made = tarfile.TarInfo(extended.get("path", info.name))
    made.type = tarfile.REGTYPE if info.type in _FILES else info.type
    made.linkname = extended.get("linkpath", info.linkname) if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    made.mode = info.mode & 0o7777
    made.devmajor, made.devminor = info.devmajor, info.devminor
    made.uid, made.gid = _number(extended, "uid", info.uid), _number(extended, "gid", info.gid)
    made.mtime = _number(extended, "mtime", info.mtime)
    made.size = _number(extended, "size", info.size) if info.type in _FILES else 0
    made.pax_headers = {name: value for name, value in extended.items() if name.startswith(_ATTRIBUTE)}
    if made.size < 0 or "\0" in made.name + made.linkname:
        raise wrong("archive/tar: invalid tar header")
    if info.type in _FILES and made.name.endswith("/"):
        raise wrong("archive/tar: invalid tar header")
    return made


def _number(extended: Mapping[str, str], name: str, otherwise: float) -> int:
    text = extended.get(name, "")
    try:
        return int(text.partition(".")[0]) if text else int(otherwise)
    except (ValueError, OverflowError) as exc:
        raise wrong("archive/tar: invalid tar header") from exc


def header(info: tarfile.TarInfo) -> bytes:
    """Return the bytes before an entry's content.

    Raises:
        SwarmError: a number in it is too large.
    """
    try:
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    except ValueError as exc:
        raise wrong("archive/tar: invalid tar header") from exc


def with_content(info: tarfile.TarInfo, content: bytes) -> bytes:
    """Return a whole entry, with another content."""
    made = copy.copy(info)
    made.size = len(content)
    return header(made) + content + bytes(-len(content) % _BLOCK)


Change: TypeAlias = Callable[[Tar, tarfile.TarInfo], Awaitable[bytes | None]]
"""Takes a tar at one of its entries, and the entry; returns what replaces it, or None if it stays."""


class Rewritten(trio.abc.ReceiveStream):
    """A tar whose entries were changed, as a stream; never compressed.

    source: the tar. change: changes each entry. last: returns what is appended after all entries.

    An error in the tar, or of those who change it, breaks the stream off; it is kept in `failure`.
    """

    def __init__(
        self, source: trio.abc.ReceiveStream, change: Change, last: Callable[[], Awaitable[bytes]] | None = None
    ) -> None:
        self._source = source
        self._tar = Tar(source)
        self._change = change
        self._last = last
        self._ready = b""
        self._ended = False
        self.failure: SwarmError | None = None

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream`."""
        while not self._ready and not self._ended:
            try:
                self._ready = await self._tar.piece() or await self._next()
            except SwarmError as exc:
                self.failure = exc
            if self.failure is not None:
                raise trio.BrokenResourceError(self.failure.message) from self.failure
        found = self._ready[:max_bytes]
        self._ready = self._ready[len(found) :]
        return found

    async def _next(self) -> bytes:
        info = await self._tar.next()
        if info is None:
            self._ended = True
            return (await self._last() if self._last is not None else b"") + _END
        made = await self._change(self._tar, info)
        if made is None:
            return header(info)
        await self._tar.skip()
        return made

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()
