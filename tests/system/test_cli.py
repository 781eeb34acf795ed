"""The real docker CLI through `dockerserver | debug | balance` over two real engines."""

import json
import os
import pty
import secrets
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.engines import Engine, Swarmd, docker, docker_process, engine, read_until, swarmd, use_a_terminal

pytestmark = pytest.mark.engine


@pytest.fixture
def host(gateway: Swarmd) -> Iterator[str]:
    """The gateway's address; what a test leaves behind is removed."""
    yield gateway.host
    left = docker(gateway.host, "ps", "-aq", check=True).stdout.split()
    if left:
        docker(gateway.host, "rm", "-f", *(each.decode() for each in left), check=True)


def out(host: str, *args: str, input: bytes | None = None) -> str:
    done = docker(host, *args, input=input)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def test_containers_are_spread_and_listed_as_one(host: str, engines: tuple[Engine, Engine]) -> None:
    for name in ("one", "two", "three", "four"):
        out(host, "run", "-d", "--name", name, "busybox", "httpd", "-f")
    assert set(out(host, "ps", "-a", "--format", "{{.Names}}").split()) == {"one", "two", "three", "four"}
    shares = [len(out(each.host, "ps", "-q").split()) for each in engines]
    assert shares == [2, 2]
    for name in ("one", "two", "three", "four"):
        assert out(host, "inspect", "-f", "{{.Name}}", name) == f"/{name}"
        assert out(host, "exec", name, "echo", "in", name) == f"in {name}"


def test_stdin_is_half_closed_and_every_byte_arrives(host: str) -> None:
    data = secrets.token_bytes(1 << 20)
    done = docker(host, "run", "--rm", "-i", "busybox", "cat", input=data)
    assert (done.returncode, done.stdout == data) == (0, True)


def test_the_exit_code_is_the_commands(host: str) -> None:
    assert docker(host, "run", "--rm", "busybox", "sh", "-c", "exit 7").returncode == 7


def test_exec_carries_stdin_and_the_exit_code(host: str) -> None:
    out(host, "run", "-d", "--name", "web", "busybox", "sleep", "1000")
    data = secrets.token_bytes(100_000)
    assert docker(host, "exec", "-i", "web", "cat", input=data).stdout == data
    assert docker(host, "exec", "web", "sh", "-c", "exit 3").returncode == 3
    assert docker(host, "exec", "-d", "web", "touch", "/made").returncode == 0
    assert docker(host, "exec", "nosuch", "true").returncode == 1


def test_a_terminal_has_its_size_and_passes_ctrl_c(host: str) -> None:
    use_a_terminal(host, "busybox", prompt=b"# ")


def test_logs_are_whole_and_followed_to_the_end(host: str) -> None:
    out(host, "run", "--name", "talker", "busybox", "sh", "-c", "echo one; echo two >&2")
    done = docker(host, "logs", "talker")
    assert (done.stdout, done.stderr) == (b"one\n", b"two\n")
    out(host, "run", "-d", "--name", "slow", "busybox", "sh", "-c", "mkfifo /go; echo one; cat /go; echo two")
    with docker_process(host, "logs", "-f", "slow") as following:
        assert following.stdout is not None
        assert following.stdout.readline() == b"one\n"
        out(host, "exec", "slow", "sh", "-c", "echo mid > /go")
        assert following.stdout.read() == b"mid\ntwo\n"
        assert following.wait(10) == 0


