"""What a classic build starts from: the images that the Dockerfile in its context names."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Mapping, Sequence
from posixpath import normpath
from typing import Any, Final

import trio

from swarmlib.wire.transports.listening import ENDS

from ..streams import Resumed

_LOOKED_AT: Final = 256 * 1024
"""Bytes of a context that are looked at. Clients send its files by their names, and "D" is among the first."""
_GZIP: Final = b"\x1f\x8b"
_BLOCK: Final = tarfile.BLOCKSIZE


async def images(context: trio.abc.ReceiveStream, args: Mapping[str, Any]) -> tuple[list[str], trio.abc.ReceiveStream]:
    """Read the beginning of a build's context; `args` are the build's.

    Returns the images that its Dockerfile names, without those of its own stages, and the context from its first byte
    on. There are no images where the Dockerfile is not in the beginning, or is wrong: this is for the engine to judge.
    """
    head = await _head(context)
    return _named(_file(_unpacked(head), str(args.get("dockerfile") or "Dockerfile"))), Resumed(context, head).alike


async def _head(context: trio.abc.ReceiveStream) -> bytes:
    head = bytearray()
    try:
        while len(head) < _LOOKED_AT and (piece := await context.receive_some()):
            head += piece
    except ENDS:
        pass  # the engine's stage reads on, and learns the same
    return bytes(head)


def _unpacked(head: bytes) -> bytes:
    if not head.startswith(_GZIP):
        return head
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _LOOKED_AT)
    except zlib.error:
        return b""


def _file(tar: bytes, path: str) -> str:
    """The text of a file in the beginning of a tar; "" where it isn't there as a whole."""
    wanted, at = normpath(path).lstrip("/"), 0
    while len(block := tar[at : at + _BLOCK]) == _BLOCK:
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:  # its end, or no tar
            return ""
        begin = at + _BLOCK
        end = begin + max(info.size, 0)
        if info.isreg() and normpath(info.name).lstrip("/") == wanted:
            return tar[begin:end].decode("utf-8", "replace") if end <= len(tar) else ""
        at = end + -end % _BLOCK
    return ""


def _named(dockerfile: str) -> list[str]:
    found: dict[str, None] = {}
    stages: set[str] = set()
    for words in map(str.split, dockerfile.splitlines()):
        images = [image for image in _in_line(words) if image.lower() not in stages and "$" not in image]
        found |= dict.fromkeys(images)
        if len(words) > 3 and words[0].upper() == "FROM" and words[-2].upper() == "AS":
            stages.add(words[-1].lower())
    return list(found)


def _in_line(words: Sequence[str]) -> list[str]:
    instruction = words[0].upper() if words else ""
    if instruction == "FROM":
        return [word for word in words[1:] if not word.startswith("--")][:1]
    if instruction == "COPY":
        sources = [word.partition("=")[2] for word in words if word.startswith("--from=")]
        return [image for image in sources if image and not image.isdigit()]  # or the number of a stage
    return []
