"""The context of a distributed trace, in the form in which services give it to each other: W3C Trace Context, level 1.

A context is read strictly, once, where it comes in. One that is not valid counts as missing, so that whoever traces the
call begins a new trace, as the specification says. Imports no trio.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

PARENT: Final = "traceparent"
STATE: Final = "tracestate"
"""The names of the two headers."""
MAX_MEMBERS: Final = 32
"""The most members of a `tracestate`."""

_PARENT_FORM: Final = r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
_VERSION: Final = "00"
"""The version that is written. What follows the flags in a later one is not known, and not forwarded."""
_SAMPLED: Final = 1
_KEY_CHARACTER: Final = r"[a-z0-9_*/-]"
_MEMBER: Final = (
    rf"(?:[a-z]{_KEY_CHARACTER}{{0,255}}|[a-z0-9]{_KEY_CHARACTER}{{0,240}}@[a-z]{_KEY_CHARACTER}{{0,13}})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
"""The forms are compiled when the first trace comes: that takes milliseconds, which every start would pay."""
_SPACE: Final = " \t"

trace_id: Final[ContextVar[str]] = ContextVar("trace_id", default="")
"""The trace of the call in whose tasks this is read, for the log; "" where the call is not traced."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """To which trace a call belongs, and below which span.

    Attributes:
        trace_id: 32 hexadecimal digits, not all 0.
        span_id: of the span that has sent the call; 16 digits likewise.
        sampled: whether the sender may have recorded its span.
        state: what tracing systems want to be kept (`tracestate`): members, separated by commas.
    """

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""

    @classmethod
    def read(cls, parents: Sequence[str], states: Sequence[str]) -> TraceContext | None:
        """Read the values of all headers `traceparent` and `tracestate` of a request.

        Return None if there is not exactly one valid `traceparent`. A `tracestate` that is not valid is left out.
        """
        found = re.fullmatch(_PARENT_FORM, parents[0].strip(_SPACE)) if len(parents) == 1 else None
        if found is None or (found[1] == _VERSION and found[5]):
            return None
        return cls(found[2], found[3], bool(int(found[4], 16) & _SAMPLED), _state(states))

    @property
    def parent(self) -> str:
        """The value of `traceparent`."""
        return f"{_VERSION}-{self.trace_id}-{self.span_id}-{self.sampled:02x}"

    def headers(self) -> Iterator[tuple[str, str]]:
        """Yield the headers, by their names in lower case."""
        yield PARENT, self.parent
        if self.state:
            yield STATE, self.state


def _state(values: Sequence[str]) -> str:
    """Return the members of a `tracestate`; none if one of them is not valid, or there are too many."""
    members = [member for value in values for each in value.split(",") if (member := each.strip(_SPACE))]
    if len(members) > MAX_MEMBERS or not all(re.fullmatch(_MEMBER, each) for each in members):
        return ""
    newest: dict[str, str] = {}
    for member in members:  # the newest comes first, and only one of each key is allowed
        newest.setdefault(member.partition("=")[0], member)
    return ",".join(newest.values())
