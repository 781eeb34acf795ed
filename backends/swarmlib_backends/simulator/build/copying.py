"""COPY and ADD: which files they name, and how these get into an image.

Source: builder/dockerfile/copy.go of github.com/moby/moby.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from swarmlib import SwarmError

from ...dockerapi.status import refusal
from ...dockerfile.instructions import Instruction
from ..files import Files, Node, untar
from .context import resolved
from .patterns import has_wildcards, path_pattern

_URLS = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Copied:
    """What one step copies: paths in `files` under their names, to `target`, which may end in a slash."""

    files: Files
    paths: Sequence[tuple[str, str]]
    target: str
    unpacks: bool
    owner: tuple[int, int] | None
    """None keeps what each file has."""

    def digest(self) -> str:
        """Return what history calls it: the same for the same files, whenever they were changed."""
        found = [self._digest(path) for _, path in self.paths]
        return found[0] if len(found) == 1 else f"multi:{_hash(found)}"

    def _digest(self, path: str) -> str:
        node = self.files.get(path)
        if node is not None and not node.is_folder:
            return f"file:{_node_hash('', node)}"
        below = [(each, self.files.get(each)) for each in self.files.below(path)]
        return f"dir:{_hash(_node_hash(each, node) for each, node in below if node)}"

    def into(self, files: Files, now: float) -> None:
        """Copy.

        Raises:
            SwarmError: something is in the way.
        """
        for name, path in self.paths:
            self._copy(files, name, path, now)

    def _copy(self, files: Files, name: str, path: str, now: float) -> None:
        node = self.files.get(path)
        at = resolved(files, self.target)
        there = files.get(at)
        is_folder = there is not None and there.is_folder
        if node is None or node.is_folder:
            self._copy_folder(files, path, at, now)
        elif self.unpacks and (packed := _unpacked(node.data, now)):
            for inside, each in packed:
                _put(files, posixpath.normpath(posixpath.join(at, inside)), each)
        else:
            keeps_name = self.target.endswith("/") or is_folder
            _put(files, posixpath.join(at, posixpath.basename(name)) if keeps_name else at, self._owned(node))

    def _copy_folder(self, files: Files, path: str, at: str, now: float) -> None:
        there, node = files.get(at), self.files.get(path)
        if there is not None and not there.is_folder:
            raise refusal(500, f"failed to copy files: failed to copy directory: mkdir {at}: not a directory")
        if there is None and node is not None:
            _put(files, at, self._owned(node))
        for each in self.files.below(path):
            inside = self.files.get(each)
            if inside is not None:
                _put(files, posixpath.join(at, posixpath.relpath(each, path)), self._owned(inside))

    def _owned(self, node: Node) -> Node:
        return node if self.owner is None else replace(node, owner=self.owner)


def sources(step: Instruction, files: Files, *, is_context: bool) -> list[tuple[str, str]]:
    """Return the names of what a step copies, and the paths in `files` that they stand for.

    Raises:
        SwarmError: there is no such file, or it is nowhere here.
    """
    found: list[tuple[str, str]] = []
    name = step.name.upper()
    for given in step.args[:-1]:
        if given.startswith(_URLS):
            if step.name == "copy":
                raise refusal(500, "COPY failed: source can't be a URL for COPY")
            raise refusal(501, f"ADD failed: the simulator downloads nothing, and {given} is a URL")
        try:
            found += _named(given.removeprefix("/").removeprefix("./"), files)
        except SwarmError as exc:
            missing = is_context and exc.message.startswith("stat ")
            where = "file not found in build context or excluded by .dockerignore: " if missing else ""
            raise refusal(500, f"{name} failed: {where}{exc.message}") from exc
    if not found:
        raise refusal(500, f"{name} failed: no source files were specified")
    if len(found) > 1 and not step.args[-1].endswith("/"):
        problem = "with more than one source file, the destination must be a directory and end with a /"
        raise refusal(500, f"When using {name} {problem}")
    return found


def _named(name: str, files: Files) -> list[tuple[str, str]]:
    if has_wildcards(name):
        fits = path_pattern(name)
        every = sorted(files.below("/"), key=lambda path: path.split("/"))
        return [found for path in every if fits(path[1:]) for found in _file(path[1:], files)]
    return _file(name, files)


def _file(name: str, files: Files) -> list[tuple[str, str]]:
    path = resolved(files, name)
    if files.get(path) is None:
        raise refusal(500, f"stat {name}: file does not exist")
    return [(name.rstrip("/"), path)]


def target_of(step: Instruction, folder: str) -> str:
    """Return where a step copies to, absolute; with the slash that it may end in."""
    given = step.args[-1]
    if given.startswith("/"):
        return given
    joined = posixpath.normpath(f"/{folder}/{given}").replace("//", "/")
    return f"{joined.rstrip('/')}/" if given.endswith("/") else joined


def _put(files: Files, path: str, node: Node) -> None:
    above = posixpath.dirname(path)
    while above.strip("/"):
        there = files.get(above)
        if there is not None and not there.is_folder and not there.link:
            raise refusal(500, f"failed to copy files: lstat {path}: not a directory")
        above = posixpath.dirname(above)
    there = files.get(path)
    if not (node.is_folder and there is not None and there.is_folder):
        files.put(path, node)


def _unpacked(data: bytes, now: float) -> list[tuple[str, Node]]:
    """Return what is in a tar; nothing where it is none."""
    try:
        return list(untar(data, now))
    except SwarmError:
        return []


def _node_hash(name: str, node: Node) -> str:
    parts = (name, str(node.mode), str(node.owner), node.link, hashlib.sha256(node.data).hexdigest())
    return _hash(parts)


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()
