"""The docker CLI on containers in a fake Azure: simulated ones, and those of a real engine with real terminals."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.azure.aci import fake_process
from tests.support.engines import Engine, docker, swarmd

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module", params=["simulated", "real"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a swarmd with the backend."""
    engine: list[str] = []
    if request.param == "real":
        found: tuple[Engine, Engine] = request.getfixturevalue("engines")
        engine = ["--engine", f"docker {found[0].host}"]
    folder = tmp_path_factory.mktemp("azure")
    with (
        pytest.MonkeyPatch.context() as patch,
        fake_process(folder, patch, *engine),
        swarmd("aci --poll 0.2s") as running,
    ):
        yield running.host


def said(host: str, *words: str) -> str:
    """What the CLI prints to stdout."""
    return docker(host, *words, check=True).stdout.decode()


def test_a_container_is_run(host: str) -> None:
    assert said(host, "run", "--rm", "-e", "A=it's", "busybox", "sh", "-c", "echo $A") == "it's\n"
    assert docker(host, "run", "--rm", "busybox", "sh", "-c", "exit 7").returncode == 7
    assert said(host, "ps", "-aq") == ""


def test_a_life_from_run_to_rm(host: str) -> None:
    said(host, "run", "-d", "--name", "web", "--label", "a=b", "busybox", "sh", "-c", "echo begun; sleep 1000")
    try:
        assert said(host, "ps", "--format", "{{.Names}} {{.Image}} {{.Status}}").startswith("web busybox Up ")
        assert said(host, "logs", "web") == "begun\n"
        assert said(host, "exec", "-w", "/tmp", "-e", "X=1", "web", "sh", "-c", "echo $X; pwd") == "1\n/tmp\n"
        assert docker(host, "exec", "web", "sh", "-c", "exit 9").returncode == 9
        said(host, "rename", "web", "www")
        said(host, "stop", "www")
        assert said(host, "ps", "-a", "--format", "{{.Names}} {{.State}}") == "www exited\n"
        said(host, "start", "www")
        assert said(host, "inspect", "-f", "{{.State.Running}} {{.Config.Labels.a}}", "www") == "true b\n"
    finally:
        docker(host, "rm", "-f", "web", "www")
    assert said(host, "ps", "-aq") == ""


def test_logs_are_followed_to_the_end(host: str) -> None:
    said(
        host, "run", "-d", "--name", "counts", "busybox", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done"
    )
    try:
        assert said(host, "logs", "-f", "counts").split() == ["1", "2", "3", "4", "5"]
    finally:
        said(host, "rm", "-f", "counts")


def test_a_terminal_is_used(host: str) -> None:
    said(host, "run", "-d", "--name", "typed", "busybox", "sleep", "1000")
    try:
        main, side = os.openpty()
        command = ["docker", "-H", host, "exec", "-it", "typed", "sh", "-c", "read line; echo got $line; exit 5"]
        with subprocess.Popen(command, stdin=side, stdout=side, stderr=side, start_new_session=True) as process:
            os.close(side)
            os.write(main, b"hello\r")
            shown = b""
            while b"got hello" not in shown:
                shown += os.read(main, 1024)
            assert process.wait(10) == 5
        os.close(main)
        assert b"swarmlib-" not in shown
    finally:
        said(host, "rm", "-f", "typed")


@pytest.mark.parametrize("host", ["real"], indirect=True)  # the simulator's shell reads commands of one line
def test_a_long_command_is_no_problem_for_a_terminal(host: str) -> None:
    said(host, "run", "-d", "--name", "long", "busybox", "sleep", "1000")
    try:
        assert said(host, "exec", "long", "echo", "x" * 3000) == "x" * 3000 + "\n"
    finally:
        said(host, "rm", "-f", "long")


def test_what_can_not_be_had_is_refused_by_name(host: str) -> None:
    for words, text in (
        (("-it",), "Tty (its command has no terminal; use docker exec -it)"),
        (("-p", "8080:80"), "HostConfig.PortBindings.80/tcp '8080' (Azure publishes a port under its own number"),
        (("-v", "/srv:/srv"), "the mount '/srv' (there is no machine with folders"),
        (("--cap-add", "SYS_ADMIN"), "HostConfig.CapAdd (Azure decides about it)"),
    ):
        done = docker(host, "create", *words, "busybox")
        assert (done.returncode, text in done.stderr.decode()) == (1, True), done.stderr
    assert said(host, "ps", "-aq") == ""
