"""The meanings of values in the Docker API: times, signals, sizes of terminals, labels."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from swarmlib import Invalid

from .numbers import integer
from .operations import ContainerResize

NEVER: Final = "0001-01-01T00:00:00Z"


_SIGNALS: Final[Mapping[str, int]] = {
    **{name.removeprefix("SIG"): number for name, number in signal.Signals.__members__.items()},
    **{f"RTMIN+{n}": signal.SIGRTMIN + n for n in range(1, 16)},
    **{f"RTMAX-{n}": signal.SIGRTMAX - n for n in range(1, 15)},
}
"""The signals by their names without SIG; Python has several names for some."""


def stamp(at: float) -> str:
    """Return a time in seconds since the epoch as the API writes it (RFC 3339 with nanoseconds); 0 is never."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z") if at else NEVER


def terminal_size(asked: ContainerResize) -> tuple[int, int]:
    """Return the rows and columns that a resize asks for, of which a kernel keeps 16 bits."""
    assert asked.h is not None  # without both the request is not canonical: see `required`
    assert asked.w is not None
    return asked.h % 2**16, asked.w % 2**16


def signal_number(text: str) -> int:
    """Return a signal by its number, or by its name with or without SIG: TERM, SIGRTMIN+3.

    Raises:
        Invalid: there is no such signal.
    """
    given = integer(text)
    found = _SIGNALS.get(text.upper().removeprefix("SIG"), 0) if given is None else given
    if found not in signal.valid_signals():
        raise Invalid(f"Invalid signal: {text}")
    return found


def signal_asked(text: str) -> int:
    """Return the signal that a kill names; a number may be one that no system knows.

    Raises:
        Invalid: there is no signal of that name.
    """
    return integer(text) or signal_number(text)


def labels_fit(labels: Mapping[str, str], wanted: list[str]) -> bool:
    """Return whether labels contain all of `name` or `name=value`."""
    pairs = [entry.partition("=") for entry in wanted]
    return all(name in labels and (not has_value or labels[name] == value) for name, has_value, value in pairs)
