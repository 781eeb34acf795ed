"""What swarmd writes to stderr: no text of others can forge a line or drive a terminal, and no reader can block it.

The lines are read from real processes, over files and pipes, some of which nobody empties.
"""

import fcntl
import json
import logging
import os
import re
import select
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from swarmd import logs
from swarmlib import terminal
from swarmlib.terminal import Lines, escaped
from tests.attacks.test_secrets import exchange, read_message, response
from tests.support.command import logging_kept
from tests.support.engines import wait_until
from tests.support.processes import Swarmd

FORGED = "x\nswarmd: ERROR: FORGED\r\x1b[2J\x1b]0;owned\x07\x7f\x9b2J\u2028swarmd: ERROR: FORGED\u202e\u2066\x85\x0bA"
"""A line that is swarmd's by its looks, terminal escapes of 7 and 8 bits, and marks that change what is read."""
BEGINNINGS = r"swarmd: |    |\d\d:\d\d:\d\d\.\d\d\d (\w+ )?#\d+ |\{\"time\""
"""How a line may begin: a log line, what belongs to the one above, and debug's."""
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="logs-", dir="/tmp") as path:
        yield Path(path)


@contextmanager
def engine_that_says(path: Path, message: str) -> Iterator[None]:
    """An engine that answers everything with an error."""
    body = json.dumps({"message": message}).encode()

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(BrokenPipeError):  # swarmd may have been ended meanwhile
                if read_message(connection) is not None:
                    connection.sendall(response(500, body, "Connection: close"))

    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen(50)
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize("stages", [["debug", "debug --values"], ["debug --json --values"]])
def test_an_engine_and_a_client_can_forge_no_line(folder: Path, stages: list[str]) -> None:
    name = "a%0aswarmd:%20ERROR:%20FORGED%1b%5b2J%7f%c2%9b"
    asked = get(f"/containers/{name}/json?all=%0aswarmd:%20FORGED%0d&%0aFORGED=1")
    with engine_that_says(folder / "a.sock", FORGED):
        chain = [f"dockerserver unix://{folder}/gw.sock", *stages, f"balance (a=docker unix://{folder}/a.sock)"]
        with Swarmd("-v", *chain, errors=folder / "log") as swarmd:
            exchange(folder / "gw.sock", asked)
            wait_until(lambda: "a is down" in swarmd.said(), "the member's end is logged")
            swarmd.end()
    content = (folder / "log").read_bytes().decode("utf-8", "surrogateescape")
    lines = content.split("\n")
    assert lines.pop() == ""
    assert all(line.isprintable() for line in lines)
    assert not [line for line in lines if line.startswith("swarmd: ERROR: FORGED")]
    assert [line for line in lines if not re.match(BEGINNINGS, line)] == []
    assert any("FORGED" in line for line in lines)


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Gives what swarmd's handler has written, which is set up as the command does it."""
    with logging_kept():
        logging.getLogger().handlers[:] = []
        logs.set_up(logging.INFO, "text")
        yield lambda: capsys.readouterr().err


@pytest.mark.parametrize("name", ["swarmlib.wire.driver", "swarmlib_backends.remote", "swarmd.logs"])
def test_each_module_of_ours_has_a_logger_of_its_own_which_tells_what_is_asked_for(
    logged: Callable[[], str], name: str
) -> None:
    logging.getLogger(name).info("a client left")
    assert re.fullmatch(rf"swarmd: {TIME} INFO: a client left\n", logged())


@pytest.mark.parametrize("name", ["swarmlib", "swarmlib_backends.balance.member", "asyncio", "azure.core", "trio"])
def test_every_loggers_record_is_one_line(logged: Callable[[], str], name: str) -> None:
    logging.getLogger(name).error("it says %s", FORGED)
    written = logged()
    assert written.count("\n") == 1
    assert written[:-1].isprintable()


