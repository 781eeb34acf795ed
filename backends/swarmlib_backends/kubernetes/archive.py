"""The files of containers in a cluster: copied out and in as tars, by the tools in the Pod."""

from __future__ import annotations

import base64
import posixpath
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import trio

from swarmlib import BadAnswer, Internal, Invalid, Request, SwarmError, Unsupported

from ..dockerapi.operations import ContainerArchive, ContainerArchiveInfo, PutContainerArchive
from ..dockerapi.status import refusal
from ..enginekit.operations import answers, ref_of
from ..enginekit.stdio import stream_headers
from . import tools
from .attach import remote
from .cluster import Cluster
from .container import PodContainer
from .holding import held
from .lifecycle import Lifecycle
from .pods import names
from .pods.shim import BUSYBOX
from .pods.status import phase
from .streams.remote import RemoteCommand, RemoteProcess
from .uploading import upload

_MOST_ERRORS: Final = 4096
"""Bytes of a tar's complaints that are kept."""
_STAT: Final = f"""
export TZ=UTC
found=$({BUSYBOX} stat -c '%f %s %y' -- "$1" 2>/dev/null) || exit 4
echo "$found"
[ ! -L "$1" ] || {BUSYBOX} readlink -f -- "$1" || {BUSYBOX} readlink -- "$1"
"""
_PACK: Final = f'cd -- "$1" && exec {BUSYBOX} tar -cf - -- "$2"'
_UNPACK: Final = f"""
set -o pipefail
cd -- "$1" || exit
folder=$1
shift
{BUSYBOX} tar -xvvf - --numeric-owner "$@" | while read -r mode _ _ _ _ name; do
  case $mode in
    d?????????)
      [ -d "$name" ] || {{
        echo "cannot overwrite non-directory \\"$folder/${{name%/}}\\" with directory \\"$folder\\"" >&2
        exit 1
      }}
      ;;
  esac
done
code=$?
{BUSYBOX} cat >/dev/null
exit "$code"
"""
"""As `tars.UNPACK`, for a client's tar: this tar never replaces a folder by something else, and would leave alone what
is no folder where one should be.
"""
_NO_FOLDER: Final = re.compile(r"can't remove old file (.*): Is a directory")
_EXPORT: Final = f"""
deep=$({BUSYBOX} awk '$2 ~ "^/[^/]+/." && $2 !~ "^/(proc|sys|dev|[.]swarm)/" {{print $2}}' /proc/mounts)
for each in $deep; do
  [ ! -d "$each" ] || {{ echo "something is mounted at $each" >&2; exit 1; }}
done
cd /
set --
for each in * .[!.]*; do
  [ -e "$each" ] || [ -L "$each" ] || continue
  case $each in proc | sys | dev | .swarm) continue ;; esac
  {BUSYBOX} grep -qF " /$each " /proc/mounts || set -- "$@" "$each"
done
exec {BUSYBOX} tar -cf - -- "$@"
"""
_COMPRESSED: Final = {b"\x1f\x8b\x08": "-z", b"BZh": "-j", b"\xfd7zXZ\x00": "-J"}
"""The first bytes of tars that are compressed, and the option by which tar reads them."""
_MAGIC_BYTES: Final = max(map(len, _COMPRESSED))
_KINDS: Final = {0x4: 1 << 31, 0xA: 1 << 27, 0x6: 1 << 26, 0x2: 1 << 26 | 1 << 21, 0x1: 1 << 25, 0xC: 1 << 24}
"""The bits of Go's FileMode, by a file's type."""
_SPECIAL: Final = {0o4000: 1 << 23, 0o2000: 1 << 22, 0o1000: 1 << 20}


