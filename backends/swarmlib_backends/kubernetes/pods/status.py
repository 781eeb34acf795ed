"""How a container is, in Docker's words: read from its record and from its Pod, as the cluster has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from ...dockerapi.nullable import dict_of, list_of
from ...dockerapi.values import stamp
from ...enginekit import health
from ...enginekit.seen import SeenState
from . import names
from .record import LATEST, Ended, Health, Record

Pod: TypeAlias = Mapping[str, Any]

_KILLED: Final = 137
_NO_START: Final = 128
"""The exit code of a container that did not start, unless its command is the reason."""
_OOM: Final = "OOMKilled"
_DEADLINE: Final = "DeadlineExceeded"
"""Why a Pod has failed that was stopped by its deadline."""
_OVER: Final = ("Failed", "Succeeded")
"""The phases of Pods in which nothing runs any more."""
_NOT_STARTED: Final = ("ContainerCannotRun", "StartError")
"""Why container runtimes say that a container has ended whose command they could not start."""
_OF_SHIM: Final = 'exec: "'
"""What the shim's own message begins with, in the same case."""
_OF_RUNTIME: Final = (
    "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
)
_NOT_FOUND: Final = ("executable file not found", "no such file or directory")


@dataclass(frozen=True)
class State(SeenState):
    """How a container is, with what only a cluster tells."""

    oom_killed: bool = False
    health: Health | None = None

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
        return shown if self.health is None else shown | {"Health": health.described(self.health)}


