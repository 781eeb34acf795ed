"""The target of a request, read once: the place in its path, the API version and the query's parameters.

Bytes that are not UTF-8 are represented in a parameter as Python does it in file names (PEP 383, surrogateescape): an
engine's parameters are bytes. In a path they name nothing, because every name that an engine gives is UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, urlencode

from swarmlib import Invalid, NotFound
from swarmlib.names import check_path

_BYTES: Final = "surrogateescape"
_WRONG_ESCAPE: Final = re.compile("%(?![0-9a-fA-F]{2}).{0,2}")
_VERSIONED: Final = re.compile(r"/v([0-9.]+)(/.*)", re.DOTALL)
_DETOUR: Final = re.compile(r"//|/\.{1,2}(?:/|\Z)|^(?!/)")
"""Matches what a clean path does not hold: an empty segment, `.` or `..`, or a first character other than a slash."""
_UNESCAPED: Final = "/:@$&+,;=~"
"""The characters that an engine doesn't escape in the path of its Location."""


class Moved(Invalid):
    """The path takes a detour; `location` is the target without it, to which an engine redirects."""

    def __init__(self, location: str) -> None:
        super().__init__(f"the path contains an empty segment, . or ..: without them, the target is {location[:200]!r}")
        self.location = location


class Target(NamedTuple):
    """The contents of a target."""

    place: str
    """The decoded path, without the version."""
    version: str
    """The API version in its usual form; "" if the target names none."""
    query: dict[str, Any]
    """The parameters: a text each, or a list of texts if one is repeated."""


def read(target: str) -> Target:
    """Read a target in origin form as an engine sees it: decoded, once.

    Raises:
        Moved: its path should be written in another way.
        Invalid, TooLarge: the target is wrongly encoded, or a part of it is invalid.
    """
    if (wrong := _WRONG_ESCAPE.search(target)) is not None:
        raise Invalid(f"invalid URL escape {wrong[0]!r}")
    encoded, mark, query = target.partition("?")
    path = unquote(encoded, errors=_BYTES)
    if _DETOUR.search(path):
        raise Moved(quote(_clean(path), safe=_UNESCAPED, errors=_BYTES) + mark + query)
    versioned = _VERSIONED.fullmatch(path)
    version = _version(versioned[1]) if versioned else ""
    return Target(versioned[2] if versioned else path, version, _parameters(query))


def _clean(path: str) -> str:
    """Return a path without detours, as Go's `path.Clean` writes it; a slash at its end stays."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")


def check_place(place: str) -> None:
    """Check that a place, free of detours, can be an object's or an operation's.

    Raises:
        NotFound: nothing can have such a name. Invalid, TooLarge: the name is invalid (`swarmlib.names`).
    """
    if place.endswith("/"):
        raise NotFound("page not found")
    if not _is_utf8(place):
        raise NotFound(f"no such object: the path {quote(place, errors=_BYTES)[:80]!r} is not UTF-8")
    check_path((place[1:],))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _version(text: str) -> str:
    """Return the API version in its usual form: engines take 01.41, 1.41. and 1.41.0 for 1.41, and 1 for 1.0.

    Raises:
        Invalid: no engine has such a version.
    """
    numbers = [number.lstrip("0") or "0" for number in text.split(".")]
    while len(numbers) > 2 and numbers[-1] == "0":
        numbers.pop()
    usual = ".".join(numbers if len(numbers) > 1 else [*numbers, "0"])
    if not is_version(usual):
        raise Invalid(f"invalid API version {text[:40]!r}: expected two numbers, such as 1.41")
    return usual


_NUMBER: Final = "(?:0|[1-9][0-9]{0,3})"
_is_version: Final = re.compile(rf"{_NUMBER}\.{_NUMBER}(?:\.[1-9][0-9]{{0,3}})?").fullmatch


def is_version(text: str) -> bool:
    """Return whether a text is an API version in its usual form: two numbers, or three."""
    return _is_version(text) is not None


def _parameters(query: str) -> dict[str, Any]:
    if ";" in query:
        raise Invalid("invalid semicolon separator in query: parameters are separated by &, and ; is written %3B")
    found: dict[str, Any] = {}
    for pair in query.split("&"):
        name, _, value = (unquote(part, errors=_BYTES) for part in pair.replace("+", " ").partition("="))
        if not name or not _is_utf8(name):
            continue  # no operation has such a parameter
        known = found.get(name)
        if known is None:
            found[name] = value
        elif isinstance(known, list):
            known.append(value)  # pyright: ignore[reportUnknownMemberType]
        else:
            found[name] = [known, value]
    return found


def query_of(parameters: Mapping[str, Any]) -> str:
    """Return the query of these parameters, with its question mark; "" for none.

    Raises:
        UnicodeEncodeError: no bytes can express a parameter.
    """
    return f"?{urlencode(parameters, doseq=True, errors=_BYTES)}" if parameters else ""
