"""Health checks in Pods: the script that makes them, run by a real busybox, and what is read of its results."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import BadAnswer
from swarmlib_backends.enginekit.health import Plan, Probe
from swarmlib_backends.kubernetes.pods import health
from swarmlib_backends.kubernetes.pods.record import Health
from tests.backends.kubernetes.pods.containers import OPTIONS, record
from tests.support.engines import BUSYBOX, wait_until

PLAN = Plan(["true"], 30.0, 3.0, 0.0, 30.0, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The tools' folder of a container whose process runs."""
    (tmp_path / "busybox").symlink_to(BUSYBOX)
    with subprocess.Popen(["sleep", "100"]) as main:
        (tmp_path / "pid").write_text(f"{main.pid}\n")
        yield tmp_path
        main.kill()


@contextmanager
def checking(folder: Path, program: str, *, period: int = 0, timeout: int = 500) -> Iterator[subprocess.Popen[bytes]]:
    """A client of the checks of a container, ten in a second, of which two must fail; the shim would write a number."""
    times = ("0.05", "0.1", "0.1", str(period), str(timeout), "2")
    command = (f"{folder}/busybox", "sh", "-c", health.SCRIPT, "sh", folder, "", *times)
    words = (*command, f"{folder}/busybox", "sh", "-c", f"echo 1; {program}")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        yield client
        assert client.stdin is not None
        client.stdin.close()
        assert client.wait(10) is not None


def state(client: subprocess.Popen[bytes], status: str) -> Health:
    """The first state with this status, and a check."""
    assert client.stdout is not None
    while True:
        found = health.read(client.stdout.readline().removesuffix(b"\n"), PLAN)
        if found.status == status and found.log:
            return found


def test_a_container_is_checked_once_for_all_that_ask(folder: Path) -> None:
    program = f"echo ran >>{folder}/ran; echo out; echo err >&2; exit 3"
    with checking(folder, program) as one, checking(folder, program) as other:
        found = state(one, "unhealthy")
        assert {(each.exit_code, each.output) for each in found.log} == {(3, "out\nerr\n")}
        assert all(before.end <= after.start for before, after in zip(found.log, found.log[1:], strict=False))
        same = state(other, "unhealthy")
        assert (folder / "ran").read_text().count("ran") <= same.failing + 2


def test_a_check_that_succeeds_makes_it_healthy_and_in_its_first_time_none_harms(folder: Path) -> None:
    with checking(folder, f"[ -e {folder}/ok ]", period=100) as client:
        assert state(client, "starting").failing == 0
        (folder / "ok").touch()
        assert state(client, "healthy").log[-1].exit_code == 0
        (folder / "ok").unlink()
        assert state(client, "unhealthy").failing == 2


def test_a_check_that_takes_too_long_is_ended(folder: Path) -> None:
    with checking(folder, "sleep 60 & sleep 60", timeout=30) as client:
        (first, *_) = state(client, "starting").log
        assert (first.exit_code, first.output) == (-1, "Health check exceeded timeout (3s)")
        assert first.end - first.start < 10


def test_the_checks_end_with_the_container(folder: Path) -> None:
    with checking(folder, "true") as client:
        state(client, "healthy")
        main = (folder / "pid").read_text().strip()
        holder = (folder / f"health.{main}" / "pid").read_text().strip()
        os.kill(int(main), 9)
        os.waitpid(int(main), 0)
        wait_until(lambda: not Path(f"/proc/{holder}").exists(), "the end of the checks")


def test_what_a_pod_tells_is_read() -> None:
    line = b"healthy 0 17950000000000:17950000000150:0:MTIKaGkK 17950000003000:17950000003300:late:MTIK"
    first, last = health.read(line, PLAN).log
    assert first == Probe(179500000000.0, 179500000001.5, 0, "hi\n")
    assert (last.exit_code, last.output) == (-1, "Health check exceeded timeout (3s)")
    unable = health.read(b"starting 1 1:2:126:T0NJIHJ1bnRpbWUK", PLAN).log[0]
    assert (unable.exit_code, unable.output) == (-1, "OCI runtime")


@given(st.binary(max_size=60) | st.text("healthystarting 0123456789:=late").map(str.encode))
def test_what_is_no_state_is_refused(line: bytes) -> None:
    try:
        found = health.read(line, PLAN)
    except BadAnswer:
        return
    assert found.status in ("starting", "healthy", "unhealthy")


def checked(status: str, *starts: float) -> Health:
    return Health(status, 0, tuple(Probe(start, start, 0, "") for start in starts))


@pytest.mark.parametrize(
    ("known", "found", "kept"),
    [
        (checked("healthy", 11), checked("unhealthy", 12), True),
        (checked("unhealthy", 12), checked("healthy", 11), False),  # another gateway has heard more
        (checked("healthy", 11), checked("healthy", 12), False),
        (checked("healthy", 9), checked("starting"), True),  # the cluster has restarted it
        (checked("healthy", 11), checked("starting"), False),
        (None, checked("healthy", 11), True),
    ],
)
def test_a_newer_status_is_written_down(known: Health | None, found: Health, kept: bool) -> None:
    before = record({}, run=1, wanted="running", health=known)
    assert (health.noted(before, 1, found, 10.0).health == found) == (kept or found == known)
    assert health.noted(before, 2, found, 10.0) == before


def test_nobody_checks_after_the_end() -> None:
    last = checked("healthy", 11, 12)
    after = health.ended(record({}, run=1, health=checked("healthy", 11)), 1, last)
    assert after.health == checked("unhealthy", 11, 12)
    assert health.ended(after, 1, checked("healthy", 11)) == after


def test_a_check_has_the_environment_of_its_container() -> None:
    body = {"Env": ["A=$(B)", "x.y=z"], "Healthcheck": {"Test": ["CMD-SHELL", "echo $A"], "Interval": 5 * 10**9}}
    found = record({**body, "Shell": ["/bin/ash", "-ec"]})
    plan = health.plan(found, OPTIONS)
    assert plan is not None
    words = health.command(found, plan, OPTIONS)
    assert words[5:13] == ("/.swarm", "", "1.00", "5.000", "5.000", "0", "3000", "3")
    assert words[-4:] == ("/bin/ash", "-ec", "echo $A", "x.y=z")