@pytest.mark.parametrize("name", ["swarmlib.supervision", "swarmlib_backends.cache"])
def test_each_modules_logger_has_the_level_that_is_set_and_can_be_silenced_by_itself(
    logged: Callable[[], str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    logging.getLogger(name).info("heard")
    monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    logging.getLogger(name).error("silenced")
    assert re.fullmatch(rf"swarmd: {TIME} INFO: heard\n", logged())


def test_the_lines_of_a_traceback_are_indented_and_escaped(logged: Callable[[], str]) -> None:
    try:
        try:
            raise ValueError(FORGED)
        except ValueError as exc:
            raise RuntimeError("password=S3KR3T\nswarmd: ERROR: FORGED") from exc
    except RuntimeError:
        logging.getLogger("swarmlib").exception("a bug")
    first, *others = logged().splitlines()
    assert re.fullmatch(rf"swarmd: {TIME} ERROR: a bug", first)
    assert all(line.startswith("    ") and line.isprintable() for line in others)
    assert any("RuntimeError: password=***" in line for line in others)


def test_a_message_is_bounded_and_so_is_a_traceback(logged: Callable[[], str]) -> None:
    logging.getLogger("swarmlib").error("word " * 100_000)
    logging.getLogger("swarmlib").error("https://me:S3KR3T@host" + "x" * 100_000)
    try:
        raise ValueError("line\n" * 100_000)
    except ValueError:
        logging.getLogger("swarmlib").exception("a bug")
    written = logged()
    assert max(map(len, written.splitlines())) < 9000
    assert len(written.splitlines()) < 500
    assert "S3KR3T" not in written


def test_warnings_and_what_nobody_can_catch_are_logged_too(logged: Callable[[], str]) -> None:
    class Hostile:
        def __del__(self) -> None:
            raise ValueError(FORGED)

    logging.getLogger("py.warnings").warning(FORGED)
    Hostile()
    lines = logged().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("swarmd: ") and line.isprintable() for line in lines)


def test_a_record_that_can_not_be_formatted_is_told_of_in_a_line_too(logged: Callable[[], str]) -> None:
    ours = logging.getLogger().handlers[0]
    ours.handle(logging.LogRecord("swarmlib", logging.ERROR, "here.py", 1, "%d", (FORGED,), None))
    written = logged()
    assert written.startswith("swarmd: ERROR: a log record of swarmlib can't be formatted: TypeError")
    assert written.count("\n") == 1


def test_what_ends_swarmd_is_said_in_lines_that_are_its_own(logged: Callable[[], str]) -> None:
    logs.say(f"error: {FORGED}\n  debug --jsno\n        ^^^^^^")
    first, *others = logged().split("\n")[:-1]
    assert first == "swarmd: error: x"
    assert all(line.startswith("  ") and line.isprintable() for line in others)
    assert others[-2:] == ["  debug --jsno", "        ^^^^^^"]


def test_a_record_is_an_object_where_that_is_asked_for(logged: Callable[[], str]) -> None:
    logs.set_up(logging.INFO, "json")
    logging.getLogger("swarmlib.net").warning("password=S3KR3T %s", FORGED)
    try:
        raise ValueError(FORGED)
    except ValueError:
        logging.getLogger("swarmlib").exception("a bug")
    logs.say("error: no\n  debug\n  ^^^^^", logging.ERROR)
    lines = logged().splitlines()
    assert all(line.isascii() and line.isprintable() for line in lines)
    warning, bug, said = map(json.loads, lines)
    assert re.fullmatch(TIME, warning["time"])
    assert (warning["level"], warning["logger"]) == ("warning", "swarmlib.net")
    assert "S3KR3T" not in lines[0]
    assert (bug["message"], "ValueError" in bug["traceback"]) == ("a bug", True)
    assert (said["level"], said["message"]) == ("error", "error: no\n  debug\n  ^^^^^")


@pytest.mark.parametrize("text", ["plain", "é ✓ 漢字", "a b"])
def test_text_that_can_be_printed_stays(text: str) -> None:
    assert escaped(text) == text


def test_text_that_can_not_be_printed_is_escaped() -> None:
    assert escaped("a\n\x1b\x7f\x9b\u2028\u202e\ud800\U000e0001") == (
        r"a\n\u001b\u007f\u009b\u2028\u202e\ud800\udb40\udc01"
    )


class Pipe:
    """A pipe of 4 KiB, which is full soon."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, 4096)

    def __enter__(self) -> "Pipe":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.read_end)
        os.close(self.write_end)

    def is_full(self) -> bool:
        """Whether a write would block."""
        return not select.select([], [self.write_end], [], 0)[1]

    def holds(self) -> bool:
        """Whether something waits to be read."""
        return bool(select.select([self.read_end], [], [], 0)[0])

    def read_until(self, end: bytes) -> list[str]:
        """The lines up to one that ends so."""
        content = b""
        while not content.endswith(end + b"\n"):
            content += os.read(self.read_end, 65536)
        return content.decode().split("\n")[:-1]


def test_lines_come_whole_and_in_order() -> None:
    with Pipe() as pipe:
        lines = Lines(pipe.write_end)
        threading.Thread(target=lambda: [lines.write(f"line {n}") for n in range(5000)]).start()
        assert pipe.read_until(b"line 4999") == [f"line {n}" for n in range(5000)]
        assert lines.flush()


def test_into_a_full_pipe_the_oldest_lines_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "BOUND", 100_000)
    with Pipe() as pipe:
        lines = Lines(pipe.write_end)
        lines.write("x" * 8000)  # holds up the thread
        wait_until(pipe.is_full, "the pipe is full")
        for number in range(30_000):
            lines.write(f"line {number}")
        assert not lines.flush(0.01)
        found = pipe.read_until(b"line 29999")
        assert found[0] == "x" * 8000
        (missing,) = [line for line in found if "missing" in line]
        dropped = int(re.findall(r"\d+", missing)[0])
        assert found[1:] == [missing, *(f"line {n}" for n in range(dropped, 30_000))]
        assert dropped > 10_000


def test_a_descriptor_that_another_process_made_non_blocking_loses_nothing() -> None:
    with Pipe() as pipe:
        os.set_blocking(pipe.write_end, False)
        lines = Lines(pipe.write_end)
        lines.write("x" * 100_000)
        lines.write("end")
        assert pipe.read_until(b"end") == ["x" * 100_000, "end"]


def test_a_reader_that_has_gone_ends_nothing() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    lines = Lines(write_end)
    for _ in range(3):
        lines.write("for nobody")
        assert lines.flush()
    os.close(write_end)


@pytest.mark.parametrize("stages", [["debug --values", "debug --json --values"], []], ids=["debug", "logs"])
def test_stderr_that_nobody_reads_holds_up_neither_clients_nor_the_end(folder: Path, stages: list[str]) -> None:
    """The members' ends are logged with -v, thousands of lines of debug and of the log go into a pipe of 4 KiB."""
    with engine_that_says(folder / "a.sock", "x" * 3000), Pipe() as pipe:
        chain = [f"dockerserver unix://{folder}/gw.sock", *stages, f"docker unix://{folder}/a.sock"]
        with Swarmd("-v", *chain, errors=pipe.write_end) as swarmd:
            wait_until(lambda: (folder / "gw.sock").exists() and pipe.holds(), "swarmd serves")
            for _ in range(50):
                assert exchange(folder / "gw.sock", get("/containers/json?all=1")).startswith(b"HTTP/1.1 500")
            if stages:
                assert pipe.is_full()
            assert swarmd.end() == 128 + signal.SIGTERM


@pytest.mark.parametrize("closed", [False, True])
def test_an_error_at_the_end_is_written_before_the_process_ends(folder: Path, closed: bool) -> None:
    (folder / "log").touch()
    if closed:  # nobody can be told, and nothing else may go wrong
        with Swarmd("nosuch", errors=os.open("/dev/full", os.O_WRONLY)) as swarmd:
            assert swarmd.process.wait(30) == 2
        return
    log = os.open(folder / "log", os.O_WRONLY)
    with Swarmd("nosuch", errors=log) as swarmd:
        assert swarmd.process.wait(30) == 2
    os.close(log)
    assert (folder / "log").read_text().startswith("swarmd: error: unknown backend 'nosuch'")
