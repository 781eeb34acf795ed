"""Patterns that select requests for an option: shell patterns over a request's 'verb path', such as 'ls*' or 'rm *'."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypeAlias

from swarmlib import Request

Judge: TypeAlias = Callable[[Request], bool]


def fitting(patterns: Sequence[str], *, otherwise: bool = False) -> Judge:
    """Return a function that says whether a request fits one of the patterns; without any, it returns `otherwise`."""
    if not patterns:
        return lambda _: otherwise
    matches = re.compile("|".join(map(fnmatch.translate, patterns)), re.DOTALL).match
    return lambda message: matches(f"{message.verb} {'/'.join(message.path)}".rstrip()) is not None


@dataclass(frozen=True)
class Rule:
    """`PATTERN=VALUE`: a value for the messages that fit; the option determines what VALUE may be."""

    pattern: str
    value: str

    @classmethod
    def read(cls, text: object) -> Self:
        """Read a rule.

        Raises:
            ValueError: the text has no pattern or no value.
        """
        pattern, _, value = str(text).rpartition("=")
        if not pattern or not value:
            raise ValueError(f"invalid rule {str(text)!r}: expected PATTERN=VALUE, such as 'ls*=…'")
        return cls(pattern, value)

    def __str__(self) -> str:
        return f"{self.pattern}={self.value}"

    @cached_property
    def fits(self) -> Judge:
        """A function that says whether a request fits the pattern."""
        return fitting([self.pattern])