def run_of(pod: Pod) -> int:
    """Return the number of the run that a Pod is; 0 if it does not tell."""
    text = str(dict_of(dict_of(pod.get("metadata")).get("annotations")).get(names.RUN) or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def has_stderr(pod: Pod) -> bool:
    """Return whether a Pod has a container for what Docker's own writes to stderr."""
    containers = list_of(dict_of(pod.get("spec")).get("containers"))
    return any(each.get("name") == names.STDERR for each in containers)


def writes_stderr(pod: Pod) -> bool:
    """Return whether the container that writes stderr runs, and ends with the one beside it (`shim -r once`)."""
    containers = list_of(dict_of(pod.get("spec")).get("containers"))
    ends = any(
        each.get("name") == names.STDERR and list_of(each.get("command"))[-1:] == ["once"] for each in containers
    )
    return ends and "running" in dict_of(status_of(pod, names.STDERR).get("state"))


def main_status(pod: Pod) -> dict[str, Any]:
    """Return what a Pod says of Docker's own container in it, whatever else runs there; empty for nothing yet."""
    return status_of(pod, names.MAIN)


def status_of(pod: Pod, name: str) -> dict[str, Any]:
    """Return what a Pod says of one of its containers; empty for nothing yet."""
    statuses = list_of(dict_of(pod.get("status")).get("containerStatuses"))
    return next((dict_of(each) for each in statuses if each.get("name") == name), dict_of(None))


def incarnation(pod: Pod | None) -> str:
    """Return the id that a node has given to Docker's own container in a Pod; "" while it does not run."""
    main = main_status(pod or {})
    return str(main.get("containerID") or "") if dict_of(main.get("state")).get("running") else ""


def is_over(pod: Pod) -> bool:
    """Return whether nothing will run in a Pod any more."""
    return phase(pod) in _OVER


def state(record: Record, pod: Pod | None) -> State:
    """Return how a container is.

    pod: the newest Pod of the container, None if it has none.
    """
    if pod is None or not _is_of(pod, record) or (record.keep and record.error):
        return _without_pod(record)
    if record.last is not None and record.last.run == record.run:
        return _ended(record, record.last, record.restarts, "restarting" if _keeps_running(record, pod) else "exited")
    main = main_status(pod)
    now, before = dict_of(main.get("state")), dict_of(dict_of(main.get("lastState")).get("terminated"))
    restarts = record.restarts + int(main.get("restartCount") or 0)
    if running := now.get("running"):
        status = "paused" if record.paused else "running"
        started = max(record.started, moment(running.get("startedAt")))
        finished = record.last.finished if record.last else moment(before.get("finishedAt"))
        return State(status, 0, "", started, finished, restarts, health=record.health)
    if terminated := dict_of(now.get("terminated")):
        if not restarts and (failed := unable(terminated)) is not None:
            return _not_started(record, *failed)
        status = "restarting" if _restarts(record, pod, terminated) else "exited"
        return _ended(record, _end(record, terminated, _why_failed(record, pod)), restarts, status)
    if is_over(pod):
        return _ended(record, _end(record, {}, _why_failed(record, pod)), restarts)
    if before:
        return _ended(record, _end(record, before), restarts, status="restarting")
    return _without_pod(record)


def _is_of(pod: Pod, record: Record) -> bool:
    """Return whether a Pod is that of the last run; that of a container that is kept has all runs since its own."""
    run = run_of(pod)
    return run == record.run or (record.keep and run < record.run)


def _without_pod(record: Record) -> State:
    """Return the state that the record tells: that of a run whose Pod is gone, or is not there yet."""
    if record.error:
        return _not_started(record, _code_of(record.error, _NO_START), record.error)
    if record.last is not None:
        return _ended(record, record.last, record.restarts)
    return State("created", restarts=record.restarts)


def _not_started(record: Record, code: int, error: str) -> State:
    """Return the state of a container whose last start has failed: it is what it was before."""
    before = record.last
    if before is None:
        return State("created", code, error=error, restarts=record.restarts)
    return State("exited", code, error, before.started, before.finished, record.restarts, health=record.health)


def _code_of(error: str, otherwise: int) -> int:
    """Return the exit code that an engine derives from the error of a start."""
    if any(words in error for words in _NOT_FOUND):
        return 127
    return 126 if "permission denied" in error else otherwise


def _ended(record: Record, end: Ended, restarts: int, status: str = "exited") -> State:
    return State(status, end.exit_code, end.error, end.started, end.finished, restarts, end.oom_killed, record.health)


def _restarts(record: Record, pod: Pod, terminated: Mapping[str, Any]) -> bool:
    """Return whether the kubelet is about to restart a container that has ended."""
    policy = dict_of(pod.get("spec")).get("restartPolicy")
    again = policy == "Always" or (policy == "OnFailure" and terminated.get("exitCode") != 0)
    return again and record.wanted == "running" and not is_over(pod)


def _keeps_running(record: Record, pod: Pod) -> bool:
    """Return whether a container that is kept, and whose last run has ended, is about to run again."""
    return record.keep and record.restarts_again and is_usable(pod)


def is_usable(pod: Pod) -> bool:
    """Return whether commands can run in Docker's container of a Pod."""
    return "running" in dict_of(main_status(pod).get("state")) and phase(pod) not in _OVER


def _why_failed(record: Record, pod: Pod) -> str:
    """Return why the cluster has ended a Pod as a whole (evicted, lost, …); "" if it has not, or was asked to."""
    why = dict_of(pod.get("status")).get("reason")
    return "" if not why or (why == _DEADLINE and record.wanted != "running") else reason(pod)


def unable(terminated: Mapping[str, Any]) -> tuple[int, str] | None:
    """Return an engine's exit code and error for a command that could not be started; None for one that was.

    terminated: the state of a container, as the cluster has it.
    """
    why, text = str(terminated.get("reason") or ""), str(terminated.get("message") or "").strip()
    code = int(terminated.get("exitCode") or 0)
    if why not in _NOT_STARTED:
        if code not in (126, 127) or not text.startswith(_OF_SHIM):
            return None
        text = not_begun(text)
    return _code_of(text, code), text


def not_begun(report: str) -> str:
    """Return an engine's error for a command that could not be run, by what the shim has reported."""
    return f"{_OF_RUNTIME}{report.strip()}"


def _end(record: Record, terminated: Mapping[str, Any], error: str = "") -> Ended:
    code = terminated.get("exitCode")
    if (found := unable(terminated)) is not None:
        code, error = found
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
    """Return a time of the cluster's in seconds since the epoch; 0 for none, or for one that can't be shown."""
    try:
        found = datetime.fromisoformat(str(text)).timestamp() if text else 0.0
    except ValueError:
        return 0.0
    return found if 0 <= found < LATEST else 0.0
