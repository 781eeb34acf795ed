"""Patterns of paths, as COPY and ADD and a .dockerignore have them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Final

from ...dockerapi.matching import Matches, regex

_PIECE: Final = re.compile(r"\*\*/|\*\*|\*|\?|\[\^?(?:\\.|[^\]\\])+\]|\\.|.", re.DOTALL)
_MOST: Final = 1000
"""Lines of a .dockerignore, at most; an engine's client reads the file itself and leaves out what it names."""


def path_pattern(pattern: str, *, across: bool = False) -> Matches:
    """Return whether a path fits a pattern of Go's `filepath.Match`.

    In it no `*` stands for a slash; a `**` does, if `across` is set.

    Raises:
        Invalid: it is too long, or wrong.
    """

    def translated(piece: re.Match[str]) -> str:
        text = piece[0]
        match text[0]:
            case "*" if across and text == "**/":
                return "(?:.*/)?"
            case "*" if across and text == "**":
                return ".*"
            case "*":
                return f"[^/]*{re.escape(text.lstrip('*'))}"
            case "?":
                return "[^/]"
            case "[" if len(text) > 2:
                return text
            case _:
                return re.escape(text[-1])

    return regex(rf"\A(?s:{_PIECE.sub(translated, pattern)})\z")


def has_wildcards(name: str) -> bool:
    """Return whether a name is a pattern."""
    return re.search(r"[*?\[]", re.sub(r"\\.", "", name, flags=re.DOTALL)) is not None


def ignored(path: str, lines: Iterable[str]) -> bool:
    """Return whether the lines of a .dockerignore leave out a path.

    Raises:
        Invalid: a pattern is too long, or wrong.
    """
    found = False
    for line in list(lines)[:_MOST]:
        pattern = line.strip()
        if not pattern or line.startswith("#"):
            continue
        wanted = not pattern.startswith("!")
        cleaned = posixpath.normpath(pattern.removeprefix("!").strip()).lstrip("/")
        fits = path_pattern(cleaned, across=True)
        if any(fits(each) for each in (path, *_above(path))):
            found = wanted
    return found


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
