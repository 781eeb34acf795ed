"""Patterns from clients: of bounded length, compiled and matched within a bounded time and memory.

All of them are matched by RE2, as an engine matches them by Go's regular expressions: in a time that grows linearly
with the text, whatever the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import re2

from swarmlib import Invalid

Matches: TypeAlias = Callable[[str], bool]

_LONGEST: Final = 500
_MOST: Final = 50
"""The most regular expressions in one filter."""
_re2: Final[Any] = re2  # it has no types
_options: Final = _re2.Options()
_options.log_errors = False
_options.max_mem = 256 * 1024
"""The size limit of a compiled pattern in bytes. With RE2's own limit of 8 MiB, a pattern of six characters can take
half a second to compile.
"""
_PLAIN: Final = re.compile(r"[\w/-]*")
_PIECE: Final = re.compile(r"\*+|\?|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)


def glob(pattern: str, *, any_character: str = "(?s:.)") -> Matches:
    """Return a test whether a whole text matches a shell pattern with `*`, `?` and `[…]`.

    `any_character` is the regular expression of a character that `*` and `?` match.

    Raises:
        Invalid: the pattern is too long, or wrong.
    """

    def translated(piece: re.Match[str]) -> str:
        text = piece[0]
        if text[0] in "*?":
            return any_character + text[0].replace("?", "")
        if len(text) == 1:
            return re.escape(text)
        inside = re.sub(r"([\\\[])", r"\\\1", text[1:-1])
        return f"[{re.sub('^!', '^', inside)}]"

    compiled = _compiled(_PIECE.sub(translated, _bounded(pattern)), pattern, "shell pattern")
    return lambda text: compiled.fullmatch(text) is not None


def regex(pattern: str) -> Matches:
    """Return a test whether a regular expression occurs in a text. The syntax is RE2's: it has no lookaround.

    Raises:
        Invalid: the pattern is not a regular expression of that syntax, or is too long.
    """
    compiled = _compiled(_bounded(pattern), pattern, "regular expression of RE2's syntax")
    return lambda text: compiled.search(text) is not None


def named(values: Sequence[str]) -> Callable[..., bool]:
    """Return a test whether one of several names matches a filter `name`, as an engine reads it.

    A value matches where it occurs as a regular expression; an invalid expression matches the name that equals it.

    Raises:
        Invalid: there are too many regular expressions, or one is too long.
    """
    plain = [value for value in values if _PLAIN.fullmatch(value)]
    patterns = [value for value in values if not _PLAIN.fullmatch(value)]
    if len(patterns) > _MOST:
        raise Invalid(f"the filter name has {len(patterns)} regular expressions: the maximum is {_MOST}")
    tests = [*map(_occurrence, plain), *map(_regex_or_equal, patterns)]
    return lambda *names: not tests or any(test(name) for test in tests for name in names)


def _occurrence(value: str) -> Matches:
    return lambda name: value in name


def _regex_or_equal(value: str) -> Matches:
    try:
        found = regex(value)
    except _WrongSyntax:
        return value.__eq__
    return lambda name: found(name) or name == value


class _WrongSyntax(Invalid):
    """A pattern that every engine considers invalid, in contrast to one that is only too large here."""


def _compiled(translated: str, pattern: str, what: str) -> Any:
    try:
        return _re2.compile(translated, _options)
    except _re2.error as exc:
        reason = exc.args[0].decode("utf-8", "replace")
        kind = Invalid if reason.startswith("pattern too large") else _WrongSyntax
        raise kind(f"{pattern!r:.80} is not a {what}: {reason}") from exc
    except UnicodeEncodeError as exc:
        raise Invalid(f"{pattern!r:.80} is no text: {exc.reason}") from exc


def _bounded(pattern: str) -> str:
    if len(pattern) > _LONGEST:
        raise Invalid(f"the pattern has {len(pattern)} characters: the maximum is {_LONGEST}")
    return pattern
