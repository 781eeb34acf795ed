"""The life of containers in a real cluster, by the real docker CLI: started, run again, and seen by gateways that come
later.
"""

import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import Swarmd, docker, free_port, swarmd, wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def keeping(stage: str) -> Iterator[Swarmd]:
    """A gateway of the same namespace that keeps the files of containers."""
    with swarmd(f"{stage} --keep") as running:
        yield running


def output(gateway: Swarmd, *command: str) -> str:
    return docker(gateway.host, *command, check=True).stdout.decode().strip()


def shown(gateway: Swarmd, name: str, what: str) -> str:
    return output(gateway, "inspect", "--format", f"{{{{{what}}}}}", name)


def test_a_container_runs_again_with_its_files_and_all_of_its_logs(keeping: Swarmd, image: str, tmp_path: Path) -> None:
    script = "echo x >>/n; echo err >&2; sleep 0.3; printf 'out, no end'; exit $(wc -l </n)"
    ran = docker(keeping.host, "run", "--name", "again", image, "sh", "-c", script)
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"out, no end", b"err\n", 1)
    for code in (2, 3):
        ran = docker(keeping.host, "start", "-a", "again")
        assert (ran.stdout, ran.stderr, ran.returncode) == (b"out, no end", b"err\n", code)
    output(keeping, "restart", "again")
    assert output(keeping, "wait", "again") == "4"
    assert output(keeping, "logs", "again") == "err\nout, no end" * 4
    assert output(keeping, "logs", "--tail", "1", "again") == "out, no end"
    output(keeping, "cp", "again:/n", str(tmp_path))
    assert (tmp_path / "n").read_bytes() == b"x\n" * 4
    assert b"is not running" in docker(keeping.host, "exec", "again", "true").stderr
    (tmp_path / "n").write_bytes(b"x\n" * 41)
    output(keeping, "cp", str(tmp_path / "n"), "again:/n")
    assert docker(keeping.host, "start", "-a", "again").returncode == 42
    output(keeping, "rm", "again")


def test_its_main_process_alone_is_stopped_killed_and_restarted_by_its_policy(keeping: Swarmd, image: str) -> None:
    program = "trap 'echo bye; exit 5' TERM; (trap '' TERM; sleep 1000) & echo up; while :; do sleep 0.1; done"
    words = ("--name", "kept", "--restart", "on-failure:1", image, "sh", "-c", program)
    output(keeping, "run", "-d", *words)
    wait_until(lambda: "up" in output(keeping, "logs", "kept"), "the first line")
    titles, *rows = output(keeping, "top", "kept").splitlines()
    assert "CMD" in titles
    assert not any("/.swarm/" in row for row in rows)
    output(keeping, "stop", "kept")
    assert (shown(keeping, "kept", ".State.Status"), shown(keeping, "kept", ".State.ExitCode")) == ("exited", "5")
    output(keeping, "start", "kept")
    wait_until(lambda: output(keeping, "logs", "kept").splitlines().count("up") == 2, "the second run")
    output(keeping, "exec", "kept", "sh", "-c", "kill -9 $(cat /.swarm/pid)")  # which nobody has asked for
    wait_until(lambda: shown(keeping, "kept", ".RestartCount") == "1", "the restart")
    wait_until(lambda: output(keeping, "logs", "kept").splitlines().count("up") == 3, "the third run")
    assert shown(keeping, "kept", ".State.Status") == "running"
    output(keeping, "kill", "kept")
    assert (shown(keeping, "kept", ".State.Status"), shown(keeping, "kept", ".State.ExitCode")) == ("exited", "137")
    output(keeping, "update", "--restart", "no", "kept")
    output(keeping, "rm", "kept")


def test_what_has_happened_while_no_gateway_lived_is_known_at_once(stage: str, keeping: Swarmd, image: str) -> None:
    with tempfile.NamedTemporaryFile() as log:
        other = Swarmd((f"{stage} --keep",), log, free_port(), "")
        wait_until(other.accepts, "swarmd", other.process)
        output(other, "run", "-d", "--name", "survivor", image, "sh", "-c", "echo alive; sleep 2; exit 6")
        waiting = subprocess.Popen(["docker", "-H", keeping.host, "wait", "survivor"], stdout=subprocess.PIPE)
        other.process.kill()
        other.process.wait()
    assert waiting.communicate(timeout=60)[0] == b"6\n"
    with swarmd(stage) as third:
        assert output(third, "ps", "-a", "--filter", "name=survivor", "--format", "{{.State}}") == "exited"
        assert docker(third.host, "start", "-a", "survivor").returncode == 6
        output(third, "rm", "survivor")


@pytest.mark.parametrize(
    ("mode", "word", "code", "said"),
    [("gateway", "nosuch", 127, "not found"), ("keeping", "/etc", 126, "permission denied")],
)
def test_a_command_that_cannot_be_run_has_an_engine_s_exit_code(
    request: pytest.FixtureRequest, image: str, mode: str, word: str, code: int, said: str
) -> None:
    gateway: Swarmd = request.getfixturevalue(mode)
    ran = docker(gateway.host, "run", "--name", "unable", image, word)
    assert (ran.returncode, said in ran.stderr.decode()) == (code, True)
    found = json.loads(output(gateway, "inspect", "--format", "{{json .State}}", "unable"))
    assert (found["Status"], found["ExitCode"], found["Running"]) == ("created", code, False)
    output(gateway, "rm", "unable")


def test_files_that_were_copied_in_outlive_a_start_that_failed(keeping: Swarmd, image: str) -> None:
    output(keeping, "create", "--name", "tool", image, "/tool")
    assert b"no such file" in docker(keeping.host, "start", "tool").stderr
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as made:
        info = tarfile.TarInfo("tool")
        info.mode, script = 0o755, b"#!/bin/sh\necho works\n"
        info.size = len(script)
        made.addfile(info, io.BytesIO(script))
    docker(keeping.host, "cp", "-", "tool:/", input=archive.getvalue(), check=True)
    assert docker(keeping.host, "start", "-a", "tool").stdout == b"works\n"
    output(keeping, "rm", "tool")


def test_input_reaches_a_command_that_asks_for_it_once(gateway: Swarmd, keeping: Swarmd, image: str) -> None:
    assert docker(gateway.host, "run", "--rm", image, "sh", "-c", "cat; echo $?").stdout == b"0\n"
    ran = docker(keeping.host, "run", "--name", "once", "-i", image, "cat", input=b"typed\n")
    assert (ran.stdout, ran.returncode) == (b"typed\n", 0)
    refused = docker(keeping.host, "start", "-ai", "once", input=b"again")
    assert b"received 501" in refused.stderr  # the docker CLI does not show why
    assert docker(keeping.host, "start", "-a", "once").returncode == 0
    output(keeping, "rm", "once")


def test_a_restart_policy_that_the_cluster_follows_ends_at_its_count(gateway: Swarmd, image: str) -> None:
    output(gateway, "run", "-d", "--name", "retries", "--restart", "on-failure:1", image, "sh", "-c", "exit 3")
    wait_until(lambda: shown(gateway, "retries", ".State.Status") == "exited", "the last end")
    assert (shown(gateway, "retries", ".RestartCount"), shown(gateway, "retries", ".State.ExitCode")) == ("1", "3")
    output(gateway, "rm", "retries")
