"""What stages find out about a call that a stage in front of them wants to know: its line in an audit, for one.

The stage in front takes notes for the time of a call; those behind it, in its task or in tasks that it started, add to
them. Several stages may take notes of one call. Where nobody does, nothing happens.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from swarmlib import Request


@dataclass(slots=True)
class Notes:
    """What is known about a call from the stages behind.

    Attributes:
        verdict: what a policy decided: `allowed`, `denied`, or `would deny`; "" if none was asked.
        rule: the name of the rule that decided; "" where none did.
        reason: why it is denied, or would be.
        held: how the wait for a person ended: `approved`, `denied`, `timed out`; "" if the call was not held.
        object: what names the object in the request's path without doubt, as a stage has looked it up; "" if none has.
        before: the request as it came to the first stage that changed it; None if none did.
        after: the request as the last of these stages has sent it on.
        outer: the notes that a stage further in front takes; None if none does.
    """

    verdict: str = ""
    rule: str = ""
    reason: str = ""
    held: str = ""
    object: str = ""
    before: Request | None = None
    after: Request | None = None
    outer: Notes | None = None


_innermost: Final[ContextVar[Notes | None]] = ContextVar("notes", default=None)


@contextmanager
def taking(notes: Notes) -> Generator[None]:
    """Take notes on the call in this context."""
    notes.outer = _innermost.get()
    token = _innermost.set(notes)
    try:
        yield
    finally:
        _innermost.reset(token)


def _taken() -> Iterator[Notes]:
    """Yield all notes that are taken on the call in this context."""
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
