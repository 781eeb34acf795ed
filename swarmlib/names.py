"""The names of objects: what a request's path may hold. Paths are checked here and nowhere else.

A name travels through stages that turn it into part of a URL, a file name or a key. None of them may mistake one name
for another, so a path has only one spelling: no part is empty, and no segment (a part may hold slashes, as the names
of images do) is empty, `.` or `..`.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias, cast

from .errors import Invalid, TooLarge

Path: TypeAlias = tuple[str, ...]
"""The names that lead to an object."""

MAX_PARTS: Final = 64
"""The most parts that a path may have."""
MAX_LENGTH: Final = 8192
"""The most characters that a path may have."""

_good: Final[set[tuple[str, ...]]] = set()
"""Paths that recently passed the check: most requests repeat one, and each passes several stages."""
_KEPT: Final = 1024
_KEPT_LENGTH: Final = 256
"""The most paths that are kept there, and the most characters of each."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters (C0, DEL, C1), and surrogates, which UTF-8 cannot express."""


def check_path(path: tuple[str, ...]) -> None:
    """Check that a path names one place, in its only spelling.

    Raises:
        Invalid: the path is not a tuple of text, or one of its parts is empty, holds a control character, begins or
            ends with a slash, or has a segment that is empty, `.` or `..`; the error names the part.
        TooLarge: it has over `MAX_PARTS` parts or `MAX_LENGTH` characters.
    """
    try:
        if path in _good:
            return
    except TypeError:
        pass  # unhashable, such as a list: the check below raises the error
    _check_thoroughly(path)
    if len(_good) >= _KEPT:
        _good.clear()
    if sum(map(len, path)) <= _KEPT_LENGTH:
        _good.add(path)


def _check_thoroughly(path: object) -> None:
    if not isinstance(path, tuple):
        raise Invalid(f"invalid path: expected a tuple of names, not {type(path).__name__}")
    parts = cast("tuple[Any, ...]", path)
    if len(parts) > MAX_PARTS:
        raise TooLarge(f"the path has {len(parts)} parts: the maximum is {MAX_PARTS}")
    for part in parts:
        _check_part(part)
    length = sum(map(len, parts)) + len(parts) - 1
    if length > MAX_LENGTH:
        raise TooLarge(f"the path has {length} characters: the maximum is {MAX_LENGTH}")


def _check_part(part: object) -> None:
    if not isinstance(part, str):
        raise Invalid(f"invalid path: expected text, not {type(part).__name__}")
    if any(segment in ("", ".", "..") for segment in part.split("/")):
        raise Invalid(f"invalid name {_shown(part)}: expected text that is not empty, without //, /. or /..")
    if _CONTROL.search(part):
        raise Invalid(f"invalid name {_shown(part)}: it contains a control character")


def _shown(part: str) -> str:
    return repr(part if len(part) <= 100 else f"{part[:100]}…")
