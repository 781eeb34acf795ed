"""A container as its record and its Pod change: its state, and the ends of its runs."""

from typing import Any

import pytest

from swarmlib_backends.kubernetes.container import PodContainer
from swarmlib_backends.kubernetes.pods import names
from swarmlib_backends.kubernetes.pods.record import Ended
from tests.backends.kubernetes.pods.containers import host, record

AT = "2026-11-27T20:17:16Z"
ALWAYS = host(RestartPolicy={"Name": "always"})
RETRIES = host(RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 1})


def pod(state: dict[str, Any], run: int = 1, restarts: int = 0, policy: str = "Never") -> dict[str, Any]:
    main = {"name": names.MAIN, "state": state, "restartCount": restarts}
    return {
        "metadata": {"annotations": {names.RUN: str(run)}},
        "spec": {"restartPolicy": policy},
        "status": {"phase": "Running", "containerStatuses": [main]},
    }


RUNNING = {"running": {"startedAt": AT}}
ENDED = {"terminated": {"exitCode": 3, "startedAt": AT, "finishedAt": AT}}


def container(state: dict[str, Any], body: dict[str, Any] | None = None, **more: Any) -> PodContainer:
    return PodContainer(record(body, **{"run": 1, "wanted": "running", **more}), pod(state))


def test_an_end_that_was_seen_stays_when_the_pod_goes_first() -> None:
    found = container(ENDED)
    found.update(found.record, None)
    assert (found.status, found.exit_code) == ("exited", 3)
    lost = container(RUNNING)
    lost.update(lost.record, None)
    assert (lost.status, lost.exit_code, lost.state.error) == ("exited", 137, "its Pod was deleted")


def test_a_container_that_is_kept_lives_as_its_record_says_while_its_pod_runs() -> None:
    kept = container(RUNNING, keep=True)
    assert kept.status == "running"
    end = Ended(1, 3, 5.0, 6.0, oom_killed=True)
    kept = container(RUNNING, keep=True, last=end)
    assert (kept.status, kept.exit_code, kept.state.oom_killed, kept.at_gate) == ("exited", 3, True, True)
    again = container(RUNNING, keep=True, run=2, last=end)
    assert (again.status, again.state.finished) == ("running", 6.0)
    failed = container(RUNNING, keep=True, run=2, last=end, error="no such file or directory")
    assert (failed.status, failed.exit_code, failed.state.started) == ("exited", 127, 5.0)
    assert container(ENDED, keep=True, run=2, last=end).exit_code == 3, "its Pod has ended"


@pytest.mark.parametrize(
    ("body", "more", "status"),
    [
        (ALWAYS, {}, "restarting"),
        (ALWAYS, {"wanted": "stopped"}, "exited"),
        (RETRIES, {}, "restarting"),
        (RETRIES, {"restarts": 1}, "exited"),
        (RETRIES, {"last": Ended(1, 0)}, "exited"),
        ({}, {}, "exited"),
    ],
)
def test_its_policy_says_whether_it_runs_again(body: dict[str, Any], more: dict[str, Any], status: str) -> None:
    assert container(RUNNING, body, **{"keep": True, "last": Ended(1, 3), **more}).status == status


def test_a_wait_ends_with_each_run_and_not_with_a_start_that_fails() -> None:
    found = container(RUNNING, ALWAYS, keep=True)
    waiting = found.exited
    found.update(record(ALWAYS, run=1, wanted="running", keep=True, last=Ended(1, 3)), found.pod)
    assert (waiting.is_set(), found.status) == (True, "restarting")
    found = container(RUNNING, keep=True)
    found.begins, waiting = True, found.exited
    found.update(record(run=1, wanted="created", keep=True, error="not found"), found.pod)
    assert (waiting.is_set(), found.status) == (False, "created")


def test_ends_are_seen_also_where_the_cluster_tells_less_than_happens() -> None:
    found = container(RUNNING)
    before = found.update(found.record, pod(RUNNING, restarts=1, policy="Always"))
    assert found.has_ended_since(before)
    before = found.update(found.record, pod(ENDED, restarts=1, policy="Always"))
    assert (found.has_ended_since(before), found.status) == (True, "restarting")
    before = found.update(found.record, pod(RUNNING, restarts=2, policy="Always"))
    assert not found.has_ended_since(before), "it was told when it ended"
    new = container({"waiting": {}})
    before = new.update(new.record, pod(ENDED))
    assert new.has_ended_since(before), "it was never seen running"
