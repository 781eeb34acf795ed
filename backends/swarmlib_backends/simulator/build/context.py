"""What comes with a build: a tar of files, and the Dockerfile among them."""

from __future__ import annotations

import posixpath

from swarmlib import SwarmError

from ...dockerapi.status import refusal, restated
from ...dockerfile import lines
from ...dockerfile.lines import Dockerfile
from ..files import Files
from ..paths import LONGEST_NAME
from .patterns import ignored

DEFAULT = "Dockerfile"
_IGNORE = ".dockerignore"
_MOST_LINKS = 255


def context_of(data: bytes, name: str, now: float) -> tuple[Files, Dockerfile]:
    """Return the files of a context, and the Dockerfile of that name.

    What a .dockerignore leaves out is left out, but for these two files, which clients always send.

    Raises:
        SwarmError: it is no tar, or there is no such Dockerfile, or that can't be read.
    """
    files = Files({})
    try:
        files.unpack("/", data, now=now)
    except SwarmError as exc:
        if "tar file" not in exc.message:
            raise
        raise refusal(500, exc.message.partition(": ")[2]) from exc
    if any(len(part.encode()) > LONGEST_NAME for part in name.split("/")):
        raise refusal(500, f"forbidden path outside the build context: {name} ()")
    path = resolved(files, name)
    if files.get(path) is None and name == DEFAULT:
        path = resolved(files, name.lower())
    dockerfile = _read(files, path, name)
    _leave_out(files, path)
    return files, dockerfile


def _read(files: Files, path: str, name: str) -> Dockerfile:
    node = files.get(path)
    if node is None:
        raise refusal(500, f"Cannot locate specified Dockerfile: {name}")
    if node.is_folder:
        raise refusal(500, f"unexpected error reading Dockerfile: read {path}: is a directory")
    if not node.data:
        raise refusal(400, f"the Dockerfile ({name}) cannot be empty")
    with restated(f"failed to parse {name}: "):
        return lines.read(node.data.decode(errors="replace"))


def _leave_out(files: Files, dockerfile: str) -> None:
    node = files.get(f"/{_IGNORE}")
    if node is None:
        return
    patterns = node.data.decode(errors="replace").splitlines()
    for path in (f"/{_IGNORE}", dockerfile):
        if ignored(path.removeprefix("/"), patterns):
            files.remove(path)


def resolved(files: Files, name: str) -> str:
    """Return the path that a name in a context or an image stands for, all links followed; none of them leads out.

    Raises:
        SwarmError: the name itself leads out, or there are too many links.
    """
    if posixpath.normpath(name.lstrip("/")).split("/")[0] == "..":
        raise refusal(500, f"forbidden path outside the build context: {name} ()")
    rest = posixpath.normpath(f"/{name}").split("/")[::-1]
    at, links = "/", 0
    while rest:
        part = rest.pop()
        if part in ("", ".", ".."):
            at = posixpath.dirname(at) if part == ".." else at
            continue
        below = posixpath.join(at, part)
        node = files.get(below)
        if node is None or not node.link:
            at = below
            continue
        links += 1
        if links > _MOST_LINKS:
            raise refusal(500, f"too many links in {name}")
        at = "/" if node.link.startswith("/") else at
        rest += node.link.split("/")[::-1]
    return at