def test_attach_and_detach(host: str, engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    out(host, "create", "-i", "--name", "echo", "busybox", "cat")
    assert docker(host, "start", "-ai", "echo", input=b"back\n").stdout == b"back\n"
    out(host, "run", "-dit", "--name", "tty", "busybox", "sh")
    members = " ".join(f'"docker {each.host}"' for each in engines)
    unix = f"unix://{tmp_path}/docker.sock"  # over TCP this CLI does not end when detached, not from an engine either
    master, slave = pty.openpty()
    tty = {"stdin": slave, "stdout": slave, "stderr": slave}
    with swarmd(f"balance {members}", listen=unix), docker_process(unix, "attach", "tty", **tty) as attached:
        os.close(slave)
        os.write(master, b"echo he''re\n")
        read_until(master, b"here\r\n")
        os.write(master, b"\x10\x11")  # Ctrl-P, Ctrl-Q
        assert attached.wait(20) == 1
    os.close(master)
    assert out(host, "inspect", "-f", "{{.State.Status}}", "tty") == "running"


def test_stop_kill_wait_rename_restart_rm(host: str) -> None:
    out(host, "run", "-d", "--name", "box", "busybox", "sleep", "1000")
    out(host, "rename", "box", "case")
    out(host, "restart", "-t", "0", "case")
    out(host, "pause", "case")
    out(host, "unpause", "case")
    with docker_process(host, "wait", "case") as waiting:
        out(host, "kill", "-s", "KILL", "case")
        assert waiting.stdout is not None
        assert waiting.stdout.read() == b"137\n"
    assert out(host, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "case") == "exited 137"
    out(host, "start", "case")
    out(host, "stop", "-t", "0", "case")
    out(host, "rm", "case")
    gone = docker(host, "inspect", "case")
    assert gone.returncode == 1
    assert b"No such object: case" in gone.stderr


def test_top_stats_update_diff(host: str) -> None:
    out(host, "run", "-d", "--name", "box", "busybox", "sh", "-c", "touch /new; exec sleep 1000")
    assert "sleep 1000" in out(host, "top", "box")
    assert "box" in out(host, "stats", "--no-stream", "--format", "{{.Name}}", "box")
    out(host, "update", "--restart", "no", "box")
    assert "A /new" in out(host, "diff", "box")


def test_cp_goes_both_ways_and_export_gives_the_files(host: str, tmp_path: Path) -> None:
    out(host, "run", "-d", "--name", "box", "busybox", "sleep", "1000")
    data = secrets.token_bytes(300_000)
    (tmp_path / "in").write_bytes(data)
    out(host, "cp", str(tmp_path / "in"), "box:/tmp/there")
    out(host, "cp", "box:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    with tarfile.open(fileobj=BytesIO(docker(host, "export", "box", check=True).stdout)) as tar:
        assert "bin/busybox" in tar.getnames()
    assert docker(host, "cp", "box:/nosuch", "-").returncode == 1


def test_events_of_both_engines_come_in_one_stream(host: str, engines: tuple[Engine, Engine]) -> None:
    for index, each in enumerate(engines):
        out(each.host, "create", "--name", f"on-{index}", "busybox")
    shown = ["--since", "1h", "--format", "{{.Actor.Attributes.name}}", "--filter", "event=create"]
    with docker_process(host, "events", *shown) as watching:
        assert watching.stdout is not None
        seen: set[bytes] = set()
        while not {b"on-0\n", b"on-1\n"} <= seen:
            seen.add(watching.stdout.readline())
        out(host, "create", "--name", "later", "busybox")
        assert b"later\n" in iter(watching.stdout.readline, b"")


def test_version_info_and_images(host: str) -> None:
    assert json.loads(out(host, "version", "-f", "{{json .Server.APIVersion}}")) == "1.41"
    assert out(host, "info", "-f", "{{.Name}}") == "swarmlib"
    out(host, "tag", "busybox", "other:1")
    assert "other:1" in out(host, "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    out(host, "rmi", "other:1")
    assert "other:1" not in out(host, "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert docker(host, "rmi", "nosuch").returncode == 1


def test_debug_shows_messages_and_replies(host: str, gateway: Swarmd) -> None:
    out(host, "run", "--rm", "busybox", "true")
    log = gateway.log.read_text()
    assert "spawn" in log
    assert "containers" in log


def test_errors_are_the_engines_own(host: str) -> None:
    missing = docker(host, "start", "nosuch")
    assert missing.returncode == 1
    assert b"No such container: nosuch" in missing.stderr
    out(host, "create", "--name", "taken", "busybox")
    taken = docker(host, "create", "--name", "taken", "busybox")
    assert taken.returncode == 1
    assert b"is already in use" in taken.stderr
    broken = docker(host, "run", "--rm", "busybox", "nosuchprogram")
    assert broken.returncode == 127


def test_an_engine_that_dies_ends_its_streams_and_spoils_nothing_else(engines: tuple[Engine, Engine]) -> None:
    with engine() as doomed, swarmd(f'balance "docker {engines[0].host}" "docker {doomed.host}"') as running:
        out(doomed.host, "run", "-d", "--name", "lost", "busybox", "sh", "-c", "echo up; exec sleep 1000")
        with docker_process(running.host, "logs", "-f", "lost") as following:
            assert following.stdout is not None
            assert following.stdout.readline() == b"up\n"
            doomed.kill()
            following.wait(20)
        out(running.host, "run", "-d", "--name", "kept", "busybox", "sleep", "1000")
        assert out(running.host, "ps", "--format", "{{.Names}}") == "kept"
        assert "is missing" in docker(running.host, "info").stderr.decode()
        out(running.host, "rm", "-f", "kept")


def test_a_frozen_engine_does_not_hold_up_the_list(engines: tuple[Engine, Engine]) -> None:
    first, second = engines
    with swarmd(f'balance --deadline 1 "docker {first.host}" "docker {second.host}"') as running:
        out(running.host, "run", "-d", "--name", "kept", "busybox", "sleep", "1000")
        holder, other = (first, second) if out(first.host, "ps", "-q") else (second, first)
        other.freeze()
        try:
            assert out(running.host, "ps", "--format", "{{.Names}}") == "kept"
        finally:
            other.thaw()
        out(holder.host, "rm", "-f", "kept")
