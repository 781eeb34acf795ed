"""Which requests an option speaks of: shell patterns over a request's 'verb path', such as 'ls*' or 'rm *'."""

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
    """Whether a request fits one of the patterns; without any, it is as `otherwise` says."""
    if not patterns:
        return lambda _: otherwise
    matches = re.compile("|".join(map(fnmatch.translate, patterns)), re.DOTALL).match
    return lambda message: matches(f"{message.verb} {'/'.join(message.path)}".rstrip()) is not None


@dataclass(frozen=True)
class Rule:
    """`PATTERN=VALUE`: a value for the messages that fit; what VALUE may be is the option's own affair."""

    pattern: str
    value: str

    @classmethod
    def read(cls, text: object) -> Self:
        """Read a rule.

        Raises:
            ValueError: it has no pattern or no value.
        """
        pattern, _, value = str(text).rpartition("=")
        if not pattern or not value:
            raise ValueError(f"{str(text)!r} should be PATTERN=VALUE, such as 'ls*=…'")
        return cls(pattern, value)

    def __str__(self) -> str:
        return f"{self.pattern}={self.value}"

    @cached_property
    def fits(self) -> Judge:
        """Whether it speaks of a request."""
        return fitting([self.pattern])