@dataclass(frozen=True)
class Archive:
    """Answers what is asked of the files in containers."""

    cluster: Cluster
    lifecycle: Lifecycle
    nursery: trio.Nursery

    @answers("ContainerArchiveInfo")
    async def _info(self, request: Request) -> None:
        path = ContainerArchiveInfo.of(request).path
        container = await self._reached(request)
        stat = await self._stat(container, request, path)
        await request.reply.ack(details={"headers": [*stream_headers(None), _stat_header(stat)]})

    @answers("ContainerArchive")
    async def _get(self, request: Request) -> None:
        path = ContainerArchive.of(request).path
        container = await self._reached(request)
        stat = await self._stat(container, request, path)
        folder, base = _split(path)
        stream = await self._sent(container, (BUSYBOX, "sh", "-c", _PACK, "sh", folder, base), "cp")
        self.lifecycle.events.tell_container(container, "archive-path")
        headers = [*stream_headers(b"application/x-tar"), _stat_header(stat)]
        await request.reply.ack(stream=stream, details={"headers": headers})

    @answers("ContainerExport")
    async def _export(self, request: Request) -> None:
        container = await self._reached(request)
        stream = await self._sent(container, (BUSYBOX, "sh", "-c", _EXPORT), "export")
        self.lifecycle.events.tell_container(container, "export")
        headers = stream_headers(b"application/octet-stream")
        await request.reply.ack(stream=stream, details={"headers": headers})

    @answers("ImageCommit")
    async def _commit(self, request: Request) -> None:
        raise Unsupported("commit is not supported: a cluster makes no image of a container's files; build it instead")

    @answers("ContainerChanges")
    async def _changes(self, request: Request) -> None:
        self.cluster.mirror.containers.find(ref_of(request))
        raise Unsupported("diff is not supported: a cluster does not tell what a container has changed in its image")

    @answers("PutContainerArchive")
    async def _put(self, request: Request) -> None:
        if request.upload is None:
            raise Invalid(f"{request.verb} on {'/'.join(request.path)} needs a stream of bytes")
        asked = PutContainerArchive.of(request)
        container = await self._reached(request)
        folder = posixpath.join("/", asked.path)
        if not (await self._stat(container, request, posixpath.join(folder, "."), asked.path))["mode"] >> 31:
            raise refusal(400, "extraction point is not a directory")
        head = await _head(request.upload)
        packed = [flag for magic, flag in _COMPRESSED.items() if head.startswith(magic)]
        own = ["-o"] if asked.copy_uidgid and container.config.get("User") else []
        words = (BUSYBOX, "sh", "-c", _UNPACK, "sh", folder, *packed, *own)
        command = RemoteCommand("exec", names.MAIN, words, stdin=True)
        async with request.upload:
            code, errors = await upload(self.cluster, container, command, _pieces(head, request.upload))
        if code != 0:
            raise _unpack_error(errors, folder)
        self.lifecycle.events.tell_container(container, "extract-to-dir")

    async def _reached(self, request: Request) -> PodContainer:
        """Return the container of a request, in whose Pod commands can run: at its gate, if it has not been started.

        Raises:
            Unsupported: its Pod has ended, or has no tools. SwarmError: the Pod can't be made.
        """
        container = self.cluster.mirror.containers.find(ref_of(request))
        tools.check_tools(self.cluster, "what is done with a container's files")
        if container.status == "created":
            await self.lifecycle.gated(container)
        elif container.pod is None or phase(container.pod) in ("Failed", "Succeeded"):
            why = "the option --keep of kubernetes keeps them for new containers"
            raise Unsupported(f"the files of {container.name} have gone with the end of its Pod: {why}")
        return container

    async def _stat(self, container: PodContainer, request: Request, path: str, given: str = "") -> dict[str, Any]:
        """Return what is at a path. Raises `NotFound`, with the path as it was `given`, if nothing is."""
        absolute = posixpath.join("/", path)
        ran = await tools.run(self.cluster, container, (BUSYBOX, "sh", "-c", _STAT, "sh", absolute), "stat")
        if ran.code == 4:
            raise refusal(404, f"Could not find the file {given or path} in container {ref_of(request)}")
        try:
            described, _, target = ran.output.decode("utf-8", "surrogateescape").rstrip("\n").partition("\n")
            raw, size, day, time, zone = described.split(" ")
            mode, length = int(raw, 16), int(size)
        except ValueError as exc:
            raise BadAnswer(f"the Pod of {container.name} did not say what is at {path!r:.200}") from exc
        if ran.code or zone != "+0000":
            raise BadAnswer(f"the Pod of {container.name} did not say what is at {path!r:.200}")
        name = posixpath.basename(posixpath.normpath(absolute)) or "/"
        return {"name": name, "size": length, "mode": _go_mode(mode), "mtime": f"{day}T{time}Z", "linkTarget": target}

    async def _sent(self, container: PodContainer, words: Sequence[str], what: str) -> trio.abc.ReceiveStream:
        """Run a command in a container, and return what it writes; close it."""
        closed = trio.Event()
        command = RemoteCommand("exec", names.MAIN, tuple(words))
        process = await held(self.nursery, remote(self.cluster, container, command), closed)
        return _Written(process, closed, what)


