"""A file system in memory: an image's files, and what a container changed of them. Tar goes in and comes out."""

from __future__ import annotations

import bz2
import errno
import io
import lzma
import posixpath
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from swarmlib import TooLarge

from ..dockerapi.status import refusal
from ..dockerapi.values import stamp

ADDED: Final = 1
CHANGED: Final = 0
DELETED: Final = 2
_UNKNOWN: Final[Any] = object()
_GO_FOLDER: Final = 1 << 31
_GO_LINK: Final = 1 << 27
"""The bits of Go's `os.FileMode`."""
_MOST: Final = 256 * 1024 * 1024
"""Plain bytes, at most: they are kept in memory."""
_MOST_STREAMS: Final = 64
_KINDS: Final[tuple[tuple[bytes, Callable[[], Any]], ...]] = (
    (b"\x1f\x8b\x08", lambda: zlib.decompressobj(wbits=31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", lzma.LZMADecompressor),
)
"""How gzip, bzip2 and xz begin, and what reads them."""


@dataclass(frozen=True, slots=True)
class Node:
    """A file, folder or link. `mode` has the type in it, as `stat` says it; `changed` is in seconds since the epoch."""

    mode: int
    data: bytes = b""
    link: str = ""
    changed: float = 0.0
    owner: tuple[int, int] = (0, 0)
    """The numbers of its user and its group."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)


def folder(changed: float = 0.0, mode: int = 0o755) -> Node:
    """Return a folder."""
    return Node(stat.S_IFDIR | mode, changed=changed)


def file(data: bytes, changed: float = 0.0, mode: int = 0o644) -> Node:
    """Return a plain file."""
    return Node(stat.S_IFREG | mode, data, changed=changed)


class Files:
    """Paths are absolute and normal. `base` belongs to the image, and is never changed. What is below a mounted path is
    another file system's: a volume's, or a folder of the host's.
    """

    def __init__(self, base: Mapping[str, Node]) -> None:
        self._base = base
        self._own: dict[str, Node | None] = {}
        self._mounted: dict[str, Mounted] = {}

    def mount(self, path: str, mounted: Mounted) -> None:
        """Mount another file system at a path; where there is nothing yet, an empty folder is made for it."""
        if self.get(path) is None:
            self.put(path, folder())
        self._mounted[path] = mounted

    def seen_inside(self) -> Files:
        """Return the same as processes see it, with /dev/null, of which archives and changes know nothing."""
        seen = Files(self._base)
        seen._own, seen._mounted = self._own, {**self._mounted, "/dev/null": Mounted(_NULL, "/null")}
        return seen

    def _at(self, path: str) -> tuple[Mounted, str] | None:
        """Return what is mounted at a path or above it, and the path in there."""
        above = path
        while above.strip("/"):
            if (mounted := self._mounted.get(above)) is not None:
                inside = posixpath.join(mounted.root, posixpath.relpath(path, above))
                return mounted, posixpath.normpath(inside)
            above = posixpath.dirname(above)
        return None

    def get(self, path: str) -> Node | None:
        """Return what stands at a path, if something does."""
        if path == "/":
            return _ROOT
        if (there := self._at(path)) is not None:
            return there[0].files.get(there[1])
        found = self._own.get(path, _UNKNOWN)
        return self._base.get(path) if found is _UNKNOWN else found

    def put(self, path: str, node: Node) -> None:
        """Put something at a path, and the folders above it. Raises OSError where it is mounted read-only."""
        if (there := self._at(path)) is not None:
            there[0].check_writable(path)
            there[0].files.put(there[1], node)
            return
        above = posixpath.dirname(path)
        if above.strip("/") and self.get(above) is None:
            self.put(above, folder(node.changed))
        self._own[path] = node

    def remove(self, path: str) -> None:
        """Remove what stands at a path, and below it. Raises OSError where it is mounted read-only."""
        if (there := self._at(path)) is not None:
            there[0].check_writable(path)
            there[0].files.remove(there[1])
            return
        for each in [*self._below(path), path]:
            if each in self._base:
                self._own[each] = None
            else:
                self._own.pop(each, None)

    def below(self, path: str) -> list[str]:
        """Return all paths below a folder, sorted, and those of what is mounted there."""
        if (there := self._at(path)) is not None:
            mounted, inside = there
            return [posixpath.join(path, posixpath.relpath(each, inside)) for each in mounted.files.below(inside)]
        prefix = path.rstrip("/") + "/"
        mounts = [each for each in self._mounted if each.startswith(prefix)]
        own = [each for each in self._below(path) if not any(each.startswith(f"{mount}/") for mount in mounts)]
        return sorted({*own, *mounts, *(each for mount in mounts for each in self.below(mount))})

    def _below(self, path: str) -> list[str]:
        prefix = path.rstrip("/") + "/"
        mine = {each for each, node in self._own.items() if node is not None}
        kept = {each for each in self._base if self._own.get(each, _UNKNOWN) is _UNKNOWN}
        return sorted(each for each in mine | kept if each.startswith(prefix) and each != prefix)

    def changes(self) -> list[dict[str, Any]]:
        """Return what differs from the image, as the API tells it."""
        own = sorted(self._own.items())
        told = {path: DELETED if node is None else CHANGED if path in self._base else ADDED for path, node in own}
        for path in list(told):
            while (path := posixpath.dirname(path)).strip("/"):
                told.setdefault(path, CHANGED)
        return [{"Path": path, "Kind": kind} for path, kind in sorted(told.items())]

    @property
    def size(self) -> int:
        """Bytes of what differs."""
        return sum(len(node.data) for node in self._own.values() if node is not None)

    def merged(self) -> dict[str, Node]:
        """Return all of it, as an image keeps it: without what is mounted."""
        return self.over(self._base)

    def over(self, base: Mapping[str, Node]) -> dict[str, Node]:
        """Return what differs laid over another base: an image's files without what a container adds."""
        kept = {path: node for path, node in base.items() if path not in self._own}
        return kept | {path: node for path, node in self._own.items() if node is not None}

    def stat(self, path: str) -> dict[str, Any] | None:
        """Return what a `HEAD` of an archive tells of a path; None if nothing stands there."""
        node = self.get(path)
        if node is None:
            return None
        mode = stat.S_IMODE(node.mode) | (_GO_FOLDER if node.is_folder else 0) | (_GO_LINK if node.link else 0)
        size = 4096 if node.is_folder else len(node.data)
        found = {"name": posixpath.basename(path) or "/", "size": size, "mode": mode, "mtime": stamp(node.changed)}
        return found | {"linkTarget": node.link}

    def pack(self, path: str) -> bytes:
        """Return a tar of what stands at a path, named from its last part on; of everything for `/`."""
        parent = posixpath.dirname(path)
        paths = self.below(path) if path == "/" else [path, *self.below(path)]
        return tar({posixpath.relpath(each, parent): node for each in paths if (node := self.get(each))})

    def unpack(self, path: str, data: bytes, *, now: float) -> None:
        """Put a tar's content into a folder.

        Raises:
            SwarmError: it is no tar. OSError: something of it belongs where it is read-only.
        """
        for name, node in untar(data, now):
            self.put(posixpath.normpath(posixpath.join(path, name)), node)


@dataclass(frozen=True, slots=True)
class Mounted:
    """A file system that is mounted in another one: from its folder `root` on."""

    files: Files
    root: str = "/"
    writable: bool = True

    def check_writable(self, path: str) -> None:
        """Raise OSError where it is mounted read-only."""
        if not self.writable:
            raise OSError(errno.EROFS, "Read-only file system", path)


class _Nothing(Files):
    """What keeps nothing that is put into it."""

    def put(self, path: str, node: Node) -> None:
        """Do nothing."""

    def remove(self, path: str) -> None:
        """Do nothing."""


_NULL: Final = _Nothing({"/null": Node(stat.S_IFCHR | 0o666)})
_ROOT: Final = folder()


def tar(nodes: Mapping[str, Node]) -> bytes:
    """Return a tar of nodes by their names in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, node in nodes.items():
            info = tarfile.TarInfo(name)
            info.mode, info.mtime, info.linkname = stat.S_IMODE(node.mode), int(node.changed), node.link
            info.type = tarfile.DIRTYPE if node.is_folder else tarfile.SYMTYPE if node.link else tarfile.REGTYPE
            info.size = len(node.data)
            info.uid, info.gid = node.owner
            archive.addfile(info, io.BytesIO(node.data))
    return buffer.getvalue()


def untar(data: bytes, now: float) -> Iterator[tuple[str, Node]]:
    """Yield the nodes of a tar, compressed or not, by their names in it, none of which leads out of it.

    Raises:
        SwarmError: it is no tar.
    """
    if not data.strip(b"\0"):
        return
    try:
        with tarfile.open(fileobj=io.BytesIO(plain(data)), mode="r:") as archive:
            for info in archive:
                name = posixpath.normpath("/" + info.name).lstrip("/") or "."
                yield name, _node(archive, info, now)
    except (tarfile.TarError, ValueError, OverflowError, KeyError) as exc:  # of headers that make no sense, too
        cut = len(data) < tarfile.BLOCKSIZE or any(words in str(exc) for words in ("truncated", "end of data"))
        problem = "unexpected EOF" if cut else "archive/tar: invalid tar header"
        raise refusal(500, f"Error processing tar file(exit status 1): {problem}") from exc


def _node(archive: tarfile.TarFile, info: tarfile.TarInfo, now: float) -> Node:
    changed, owner = float(info.mtime) or now, (info.uid, info.gid)
    if info.isdir():
        return replace(folder(changed, info.mode), owner=owner)
    if info.issym() or info.islnk():
        return Node(stat.S_IFLNK | 0o777, link=info.linkname, changed=changed, owner=owner)
    content = archive.extractfile(info)
    return replace(file(content.read() if content else b"", changed, info.mode), owner=owner)


def plain(data: bytes) -> bytes:
    """Return the bytes that were compressed; those that are not are given back as they are.

    Raises:
        SwarmError: they are broken. TooLarge: they are too many.
    """
    make = next((make for magic, make in _KINDS if data.startswith(magic)), None)
    if make is None:
        return data
    found = bytearray()
    try:
        for _ in range(_MOST_STREAMS):
            if not data.strip(b"\0"):
                return bytes(found)
            reader = make()
            found += reader.decompress(data, _MOST + 1 - len(found))
            if len(found) > _MOST:
                raise TooLarge(f"what is compressed is over {_MOST} bytes")
            if not reader.eof:
                raise refusal(500, "Error processing tar file(exit status 1): unexpected EOF")
            data = reader.unused_data
    except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError) as exc:
        raise refusal(500, f"Error processing tar file(exit status 1): {exc}") from exc
    raise TooLarge(f"over {_MOST_STREAMS} compressed streams stand after one another")
