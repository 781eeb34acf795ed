"""What a rule is, and the list of all rules. To add one, write a function below `@rule`, in the file that fits."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from ..bench import Bench, Subject
from ..transcript import Transcript


@dataclass(frozen=True)
class Rule:
    """One promise of every backend: its sentence, what a backend must have for it to apply, and how it is checked.

    The check raises `Broken` if the rule is broken; any other exception breaks the rule too.
    """

    name: str
    sentence: str
    needs: tuple[str, ...]
    check: Callable[[Subject, Transcript], Awaitable[None]]


RULES: Final[list[Rule]] = []
"""All rules, the basic ones first."""


def rule(*needs: str) -> Callable[[Callable[[Bench], Awaitable[None]]], Rule]:
    """Make a rule of a function that works on an open bench; its docstring is the rule's sentence.

    `needs` are words that `Subject.lacks` knows.
    """

    def made(function: Callable[[Bench], Awaitable[None]]) -> Rule:
        async def check(subject: Subject, transcript: Transcript) -> None:
            async with subject.opened(transcript) as bench:
                await function(bench)

        return _listed(function, needs, check)

    return made


def opening_rule(*needs: str) -> Callable[[Callable[[Subject, Transcript], Awaitable[None]]], Rule]:
    """Make a rule of a function that opens and closes by itself."""
    return lambda function: _listed(function, needs, function)


def _listed(
    function: Callable[..., Any], needs: tuple[str, ...], check: Callable[[Subject, Transcript], Awaitable[None]]
) -> Rule:
    sentence = " ".join((inspect.getdoc(function) or "").split()).removesuffix(".")
    made = Rule(function.__name__, sentence, needs, check)
    RULES.append(made)
    return made