@dataclass(eq=False)
class _Written(trio.abc.ReceiveStream):
    """What a command writes to its end, which must be a good one."""

    process: RemoteProcess
    closed: trio.Event
    what: str
    errors: bytes = b""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next piece, whole; b"" at the end. Raises `Internal` if the command has failed."""
        while (received := await self.process.receive()) is not None:
            stream, data = received
            if stream == "stdout":
                return data
            self.errors = (self.errors + data)[-_MOST_ERRORS:]
        if self.process.exit_code != 0:
            said = self.errors.decode("utf-8", "replace").strip()
            raise Internal(f"{self.what} failed in the Pod: {said or 'the container has ended'}")
        return b""

    async def aclose(self) -> None:
        """Read no more."""
        self.closed.set()
        await trio.lowlevel.checkpoint()


async def _head(upload: trio.abc.ReceiveStream) -> bytes:
    """Return the first bytes of an upload, which tell how it is compressed."""
    head = b""
    while len(head) < _MAGIC_BYTES and (piece := await upload.receive_some()):
        head += piece
    return head


async def _pieces(head: bytes, upload: trio.abc.ReceiveStream) -> AsyncGenerator[bytes]:
    """Yield an upload, of which `head` was read."""
    yield head
    async for piece in upload:
        yield bytes(piece)


def _unpack_error(errors: bytes, folder: str) -> SwarmError:
    said = errors.decode("utf-8", "replace").strip()
    if (found := _NO_FOLDER.search(said)) is not None:
        path = posixpath.join(folder, found[1])
        said = f'cannot overwrite directory "{path}" with non-directory "{folder}"'
    if "Read-only file system" in said:
        return refusal(403, "container rootfs is marked read-only")
    return refusal(500, f"Error processing tar file: {said or 'the container has ended'}")


def _split(path: str) -> tuple[str, str]:
    """Return the folder to pack from, and what is packed there, under the names that an engine gives it."""
    absolute = posixpath.join("/", path)
    if absolute.endswith("/.") or not absolute.strip("/"):
        return absolute, "."
    plain = absolute.rstrip("/")
    end = "/" if absolute.endswith("/") else ""
    return posixpath.dirname(plain), f"{posixpath.basename(plain)}{end}"


def _go_mode(raw: int) -> int:
    special = sum(bit for own, bit in _SPECIAL.items() if raw & own)
    return raw & 0o777 | special | _KINDS.get(raw >> 12, 0)


def _stat_header(stat: dict[str, Any]) -> tuple[bytes, bytes]:
    text = orjson.dumps({key: _readable(value) for key, value in stat.items()})
    return b"X-Docker-Container-Path-Stat", base64.b64encode(text)


def _readable(value: object) -> object:
    """Return a value without bytes that are no text, which JSON can't hold."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(value, str) else value
