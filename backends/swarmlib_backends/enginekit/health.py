"""The health of containers: how it is checked, what follows from a check, and how inspections and lists show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.values import stamp

KEPT: Final = 5
"""The checks that are kept."""
MOST_OUTPUT: Final = 4096
"""The bytes of a check's output that are kept."""
_NANO: Final = 1e9
_SECONDS: Final = 30.0
"""The interval and the timeout of a check that has none of its own."""
_RETRIES: Final = 3
_SHELL: Final = ("/bin/sh", "-c")


@dataclass(frozen=True)
class Plan:
    """How a container is checked; times are in seconds.

    command: what is run. start_period: for how long a failure does not count, if no check has succeeded yet.
    start_interval: the interval in that time. retries: how many failures in a row make it unhealthy.
    """

    command: list[str]
    interval: float
    timeout: float
    start_period: float
    start_interval: float
    retries: int

    def pause(self, status: str, since_start: float) -> float:
        """Return how long to wait for the next check of a container with this status."""
        return self.start_interval if status == "starting" and since_start < self.start_period else self.interval


def plan_of(config: Mapping[str, Any]) -> Plan | None:
    """Return how a container is checked, by its configuration, completed by its image's; None if it isn't."""
    asked = dict_of(config.get("Healthcheck"))
    kind, *words = list_of(asked.get("Test")) or ["NONE"]
    if kind not in ("CMD", "CMD-SHELL"):  # an engine only logs that it knows no other
        return None
    shell = list_of(config.get("Shell")) or _SHELL
    interval = _seconds(asked, "Interval") or _SECONDS
    return Plan(
        words or [""] if kind == "CMD" else [*shell, *words],
        interval,
        _seconds(asked, "Timeout") or _SECONDS,
        _seconds(asked, "StartPeriod"),
        _seconds(asked, "StartInterval") or interval,
        int(asked.get("Retries") or _RETRIES),
    )


def _seconds(asked: Mapping[str, Any], name: str) -> float:
    return int(asked.get(name) or 0) / _NANO


@dataclass(frozen=True, slots=True)
class Probe:
    """One check of a container's health. Times are seconds since the epoch."""

    start: float
    end: float
    exit_code: int
    output: str


def timed_out(plan: Plan) -> str:
    """Return what an engine notes as the output of a check that took too long."""
    return f"Health check exceeded timeout ({plan.timeout:g}s)"


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


def after(before: Checked, plan: Plan, probe: Probe, started: float) -> tuple[str, int]:
    """Return the status, and how many checks in a row have failed, after one more check.

    started: when the container was, in seconds since the epoch.
    """
    if probe.exit_code == 0:
        return "healthy", 0
    if before.status == "starting" and probe.start - started < plan.start_period:
        return before.status, before.failing
    failing = before.failing + 1
    return "unhealthy" if failing >= plan.retries else before.status, failing


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
