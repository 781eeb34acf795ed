"""The real docker CLI through `dockerserver | debug | exec`: the embedded default, with no engine at all."""

import secrets
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.engines import docker, docker_process, swarmd, use_a_terminal

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with swarmd("debug", "exec") as running:
        yield running.host


def out(host: str, *args: str) -> str:
    return docker(host, *args, check=True).stdout.decode().strip()


def test_run_gives_output_and_the_exit_code(host: str) -> None:
    assert out(host, "run", "--rm", "any", "echo", "hello") == "hello"
    assert docker(host, "run", "--rm", "any", "sh", "-c", "exit 7").returncode == 7
    assert docker(host, "run", "--rm", "any", "nosuchprogram").returncode == 127


def test_stdin_is_half_closed_and_every_byte_arrives(host: str) -> None:
    data = secrets.token_bytes(1 << 20)
    assert docker(host, "run", "--rm", "-i", "any", "cat", input=data, check=True).stdout == data


def test_a_workload_from_run_to_rm(host: str) -> None:
    out(host, "run", "-d", "--name", "box", "any", "sh", "-c", "echo up; exec sleep 1000")
    assert out(host, "ps", "--format", "{{.Names}} {{.Image}}") == "box any"
    assert "sleep 1000" in out(host, "top", "box")
    assert out(host, "exec", "box", "echo", "beside") == "beside"
    assert docker(host, "exec", "box", "sh", "-c", "exit 3").returncode == 3
    out(host, "rename", "box", "case")
    assert out(host, "logs", "case") == "up"
    with docker_process(host, "wait", "case") as waiting:
        out(host, "stop", "-t", "5", "case")
        assert waiting.stdout is not None
        assert waiting.stdout.read() == b"143\n"
    assert out(host, "inspect", "-f", "{{.State.Status}}", "case") == "exited"
    out(host, "start", "case")
    out(host, "restart", "-t", "1", "case")
    out(host, "kill", "case")
    out(host, "rm", "case")
    assert out(host, "ps", "-aq") == ""


def test_logs_keep_the_streams_apart_and_are_followed_to_the_end(host: str) -> None:
    out(host, "run", "-d", "--name", "talker", "any", "sh", "-c", "echo one; echo two >&2; sleep 1000")
    with docker_process(host, "logs", "-f", "talker", stderr=subprocess.DEVNULL) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == b"one\n"
        out(host, "rm", "-f", "talker")
        assert following.wait(10) == 0
    docker(host, "run", "--name", "quick", "any", "sh", "-c", "echo one; echo two; echo three >&2", check=True)
    whole = docker(host, "logs", "quick", check=True)
    assert (whole.stdout, whole.stderr) == (b"one\ntwo\n", b"three\n")
    out(host, "rm", "quick")
    out(host, "run", "--name", "plain", "any", "printf", "one\ntwo\nthree")
    assert out(host, "logs", "--tail", "2", "plain") == "two\nthree"
    assert [line[:2] for line in out(host, "logs", "--timestamps", "plain").splitlines()] == ["20"] * 3
    out(host, "rm", "plain")


def test_a_terminal_has_its_size_and_passes_ctrl_c(host: str) -> None:
    use_a_terminal(host, "-e", "PS1=ready> ", "any", prompt=b"ready> ")


def test_what_a_process_cannot_have_is_said(host: str) -> None:
    refused = docker(host, "run", "--rm", "-v", "/tmp:/x", "-m", "64m", "any", "true")
    assert refused.returncode == 125
    assert b"a local process can't have HostConfig.Binds, HostConfig.Memory" in refused.stderr


def test_version_info_events(host: str) -> None:
    assert out(host, "version", "-f", "{{.Server.APIVersion}}") == "1.41"
    assert out(host, "info", "-f", "{{.OperatingSystem}}") == "processes"
    docker(host, "run", "--rm", "--name", "seen", "any", "true", check=True)
    shown = ("events", "--since", "1h", "--filter", "container=seen", "--format", "{{.Action}}")
    with docker_process(host, *shown) as watching:
        assert watching.stdout is not None
        assert [watching.stdout.readline() for _ in range(4)] == [b"create\n", b"start\n", b"die\n", b"destroy\n"]
