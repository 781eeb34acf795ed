"""The scripts of the tools in a Pod, run by the machine's busybox in process namespaces of their own."""

import os
import pty
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import swarmlib_backends.kubernetes.pods.shim as shim
from swarmlib_backends.kubernetes.pods.runs import mark, read_end
from tests.support.engines import BUSYBOX, read_until, wait_until

pytestmark = pytest.mark.engine
_ALONE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""What ends the rest of a container's processes must not see the machine's."""
_LINGER = "sh -c 'trap \"\" HUP; while :; do sleep 0.1; done' & echo $! >left;"


class Tools:
    """The tools in a folder instead of `/.swarm`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "busybox").symlink_to(BUSYBOX)
        self.report = folder / "report"
        self.report.touch()
        for name in ("shim", "runs"):
            text = Path(shim.__file__).with_name(f"{name}.sh").read_text("utf-8")
            text = text.replace("/dev/termination-log", str(self.report)).replace("/.swarm", str(folder))
            (folder / name).write_text(text)

    @contextmanager
    def container(self, mode: str, *words: str, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
        """A container that waits at its gate."""
        command = [*_ALONE, BUSYBOX, "sh", self.folder / "runs", mode, *words]
        given = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": self.folder, **streams}
        with subprocess.Popen(command, **given) as running:
            try:
                yield running
            finally:
                running.kill()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [BUSYBOX, "sh", self.folder / "runs", *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)

    def told(self, *words: str) -> list[str]:
        """What a command of the gateway's prints, which must end well."""
        with self.start(*words) as process:
            output, _ = process.communicate(timeout=20)
            assert process.returncode == 0
        return output.decode().splitlines()

    def outcome(self, run: int) -> tuple[int, ...]:
        return end_in("\n".join(self.told("end", str(run))).encode())


def end_in(told: bytes) -> tuple[int, int]:
    """The number of the run and its exit code, that are told of an end."""
    end = read_end(told)
    return end.run, end.code


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(tmp_path)


def test_a_container_waits_at_its_gate_and_becomes_its_command(tools: Tools) -> None:
    with tools.container("gate", "--", "sh", "-c", "cat go begun; exit 3") as running:
        assert tools.told("begin", "4") == []
        assert running.communicate(timeout=20)[0] == b"4\n4\n"
        assert running.returncode == 3
    assert tools.told("begin", "4") == [], "it has begun"


def test_a_container_that_is_kept_runs_again_and_every_end_is_told(tools: Tools) -> None:
    with tools.container("keep", "-n", "--", "sh", "-c", "cat; echo x >>files; exit $(wc -l <files)"):
        assert [tools.outcome(run) for run in (1, 2, 3)] == [(1, 1), (2, 2), (3, 3)]
        assert tools.outcome(3) == (3, 3), "it can be asked again"
        assert tools.outcome(2) == (3, 3), "an old run does not begin again"
        assert not (tools.folder / "go").exists()
        _, time = tools.told("end", "3")
        assert time.endswith(" +0000")


def test_any_number_wait_for_an_end_and_a_signal_reaches_the_command(tools: Tools) -> None:
    program = "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done"
    with tools.container("keep", "--", "sh", "-c", program) as running:
        waiting = [tools.start("end", "1") for _ in range(3)]
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        inner = (tools.folder / "pid").read_text().strip()
        subprocess.run(["nsenter", "-p", "-t", child(running), "kill", inner], check=True)
        assert [end_in(each.communicate(timeout=20)[0]) for each in waiting] == [(1, 5)] * 3


def test_who_is_late_to_let_an_earlier_run_begin_holds_none_up(tools: Tools) -> None:
    with tools.container("keep", "--", "sh", "-c", "exit 6") as running:
        assert tools.outcome(1) == (1, 6)
        wait_until(lambda: (tools.folder / "gate").is_fifo(), "the gate")
        os.kill(int(child(running)), signal.SIGSTOP)
        with tools.start("end", "2") as later:
            wait_until(lambda: (tools.folder / "go").exists(), "the second run's turn")
            (tools.folder / "go").write_text("1\n")
            os.kill(int(child(running)), signal.SIGCONT)
            assert end_in(later.communicate(timeout=20)[0]) == (2, 6)


def child(running: subprocess.Popen[bytes]) -> str:
    return Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()[0]


def test_what_a_command_leaves_behind_ends_with_it(tools: Tools) -> None:
    with tools.container("keep", "--", "sh", "-c", f"{_LINGER} exit 0") as running:
        assert tools.outcome(1) == (1, 0)
        left = (tools.folder / "left").read_text().strip()
        wait_until(lambda: not Path(f"/proc/{child(running)}/root/proc/{left}/cwd").exists(), "the end of the rest")


def test_a_run_gets_the_variables_of_its_links(tools: Tools) -> None:
    first, second = "DB_NAME=/web/db", "MY.DB_ENV_A=it's $(x)\n\\n"
    with tools.container("keep", "--", BUSYBOX, "env", "-0") as running:
        assert running.stdout is not None
        for run, words in enumerate((shlex.join([first, second]), shlex.join([first]), ""), 1):
            tools.told("end", str(run), *([words] if words else []))
            shown = b"".join(iter(lambda: running.stdout.read(1), b"\x1e"))  # type: ignore[union-attr]
            running.stdout.readline()
            found = [each for each in shown.decode().split("\0") if "DB_" in each]
            assert found == [first, second][: 3 - run]


@pytest.mark.parametrize("captured", [False, True])
def test_a_mark_ends_the_last_line_of_each_stream(tools: Tools, *, captured: bool) -> None:
    program = ("sh", "-c", "printf out; printf err >&2")
    os.mkfifo(tools.folder / "stderr")
    options = ["-c"] if captured else []
    with (
        tools.container("keep", *options, "--", *program, stderr=subprocess.PIPE) as running,
        relaying(tools) as relay,
    ):
        errors = relay.stdout if captured else running.stderr
        assert running.stdout is not None
        assert errors is not None
        for run in (1, 2):
            assert tools.outcome(run) == (run, 0)
            assert running.stdout.readline() == b"out" + mark(run) + b"\n"
            assert errors.readline() == b"err" + mark(run) + b"\n"


def test_nothing_is_lost_between_those_who_write_to_stderr(tools: Tools) -> None:
    errors = tools.folder / "stderr"
    os.mkfifo(errors)
    lines = [b"%d\n" % number for number in range(300)]
    with relaying(tools) as relay:
        for line in lines:
            errors.write_bytes(line)
        assert relay.stdout is not None
        assert [relay.stdout.readline() for _ in lines] == lines
        relay.terminate()
        assert relay.communicate(timeout=20)[0] == b""


@pytest.mark.parametrize("mode", [[], ["once"]])
def test_what_writes_stderr_ends_after_the_last_writer(tools: Tools, mode: list[str]) -> None:
    os.mkfifo(tools.folder / "stderr")
    with relaying(tools, *mode) as relay:
        with (tools.folder / "stderr").open("wb", buffering=0) as writer:
            writer.write(b"first\n")
            assert relay.stdout is not None
            assert relay.stdout.readline() == b"first\n"
            if not mode:
                relay.terminate()
            writer.write(b"last")
        assert relay.communicate(timeout=20)[0] == b"last"
        assert relay.returncode == 0


@contextmanager
def relaying(tools: Tools, *mode: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [BUSYBOX, "sh", tools.folder / "shim", "-r", *mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as relay:
        try:
            yield relay
        finally:
            relay.kill()


def test_why_a_command_cannot_run_is_told(tools: Tools) -> None:
    with tools.container("keep", "--", "nosuch"):
        assert tools.told("end", "1")[::2] == ["1 127 ", 'exec: "nosuch": executable file not found in $PATH: unknown']
        assert tools.outcome(2) == (2, 127)
    assert not (tools.folder / "begun").exists()


def test_a_kept_container_ends_when_its_pod_does(tools: Tools) -> None:
    with tools.container("keep", "--", "sh", "-c", "exit 6") as running:
        assert tools.outcome(1) == (1, 6)
        wait_until(lambda: (tools.folder / "gate").is_fifo(), "the gate")
        os.kill(int(child(running)), signal.SIGTERM)
        assert running.wait(20) == 6


def attach(tools: Tools, give: Any, word: str = "0a1b2c") -> None:
    with tools.start("attached", word) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        give(f"{word}\n".encode())
        assert process.wait(20) == 0


def test_an_attach_is_known_by_a_word_that_the_command_does_not_get(tools: Tools) -> None:
    with tools.container("gate", "--", "cat", bufsize=0) as running:
        assert running.stdin is not None
        attach(tools, running.stdin.write)
        running.stdin.write(b"data\n")
        tools.told("begin", "1")
        assert running.communicate(timeout=20)[0] == b"data\n"


def test_a_terminal_shows_nothing_of_that(tools: Tools) -> None:
    ours, theirs = pty.openpty()
    with tools.container("keep", "--", "sh", "-c", "stty -a; read x; exit $x", stdin=theirs, stdout=theirs):
        attach(tools, lambda data: os.write(ours, data))
        begun = tools.start("end", "1")
        shown = read_until(ours, b"-xcase")
        assert b"0a1b2c" not in shown
        assert b" echo " in shown
        os.write(ours, b"7\n")
        assert end_in(begun.communicate(timeout=20)[0]) == (1, 7)
    os.close(ours)
    os.close(theirs)
