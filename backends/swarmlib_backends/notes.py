"""What stages find out about a call that others want to know: its line in an audit, for one.

A stage takes notes for the time of a call; those behind it, in its task or in tasks that it started, add to them.
Several stages may take notes of one call, and so may whoever observes the chain. Where nobody does, nothing happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar, Token
from typing import Any, Final, Protocol, Self

from swarmlib import Request


class Notes:
    """What stages have found out about a call. A stage takes them in their context: `with Notes() as notes`.

    Attributes:
        verdict: what a policy decided: `allowed`, `denied`, or `would deny`; "" if none was asked.
        rule: the name of the rule that decided; "" where none did.
        reason: why it is denied, or would be.
        held: how the wait for a person ended: `approved`, `denied`, `timed out`; "" if the call was not held.
        object: what names the object in the request's path without doubt, as a stage has looked it up; "" if none has.
        before: the request as it came to the first stage that changed it; None if none did.
        after: the request as the last of these stages has sent it on.
        outer: those that a stage further in front takes; None if none does.
    """

    verdict = rule = reason = held = object = ""  # here, since most calls change none of these
    before: Request | None = None
    after: Request | None = None
    outer: Notes | None = None

    def __enter__(self) -> Self:
        self.outer = _innermost.get()
        self._token: Token[Notes | None] = _innermost.set(self)
        return self

    def __exit__(self, *_: Any) -> None:
        _innermost.reset(self._token)


class Noted(Protocol):
    """A call that is observed.

    Attributes:
        notes: those that are taken on it; None if nobody wants any.
    """

    notes: Notes | None


_innermost: Final[ContextVar[Notes | None]] = ContextVar("notes", default=None)
observed_call: Final[ContextVar[Noted | None]] = ContextVar("observed_call", default=None)
"""The observed call in whose tasks this is read."""


def _taken() -> Iterator[Notes]:
    """Yield all notes that are taken on the call in this context."""
    call = observed_call.get()
    if call is not None and call.notes is not None:
        yield call.notes
    notes = _innermost.get()
    while notes is not None:
        yield notes
        notes = notes.outer


def judged(verdict: str, rule: str, reason: str) -> None:
    """Note what a policy decides."""
    for notes in _taken():
        notes.verdict, notes.rule, notes.reason = verdict, rule, reason


def found(id: str) -> None:
    """Note what names the object in the request's path without doubt."""
    for notes in _taken():
        notes.object = id


def changed(before: Request, after: Request) -> None:
    """Note what a stage made of a request."""
    for notes in _taken():
        notes.before, notes.after = notes.before or before, after


def held(outcome: str) -> None:
    """Note how the wait for a person ended."""
    for notes in _taken():
        notes.held = outcome
