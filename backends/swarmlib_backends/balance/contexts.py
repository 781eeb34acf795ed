"""The images that a classic build starts from: those that the Dockerfile in its context names."""

from __future__ import annotations

import re
import tarfile
import zlib
from posixpath import normpath
from typing import Final

import trio

from swarmlib import Invalid
from swarmlib.net.listening import ENDS

from ..dockerfile.instructions import stages_of
from ..dockerfile.lines import read
from ..stream_wrappers import Resumed

_LOOKED_AT: Final = 256 * 1024
"""Bytes of a context that are searched. Clients send its files sorted by name, and "D" is among the first."""
_LONGEST: Final = 32 * 1024
"""Bytes of the longest Dockerfile that is parsed: parsing blocks everything else."""
_GZIP: Final = b"\x1f\x8b"
_BLOCK: Final = tarfile.BLOCKSIZE
_UNTELLING: Final = re.compile(r"\$|^[0-9]*$")
"""A name that depends on a variable, is the number of a stage, or is empty."""


async def images(context: trio.abc.ReceiveStream, dockerfile: str) -> tuple[list[str], trio.abc.ReceiveStream]:
    """Read the beginning of a build's context; `dockerfile` is the path of its Dockerfile.

    Return the images that the Dockerfile names, without its own stages, and the context from its first byte on. There
    are no images if the Dockerfile is not in the beginning of the context, or is invalid: the engine judges that.
    """
    head = await _head(context)
    return _named(_file(_unpacked(head), dockerfile)), Resumed(context, head).alike


async def _head(context: trio.abc.ReceiveStream) -> bytes:
    head = bytearray()
    try:
        while len(head) < _LOOKED_AT and (piece := await context.receive_some()):
            head += piece
    except ENDS:
        pass  # the engine's stage reads on, and gets the same error
    return bytes(head)


def _unpacked(head: bytes) -> bytes:
    if not head.startswith(_GZIP):
        return head
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _LOOKED_AT)
    except zlib.error:
        return b""


def _file(tar: bytes, path: str) -> str:
    """Return the text of a file in the beginning of a tar; "" if it is too long, or not completely there."""
    wanted, at = normpath(path).lstrip("/"), 0
    while len(block := tar[at : at + _BLOCK]) == _BLOCK:
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:  # the end of the tar, or not a tar
            return ""
        begin = at + _BLOCK
        end = begin + max(info.size, 0)
        if info.isreg() and normpath(info.name).lstrip("/") == wanted:
            return tar[begin:end].decode("utf-8", "replace") if info.size <= _LONGEST and end <= len(tar) else ""
        at = end + -end % _BLOCK
    return ""


def _named(dockerfile: str) -> list[str]:
    try:
        _, stages = stages_of(read(dockerfile).lines)
    except Invalid:
        return []
    found: dict[str, None] = {}
    known: set[str] = set()
    for stage in stages:
        wanted = [stage.base, *(step.flags.get("from", "") for step in stage.steps)]
        found |= dict.fromkeys(name for name in wanted if name.lower() not in known and not _UNTELLING.search(name))
        known.add(stage.name)
    return list(found)
