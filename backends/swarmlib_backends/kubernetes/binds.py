"""Folders and files of this machine that are copied into a Pod, in the places where an engine would mount them.

An init container waits for the copies: so they are there before the container begins, and also when the cluster
restarts it.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from swarmlib import BadAnswer, SwarmError, TooLarge
from swarmlib.quantities import shown_bytes

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal
from .cluster import Cluster
from .container import Pod, PodContainer
from .pods import binds
from .pods.record import Record
from .pods.volume import Volume
from .pods.volumes import volumes
from .streams.remote import RemoteCommand
from .uploading import upload

_PIECE: Final = 256 * 1024
_BLOCK: Final = tarfile.BLOCKSIZE
_END: Final = bytes(2 * _BLOCK)
_KINDS: Final = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)


def wait(pod: Pod) -> bool:
    """Return whether a Pod waits for its copies."""
    statuses = list_of(dict_of(pod.get("status")).get("initContainerStatuses"))
    return any(each["name"] == binds.WAITS and "running" in dict_of(each.get("state")) for each in statuses)


@dataclass(frozen=True)
class Binds:
    """Copies what containers bind. limit: the most bytes of one bind in a tar, in which each file has a head of 512."""

    cluster: Cluster
    limit: int

    async def check(self, record: Record) -> None:
        """Raise `SwarmError` if something that a container binds can't be copied."""
        for volume in self._copied(record):
            await trio.to_thread.run_sync(self._check, volume)

    def _check(self, volume: Volume) -> None:
        for _ in _entries(volume, self.limit):
            pass

    def _copied(self, record: Record) -> list[Volume]:
        return [each for each in volumes(record, self.cluster.options) if each.bind]

    async def copy(self, container: PodContainer) -> None:
        """Copy what a container binds into its Pod, which waits for that.

        Raises:
            SwarmError: it can't be copied, or the cluster's error.
        """
        command = RemoteCommand("exec", binds.WAITS, binds.UNPACK, stdin=True)
        code, errors = await upload(self.cluster, container, command, self._tar(container.record))
        if code != 0:
            said = errors.decode("utf-8", "replace").strip() or "the Pod has ended"
            raise BadAnswer(f"the binds of {container.name} were not copied: {said}")

    async def _tar(self, record: Record) -> AsyncGenerator[bytes]:
        for volume in self._copied(record):
            pieces = _packed(volume, self.limit)
            while piece := await trio.to_thread.run_sync(partial(next, pieces, b"")):
                yield piece
        yield _END


def _packed(volume: Volume, limit: int) -> Iterator[bytes]:
    """Yield the part of a tar that is a bind. Raises `SwarmError`."""
    for path, entry in _entries(volume, limit):
        yield entry.tobuf(tarfile.GNU_FORMAT)
        if entry.isreg():
            yield from _content(path, entry.size)


def _content(path: str, size: int) -> Iterator[bytes]:
    """Yield the bytes of a file, as many as its entry says, and what fills the last block."""
    left = size
    try:
        with open(path, "rb") as file:
            while left and (piece := file.read(min(left, _PIECE))):
                left -= len(piece)
                yield piece
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    if left:
        raise refusal(500, f"the file {path} became shorter while it was copied")
    if size % _BLOCK:
        yield bytes(_BLOCK - size % _BLOCK)


def _entries(volume: Volume, limit: int) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Yield what a bind has, each with its entry in a tar: folders before what is in them.

    Raises:
        TooLarge: it has more bytes than `limit`. SwarmError: something can't be read, or is no file, folder or link.
    """
    root, left = os.path.realpath(volume.bind), limit
    if not os.path.exists(root):
        text = f'invalid mount config for type "bind": bind source path does not exist: {volume.bind}'
        raise refusal(400, f"{text} on the machine of the gateway")
    with tarfile.TarFile(os.devnull, "w") as tar:
        for path in _paths(root):
            inside = os.path.relpath(path, root)
            name = binds.place(volume) if inside == "." else f"{binds.place(volume)}/{inside}"
            entry = _entry(tar, path, name, volume.bind)
            left -= _BLOCK + entry.size
            if left < 0:
                raise TooLarge(f"the bind {volume.bind} has more than {shown_bytes(limit)}, the limit of --binds-size")
            yield path, entry


def _entry(tar: tarfile.TarFile, path: str, name: str, bind: str) -> tarfile.TarInfo:
    try:
        kind = os.lstat(path).st_mode
        if any(fits(kind) for fits in _KINDS):
            return tar.gettarinfo(path, name)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    what = "a socket" if stat.S_ISSOCK(kind) else "no file, folder or link"
    raise refusal(400, f"the bind {bind} can't be copied: {path} is {what}")


def _paths(root: str) -> Iterator[str]:
    yield root
    if os.path.isdir(root):
        for folder, folders, files in os.walk(root, onerror=_raise):
            yield from (os.path.join(folder, name) for name in sorted([*folders, *files]))


def _raise(error: OSError) -> None:
    raise _unreadable(str(error.filename), error) from error


def _unreadable(path: str, error: OSError) -> SwarmError:
    return refusal(500, f"can't read {path}: {error.strerror}")
