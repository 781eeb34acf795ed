"""The health of containers, as inspections and lists show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..dockerapi.values import stamp


@dataclass(frozen=True, slots=True)
class Probe:
    """One check of a container's health. Times are seconds since the epoch."""

    start: float
    end: float
    exit_code: int
    output: str


class Checked(Protocol):
    """What is known of a container's health."""

    @property
    def status(self) -> str:
        """An engine's word for it: starting, healthy or unhealthy."""
        ...

    @property
    def failing(self) -> int:
        """How many of the last checks in a row have failed."""
        ...

    @property
    def log(self) -> Sequence[Probe]:
        """The last checks."""
        ...


def described(health: Checked) -> dict[str, Any]:
    """Return a container's health as an inspection shows it."""
    log = [
        {"Start": stamp(probe.start), "End": stamp(probe.end), "ExitCode": probe.exit_code, "Output": probe.output}
        for probe in health.log
    ]
    return {"Status": health.status, "FailingStreak": health.failing, "Log": log}


def note(health: Checked | None) -> str:
    """Return what a list says of a running container's health, behind its age."""
    if health is None:
        return ""
    return " (health: starting)" if health.status == "starting" else f" ({health.status})"
