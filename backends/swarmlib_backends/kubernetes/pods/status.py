"""How a container is, in Docker's words: read from its record and from its Pod, as the cluster has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from ...dockerapi.nullable import dict_of, list_of
from ...dockerapi.values import stamp
from . import names
from .record import Ended, Health, Record

Pod: TypeAlias = Mapping[str, Any]

_KILLED: Final = 137
_OOM: Final = "OOMKilled"


@dataclass(frozen=True)
class State:
    """How a container is. Times are seconds since the epoch, 0 for never."""

    status: str
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    started: float = 0.0
    finished: float = 0.0
    restarts: int = 0
    health: Health | None = None

    @property
    def running(self) -> bool:
        """Whether it runs, in Docker's sense: also while it is paused or about to be restarted."""
        return self.status in ("running", "paused", "restarting")

    def described(self) -> dict[str, Any]:
        """Return the state as an inspection shows it."""
        shown = {
            "Status": self.status,
            "Running": self.running,
            "Paused": self.status == "paused",
            "Restarting": self.status == "restarting",
            "OOMKilled": self.oom_killed,
            "Dead": self.status == "dead",
            "Pid": 1 if self.running else 0,
            "ExitCode": self.exit_code,
            "Error": self.error,
            "StartedAt": stamp(self.started),
            "FinishedAt": stamp(self.finished),
        }
        return shown if self.health is None else shown | {"Health": _described_health(self.health)}


def _described_health(health: Health) -> dict[str, Any]:
    log = [
        {"Start": stamp(probe.start), "End": stamp(probe.end), "ExitCode": probe.exit_code, "Output": probe.output}
        for probe in health.log
    ]
    return {"Status": health.status, "FailingStreak": health.failing, "Log": log}


def run_of(pod: Pod) -> int:
    """Return the number of the run that a Pod is; 0 if it does not tell."""
    text = str(dict_of(dict_of(pod.get("metadata")).get("annotations")).get(names.RUN) or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def main_status(pod: Pod) -> dict[str, Any]:
    """Return what a Pod says of Docker's own container in it, whatever else runs there; empty for nothing yet."""
    statuses = list_of(dict_of(pod.get("status")).get("containerStatuses"))
    return next((dict_of(each) for each in statuses if each.get("name") == names.MAIN), dict_of(None))


def state(record: Record, pod: Pod | None) -> State:
    """Return how a container is.

    pod: the newest Pod of the container, None if it has none.
    """
    if pod is None or run_of(pod) != record.run:
        return _without_pod(record)
    if record.last is not None and record.last.run == record.run:  # it is kept, but its command has ended
        return _ended(record, record.last, 0)
    main = main_status(pod)
    now, before = dict_of(main.get("state")), dict_of(dict_of(main.get("lastState")).get("terminated"))
    restarts = record.restarts + int(main.get("restartCount") or 0)
    if running := now.get("running"):
        status = "paused" if record.paused else "running"
        started = max(record.started, moment(running.get("startedAt")))
        return State(status, 0, False, "", started, moment(before.get("finishedAt")), restarts, record.health)
    if terminated := dict_of(now.get("terminated")):
        return _ended(record, _end(record, terminated), restarts)
    if phase(pod) in ("Failed", "Succeeded"):
        return _ended(record, _end(record, {}, reason(pod)), restarts)
    if before:
        return _ended(record, _end(record, before), restarts, status="restarting")
    return _without_pod(record)


def _without_pod(record: Record) -> State:
    """Return the state that the record tells: that of a run whose Pod is gone, or is not there yet."""
    if record.last is not None:
        return _ended(record, record.last, 0)
    return State("created", error=record.error, restarts=record.restarts)


def _ended(record: Record, end: Ended, restarts: int, status: str = "exited") -> State:
    error = end.error or record.error
    return State(status, end.exit_code, end.oom_killed, error, end.started, end.finished, restarts, record.health)


def _end(record: Record, terminated: Mapping[str, Any], error: str = "") -> Ended:
    code = terminated.get("exitCode")
    return Ended(
        record.run,
        _KILLED if code is None else int(code),
        max(record.started, moment(terminated.get("startedAt"))),
        moment(terminated.get("finishedAt")),
        terminated.get("reason") == _OOM,
        error,
    )


def phase(pod: Pod) -> str:
    """Return the phase of a Pod."""
    return str(dict_of(pod.get("status")).get("phase") or "")


def reason(pod: Pod) -> str:
    """Return why a Pod as a whole has failed, as the cluster says it."""
    status = dict_of(pod.get("status"))
    return ": ".join(str(status[name]) for name in ("reason", "message") if status.get(name))


def moment(text: Any) -> float:
    """Return a time of the cluster's in seconds since the epoch; 0 for none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp() if text else 0.0
    except ValueError:
        return 0.0
