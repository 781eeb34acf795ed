"""`check_backend`: the whole contract, rule by rule, against one backend."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

import trio

from ..errors import sole
from ..service import Backend
from ..verbs import Verb
from .asking import Broken
from .bench import Subject
from .leaf import Leaf
from .reference import Reference
from .rules import RULES, Rule
from .transcript import Transcript

PATIENCE: Final = 30.0
"""Seconds that a rule may take, by default."""


class ConformanceError(AssertionError):
    """A backend breaks a rule: `rule` is its name, `sentence` what it says, `problem` what was observed instead, and
    `transcript` the requests and replies that show it.
    """

    def __init__(self, backend: str, rule: Rule, problem: str, transcript: str) -> None:
        super().__init__(
            f"{backend} breaks the rule {rule.name}: {rule.sentence}.\n  Seen: {problem}.\n  Messages:\n{transcript}"
        )
        self.rule = rule.name
        self.sentence = rule.sentence
        self.problem = problem
        self.transcript = transcript


@dataclass(frozen=True)
class Verdict:
    """The result of one rule; `skipped` says why the rule did not apply, and is empty where it was kept."""

    rule: str
    sentence: str
    skipped: str = ""

    def __str__(self) -> str:
        return f"{'not applicable' if self.skipped else 'passed':15}{self.rule}" + (
            f" ({self.skipped})" if self.skipped else ""
        )


@dataclass(frozen=True)
class Report:
    """The verdicts on a backend that breaks no rule."""

    backend: str
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> list[str]:
        """The rules that it keeps."""
        return [verdict.rule for verdict in self.verdicts if not verdict.skipped]

    @property
    def not_applicable(self) -> dict[str, str]:
        """The rules that don't apply, each with the reason."""
        return {verdict.rule: verdict.skipped for verdict in self.verdicts if verdict.skipped}

    def __str__(self) -> str:
        return "\n".join([f"{self.backend}: {len(self.passed)} rules kept", *map(str, self.verdicts)])


async def check_backend(
    make: Callable[[], Backend],
    *,
    leaf: Leaf | None = None,
    over: Reference | None = None,
    client: Callable[[], Backend] | None = None,
    verbs: Collection[str] | None = None,
    patience: float = PATIENCE,
    rules: Iterable[Rule] = RULES,
) -> Report:
    """Check a backend against the contract, rule by rule; the first broken rule ends the check.

    Args:
        make: makes the backend; each rule opens a new one. Without `leaf`, the kit puts its own `Reference` behind it.
        leaf: for a backend that has the workloads itself: the description of them.
        over: your own `Reference`, for a backend that reaches it also by its arguments (`Aggregate([Chain(over)])`).
        client: for a source that speaks when it is spoken to: makes a backend that reaches it from outside.
        verbs: the verbs that it supports; others must be answered with `denied` or `not_implemented`. By default, the
            methods of a leaf or client that is a `Server`, else every verb.
        patience: seconds that a rule may take.
        rules: the rules to check; by default all.

    Raises:
        ConformanceError: a rule is broken; the error says which, and shows the messages.
        TypeError: `make` doesn't return a backend.
        ValueError: a verb is unknown, or `leaf`, `over` and `client` don't fit each other or the backend.
    """
    subject = Subject(make, leaf, over, client, None if verbs is None else frozenset(map(Verb, verbs)))
    if not isinstance(subject.sample, Backend):  # pyright: ignore[reportUnnecessaryIsInstance] - users pass anything
        raise TypeError(f"make must return a swarmlib.Backend, not {subject.sample!r}")
    if not subject.does:
        raise ValueError("verbs must name at least one verb")
    if client and not subject.is_source:
        raise ValueError(f"client is only for a source, and {subject.sample.name} is not one")
    if leaf and (over or subject.is_source):
        raise ValueError("leaf is only for a backend that has the workloads itself")
    return Report(subject.sample.name, tuple([await _verdict(rule, subject, patience) for rule in rules]))


async def _verdict(rule: Rule, subject: Subject, patience: float) -> Verdict:
    reasons = [reason for need in rule.needs if (reason := subject.lacks(need))]
    if reasons:
        return Verdict(rule.name, rule.sentence, reasons[0])
    transcript = Transcript()
    try:
        with trio.fail_after(patience), transcript.noting_bugs():
            await rule.check(subject, transcript)
    except Exception as exc:  # any failure breaks the rule, and is the cause of its error
        problem = _problem(exc, patience)
        raise ConformanceError(subject.sample.name, rule, problem, str(transcript)) from exc
    return Verdict(rule.name, rule.sentence)


def _problem(exc: Exception, patience: float) -> str:
    found = sole(exc)
    if isinstance(found, Broken):
        return str(found)
    if isinstance(found, trio.TooSlowError):
        return f"it was not finished within {patience:g} s"
    return f"{type(found).__name__}: {found}"
