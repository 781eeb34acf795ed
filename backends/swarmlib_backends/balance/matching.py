"""Patterns that clients write: of bounded length, and matched in a time that grows linearly with the text."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from typing import Any, Final, TypeAlias

import re2

from swarmlib import Invalid

Matches: TypeAlias = Callable[[str], bool]

_LONGEST: Final = 500
_re2: Final[Any] = re2  # it has no types
_options: Final = _re2.Options()
_options.log_errors = False


def glob(pattern: str) -> Matches:
    """Whether a whole text fits a shell pattern, in which `*`, `?` and `[…]` stand for others.

    Raises:
        Invalid: the pattern is too long.
    """
    compiled = re.compile(translate(_bounded(pattern)))
    return lambda text: compiled.match(text) is not None


def regex(pattern: str) -> Matches:
    """Whether a regular expression occurs in a text. It is of RE2's syntax: there is no looking ahead or back.

    Raises:
        Invalid: it is not a regular expression of that syntax, or too long.
    """
    try:
        compiled = _re2.compile(_bounded(pattern), _options)
    except _re2.error as exc:
        raise Invalid(f"/{pattern}/ is not a regular expression of RE2's syntax: {exc.args[0].decode()}") from exc
    return lambda text: compiled.search(text) is not None


def _bounded(pattern: str) -> str:
    if len(pattern) > _LONGEST:
        raise Invalid(f"a pattern of {len(pattern)} characters is too long: at most {_LONGEST} are allowed")
    return pattern
