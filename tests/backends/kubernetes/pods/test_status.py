"""How a container is: what its record and its Pod say together, in Docker's words."""

from typing import Any

import pytest

from swarmlib_backends.enginekit.health import Probe
from swarmlib_backends.kubernetes.pods import names
from swarmlib_backends.kubernetes.pods.record import Ended, Health
from swarmlib_backends.kubernetes.pods.status import State, run_of, state, unable
from tests.backends.kubernetes.pods.containers import record

STARTED, FINISHED = "2026-11-27T20:17:16Z", "2026-11-27T20:17:20Z"
AT = 1795810636.0
RUNC = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "


def pod(state: dict[str, Any] | None, phase: str = "Running", *, run: int = 1, **more: Any) -> dict[str, Any]:
    """A Pod whose container is in a state, beside one that an admission webhook has added."""
    main = {"name": names.MAIN, "state": state, **more.pop("main", {})}
    side = {"name": "proxy", "state": {"running": {"startedAt": STARTED}}, "restartCount": 9}
    return {
        "metadata": {"annotations": {names.RUN: str(run)}},
        "spec": {"restartPolicy": more.pop("policy", "Never")},
        "status": {"phase": phase, "containerStatuses": [side, *([main] if state else [])], **more},
    }


def ended(code: int, **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "startedAt": STARTED, "finishedAt": FINISHED, **more}}


RUNNING = {"running": {"startedAt": STARTED}}


def of(pod: dict[str, Any] | None, **more: Any) -> State:
    return state(record(**{"run": 1, "wanted": "running", **more}), pod)


def test_a_container_runs_when_its_own_container_runs() -> None:
    found = of(pod(RUNNING))
    assert (found.status, found.running, found.started, found.restarts) == ("running", True, AT, 0)
    assert of(pod(RUNNING), paused=True).status == "paused"
    assert of(pod(RUNNING), started=AT + 0.5).started == AT + 0.5


def test_it_has_ended_when_its_own_container_has_whatever_else_runs() -> None:
    found = of(pod(ended(3)))
    assert (found.status, found.exit_code, found.started, found.finished) == ("exited", 3, AT, AT + 4)
    assert of(pod(ended(137, reason="OOMKilled"))).oom_killed


def test_what_is_not_begun_is_created() -> None:
    assert of(None, run=0, wanted="created").status == "created"
    assert of(pod({"waiting": {"reason": "ContainerCreating"}}, "Pending")).status == "created"
    assert of(pod(None, "Pending")).status == "created"
    assert of(pod(RUNNING, run=1), run=0).status == "created", "it waits at its gate"


def test_what_its_pod_no_longer_tells_its_record_tells() -> None:
    last = Ended(1, 7, AT, AT + 1, error="its Pod is gone")
    for each in (None, pod(RUNNING, run=2), pod(RUNNING)):  # the last one is kept after its command has ended
        found = of(each, last=last)
        assert (found.status, found.exit_code, found.error) == ("exited", 7, "its Pod is gone")


def test_restarts_are_seen() -> None:
    before = {"lastState": ended(1), "restartCount": 2}
    found = of(pod({"waiting": {"reason": "CrashLoopBackOff"}}, main=before), restarts=1)
    assert (found.status, found.running, found.exit_code, found.restarts) == ("restarting", True, 1, 3)
    assert of(pod(ended(0), policy="Always")).status == "restarting"
    assert of(pod(ended(1), policy="OnFailure")).status == "restarting"
    assert of(pod(ended(0), policy="OnFailure")).status == "exited"
    assert of(pod(ended(0), policy="Always"), wanted="stopped").status == "exited"
    assert of(pod(ended(1), "Failed", policy="Always")).status == "exited"
    assert of(pod(RUNNING, main=before)).finished == AT + 4


@pytest.mark.parametrize(
    ("reason", "wanted", "error"),
    [
        ("Evicted", "running", "Evicted: The node was low on resource: memory."),
        ("NodeLost", "running", "NodeLost: The node was low on resource: memory."),
        ("DeadlineExceeded", "stopped", ""),
        ("DeadlineExceeded", "running", "DeadlineExceeded: The node was low on resource: memory."),
    ],
)
def test_why_the_cluster_has_ended_a_pod_is_its_error(reason: str, wanted: Any, error: str) -> None:
    said = {"reason": reason, "message": "The node was low on resource: memory."}
    found = of(pod(None, "Failed", **said), wanted=wanted)
    assert (found.status, found.exit_code, found.error) == ("exited", 137, error)
    assert of(pod(ended(5), "Failed", **said), wanted=wanted) == State("exited", 5, error, AT, AT + 4)


NOT_FOUND, DENIED = 'exec: "x": executable file not found in $PATH: unknown', 'exec: "/x": permission denied: unknown'


@pytest.mark.parametrize(
    ("terminated", "found"),
    [
        ({"exitCode": 3}, None),
        ({"exitCode": 127, "message": "sh: x: not found"}, None),
        ({"exitCode": 1, "message": DENIED}, None),
        ({"exitCode": 127, "message": f"{NOT_FOUND}\n"}, (127, RUNC + NOT_FOUND)),
        ({"exitCode": 126, "message": DENIED}, (126, RUNC + DENIED)),
        ({"exitCode": 128, "reason": "StartError", "message": RUNC + NOT_FOUND}, (127, RUNC + NOT_FOUND)),
        ({"exitCode": 127, "reason": "ContainerCannotRun", "message": RUNC + DENIED}, (126, RUNC + DENIED)),
        ({"exitCode": 128, "reason": "StartError"}, (128, "")),
    ],
)
def test_a_command_that_could_not_be_started_is_told_as_by_an_engine(
    terminated: dict[str, Any], found: tuple[int, str] | None
) -> None:
    assert unable(terminated) == found
    if found is not None:
        shown = of(pod({"terminated": terminated}))
        assert (shown.status, shown.exit_code, shown.error) == ("created", *found)
        again = of(pod({"terminated": terminated}, main={"restartCount": 1}))
        assert (again.status, again.exit_code, again.error) == ("exited", *found)


def test_a_start_that_failed_leaves_a_container_as_it_was() -> None:
    error = RUNC + NOT_FOUND
    found = of(None, run=0, wanted="created", error=error)
    assert (found.status, found.exit_code, found.error) == ("created", 127, error)
    found = of(None, wanted="created", error="no such image", last=Ended(1, 3, AT, AT + 1))
    assert (found.status, found.exit_code, found.started) == ("exited", 128, AT)


@pytest.mark.parametrize("text", ["", "x", "-1", "1" * 30, "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_pod_that_tells_no_run_is_of_none(text: str) -> None:
    assert run_of({"metadata": {"annotations": {names.RUN: text}}}) == 0
    assert run_of({}) == 0


def test_a_time_that_is_none_is_never() -> None:
    assert of(pod({"running": {"startedAt": "soon"}})).started == 0
    assert of(pod({"running": {"startedAt": None}})).started == 0


def test_it_is_described_as_by_an_inspection() -> None:
    health = Health("unhealthy", 2, (Probe(AT, AT + 1, 1, "no"),))
    found = of(pod(RUNNING), health=health).described()
    assert found["Running"] is True
    assert found["StartedAt"] == "2026-11-27T20:17:16.000000000Z"
    assert found["Health"]["Log"][0]["Output"] == "no"
    assert "Health" not in of(None).described()
