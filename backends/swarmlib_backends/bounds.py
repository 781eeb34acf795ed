"""The bounds of sessions as options of `listen` and `remote`: `--limit NAME=NUMBER`, and those of the keepalive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

from swarmlib import Invalid
from swarmlib.suggestions import nearest
from swarmlib.wire.limits import Limits

_APART: Final = ("heartbeat", "patience")  # they have options of their own
_NAMES: Final = [each.name for each in fields(Limits) if each.name not in _APART]


@dataclass(frozen=True)
class Bound:
    """One bound of a session."""

    name: str
    value: int

    @classmethod
    def read(cls, text: str | Bound) -> Bound:
        """Read a bound from its text.

        Raises:
            Invalid: there is no bound of that name, or its value is not a number.
        """
        if isinstance(text, Bound):
            return text
        name, _, value = text.partition("=")
        if name not in _NAMES:
            raise Invalid(f"unknown limit {name!r}; {nearest(name, _NAMES)}")
        if not value.isascii() or not value.isdigit():
            raise Invalid(f"invalid limit {text!r}: expected {name}=N")
        return cls(name, int(value))

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


def limits(keepalive: float, timeout: float, bounds: Sequence[Bound]) -> Limits:
    """Return the limits of a session: the defaults, except for those given.

    Raises:
        Invalid: a bound is too small.
    """
    if not 0 < keepalive < timeout:
        raise Invalid(f"--keepalive-timeout ({timeout:g} s) must be longer than --keepalive ({keepalive:g} s)")
    given = {bound.name: bound.value for bound in bounds}
    try:
        return Limits(heartbeat=keepalive, patience=timeout, **given)
    except ValueError as exc:
        raise Invalid(str(exc)) from exc
