"""swarmd as a service: what it tells systemd, the sockets that it is given, and what a hang-up means."""

import os
import pty
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

SWARMD = [sys.executable, "-W", "error", "-m", "swarmd"]


def configuration(folder: Path, stage: str = "exec") -> Path:
    file = folder / "swarm.toml"
    file.write_text(f'[chain.all]\nstages = ["dockerserver unix://{folder}/docker.sock", "{stage}"]\n')
    return file


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        yield listening


@contextmanager
def service(folder: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A swarmd that a manager has started."""
    env = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), **environment}
    command = [*SWARMD, str(configuration(folder))]
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_manager_is_told_of_each_state(manager: socket.socket, tmp_path: Path) -> None:
    with service(tmp_path) as process:
        assert manager.recv(100) == b"READY=1"
        process.send_signal(signal.SIGHUP)
        assert manager.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(100) == b"READY=1"
        process.terminate()
        assert manager.recv(100) == b"STOPPING=1"
        assert process.wait(20) == 143


def test_the_watchdog_is_told_that_it_lives(manager: socket.socket, tmp_path: Path) -> None:
    with service(tmp_path, WATCHDOG_USEC="100000"):
        assert [manager.recv(100) for _ in range(4)] == [b"READY=1", *[b"WATCHDOG=1"] * 3]


def test_the_watchdog_of_another_process_is_not(manager: socket.socket, tmp_path: Path) -> None:
    with service(tmp_path, WATCHDOG_USEC="100000", WATCHDOG_PID="1") as process:
        assert manager.recv(100) == b"READY=1"
        process.terminate()
        assert manager.recv(100) == b"STOPPING=1"


GIVE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="docker", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, sys.argv[2:])
"""
"""Runs a command as systemd does that gives it a socket named docker."""


@pytest.mark.parametrize(("name", "answers"), [("", True), ("docker", True), ("dokcer", False)])
def test_a_socket_that_was_given_is_found_by_its_name(name: str, answers: bool, tmp_path: Path) -> None:
    path = tmp_path / "given.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        command = [sys.executable, "-c", GIVE, str(listening.fileno()), *SWARMD, f"dockerserver fd://{name}", "exec"]
        with subprocess.Popen(command, pass_fds=[listening.fileno()], stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                said = process.stderr.readline()
                if not answers:
                    assert "no socket named 'dokcer' was given to this process; did you mean 'docker'?" in said
                    return
                assert "serving" in said
                assert f"export DOCKER_HOST=unix://{path}" in process.stderr.readline()
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
                    client.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    assert client.recv(100).startswith(b"HTTP/1.1 200 ")
            finally:
                process.kill()


class Terminal:
    """A swarmd in the foreground of a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [*SWARMD, str(configuration(folder))])

    def until(self, text: str) -> str:
        """Read what swarmd says until it says `text`."""
        said = ""
        while text not in said:
            assert select.select([self._master], [], [], 20)[0], said
            said += os.read(self._master, 4096).decode()
        return said

    def close(self) -> None:
        """Close the terminal; may be called twice."""
        master, self._master = self._master, -1
        if master >= 0:
            os.close(master)

    def wait(self) -> int:
        """Return the exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_hang_up_reads_the_configuration_again_in_a_terminal_too_but_a_closed_one_ends_it(tmp_path: Path) -> None:
    with closing(Terminal(tmp_path)) as terminal:
        try:
            terminal.until("export DOCKER_HOST")
            configuration(tmp_path, "simulator")
            os.kill(terminal.pid, signal.SIGHUP)
            terminal.until("chain all has changed")
            terminal.close()
            assert terminal.wait() == 129
            assert not (tmp_path / "docker.sock").exists()
        finally:
            with suppress(ProcessLookupError):
                os.kill(terminal.pid, signal.SIGKILL)
