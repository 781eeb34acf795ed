"""The small filters with real engines, real processes and the real docker CLI."""

import json
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from swarmlib_backends.recording import Recording
from tests.support.engines import Engine, docker, engine, swarmd

pytestmark = pytest.mark.engine


def out(host: str, *args: str, input: bytes | None = None) -> str:
    done = docker(host, *args, input=input)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def session(host: str) -> list[str]:
    """What a user sees of a container's life."""
    return [
        out(host, "run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2"),
        out(host, "run", "--rm", "-i", "busybox", "cat", input=b"by stdin"),
        out(
            host, "run", "-d", "--name", "box", "-e", "DB_PASSWORD=hunter2", "busybox", "sh", "-c", "echo up; sleep 60"
        ),
        out(host, "exec", "-i", "box", "tr", "a-z", "A-Z", input=b"shout\n"),
        out(host, "ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}}"),
        out(host, "logs", "box"),
        out(host, "cp", "box:/etc", "-"),
        str(docker(host, "exec", "box", "sh", "-c", "exit 3").returncode),
        str(docker(host, "inspect", "nosuch").returncode),
        out(host, "rm", "-f", "box"),
    ]


def test_a_session_of_the_docker_cli_is_replayed_with_the_engine_gone(tmp_path: Path) -> None:
    file = tmp_path / "session"
    with engine() as recorded, swarmd(f"record {file}", f"docker {recorded.host}") as running:
        seen = session(running.host)
    assert b"hunter2" not in file.read_bytes()
    with closing(Recording(str(file))) as recording:
        assert len(list(recording.events())) > 100
        assert recording.damage == ""
    with swarmd(f"replay {file}") as running:
        assert session(running.host) == seen
        missing = docker(running.host, "stop", "box")
        assert missing.returncode == 1
        assert b"not recorded: stop containers/box; the nearest that were: " in missing.stderr
        assert "not recorded: stop containers/box" in running.log.read_text()


def test_an_engine_that_is_down_for_a_while_is_waited_for_by_retry(engines: tuple[Engine, Engine]) -> None:
    first, _ = engines
    with swarmd("retry --max-attempts 20 --backoff 0.2 --max-backoff 0.5", f"docker {first.host}") as running:
        first.socket.rename(first.folder / "aside")
        starting = subprocess.Popen(
            ["docker", "-H", running.host, "run", "--rm", "busybox", "echo", "at last"], stdout=subprocess.PIPE
        )
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                starting.wait(1)
        finally:
            (first.folder / "aside").rename(first.socket)
        assert starting.communicate(timeout=20)[0] == b"at last\n"


def test_the_same_seed_fails_the_same_calls_of_the_docker_cli() -> None:
    def faults() -> list[int]:
        with swarmd("chaos --seed 3 --errors 'ls *=0.5' --latency '5ms±5ms' --slow 1MiB/s", "exec") as running:
            assert out(running.host, "run", "--rm", "-i", "any", "cat", input=bytes(100_000)) == "\0" * 100_000
            return [docker(running.host, "ps").returncode for _ in range(8)]

    first = faults()
    assert set(first) == {0, 1}
    assert first == faults()


def test_a_conversation_that_is_cut_ends_for_the_docker_cli_too() -> None:
    with swarmd("chaos --seed 5 --cut 1 --filter 'connect exec/*'", "exec") as running:
        out(running.host, "run", "-d", "--name", "box", "any", "sleep", "60")
        cut = docker(running.host, "exec", "-i", "box", "cat", input=bytes(3_000_000), timeout=20)
        assert len(cut.stdout) < 100_000  # whether as an error depends on what the kernel still held: TCP's own race
        assert out(running.host, "ps", "--format", "{{.Names}}") == "box\n"
        out(running.host, "rm", "-f", "box")


def test_filters_in_a_row_serve_the_docker_cli(tmp_path: Path) -> None:
    second = f"debug --json | record {tmp_path}/copies | exec"
    row = ("limit --max-concurrent 4 --rate 1000/s", "timeout --after 20", "retry", "cache --ttl 5 --watch-events")
    with swarmd(*row, f"tee ({second}) --filter 'ls*'", "exec") as running:
        out(running.host, "run", "-d", "--name", "box", "any", "sleep", "60")
        for _ in range(3):
            assert out(running.host, "ps", "--format", "{{.Names}}") == "box\n"
        copies = [line for line in running.log.read_text().splitlines() if line.startswith("{")]
        assert [json.loads(line)["verb"] for line in copies if "verb" in line] == ["ls"]
        assert out(running.host, "exec", "-i", "box", "cat", input=b"through all") == "through all"
        out(running.host, "rm", "-f", "box")
        assert out(running.host, "ps", "-aq") == ""
