"""Real Docker engines and the real docker CLI, for tests and benchmarks.

Each engine runs in mount and network namespaces of its own, so that its bridge, its mounts and its containers'
ports are its own; its unix socket is reached from outside as any other.
"""

import atexit
import io
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

BUSYBOX = Path("/bin/busybox")
START_SECONDS = 60
_SETUP = "mount --make-rshared /; ip link set lo up; "


def wait_until(
    ready: Callable[[], object],
    what: str,
    process: subprocess.Popen[bytes] | None = None,
    seconds: float = START_SECONDS,
) -> None:
    """Wait for something outside this process, which only asking can tell; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while not ready():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what}: it ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        select.select([], [], [], pause)
        pause = min(pause * 1.5, 0.25)


def is_served(path: Path) -> bool:
    """Whether a unix socket takes connections. Its file is there a moment before that."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


class Engine:
    """One dockerd and its folder; ended, with all its mounts, at the end of its context.

    setup: what its shell does before it becomes dockerd.
    """

    def __init__(self, folder: Path, extra: Sequence[str] = (), namespaces: str = "-nm", setup: str = "") -> None:
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.host = f"unix://{self.socket}"
        self._extra = extra
        self._namespaces = namespaces
        self._setup = f'{_SETUP}{setup} exec dockerd "$@"'
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        if shutil.which("dockerd") is None:
            raise RuntimeError("these tests need dockerd: install docker.io, as .ci/setup does")
        options = [f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec", f"--pidfile={self.folder}/pid"]
        command = ["unshare", self._namespaces, "sh", "-c", self._setup, "dockerd", *options, "-H", self.host]
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen([*command, *self._extra], stdout=log, stderr=log)
        log.close()
        wait_until(self._answers, f"dockerd in {self.folder}", self._process)
        return self

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self.socket))
                probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b"200 OK" in probe.recv(64)
            except OSError:
                return False

    @property
    def pid(self) -> int:
        """Its process, in whose namespaces it lives."""
        assert self._process is not None
        return self._process.pid

    def freeze(self) -> None:
        """Stop its process, as a machine that hangs would: connections are taken, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, with all that it runs, as the crash of its machine would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._kill_children()
        # Where nobody collects orphans, the engine would find this one's process still there, and wait for it.
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def _kill_children(self) -> None:
        """End containerd and its shims, which outlive an engine that was killed."""
        for pid in processes_of(self.folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def load_busybox(self) -> None:
        """Make the image busybox:latest out of the machine's static busybox."""
        docker(self.host, "import", "-c", 'CMD ["sh"]', "-", "busybox:latest", input=busybox_tar(), check=True)


def processes_of(folder: Path) -> list[int]:
    """An engine's containerd and shims, which have its folder in their command line, and the containers' processes."""
    shims: list[int] = []
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended just now
            command = (entry / "cmdline").read_bytes()
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if f"{folder}/".encode() in command and b"containerd" in command.partition(b"\0")[0]:
                shims.append(int(entry.name))
    return [*shims, *(pid for pid, parent in parents.items() if parent in shims and pid not in shims)]


def busybox_tar() -> bytes:
    """A root file system with busybox and its applets in it."""
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(BUSYBOX, "bin/busybox")
        for applet in set(applets) - {"busybox"}:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for name in ("tmp", "etc"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(folder)
    return buffer.getvalue()


@contextmanager
def engine(extra: Sequence[str] = (), namespaces: str = "-nm", setup: str = "") -> Iterator[Engine]:
    """A running engine with a busybox image."""
    folder = Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp"))
    started = Engine(folder, extra, namespaces, setup)
    try:
        started.start()
        started.load_busybox()
        yield started
    finally:
        started.kill()  # an orderly end would wait ten seconds for a container that ignores SIGTERM
        shutil.rmtree(folder, ignore_errors=True)


_CONFIG = tempfile.mkdtemp(prefix="docker-config-")
atexit.register(shutil.rmtree, _CONFIG, ignore_errors=True)
CLIS = sorted({str(Path(shutil.which("docker") or "docker").resolve()), "/usr/bin/docker"})
"""The docker CLIs of the machine: the one in PATH, and Debian's, of version 20.10, if that is another."""


def docker(
    host: str, *args: str, input: bytes | None = None, timeout: float = 60, check: bool = False, cli: str = "docker"
) -> subprocess.CompletedProcess[bytes]:
    """Run a real docker CLI against `host`, with an empty configuration."""
    return subprocess.run(
        [cli, "--config", _CONFIG, "-H", host, *args],
        input=input if input is not None else b"",
        capture_output=True,
        timeout=timeout,
        check=check,
    )


@contextmanager
def docker_process(host: str, *args: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """The real docker CLI, running; its stdout is a pipe unless `options` say otherwise. Ended with the context."""
    pipes: dict[str, object] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    command = ["docker", "--config", _CONFIG, "-H", host, *args]
    process = subprocess.Popen(command, **(pipes | options))  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def events_from_now(host: str, *args: str) -> Iterator[IO[bytes]]:
    """What `docker events` prints of all that happens from now on, also while the client only begins to watch."""
    with docker_process(host, "events", "--since", f"{time.time():.6f}", *args) as watching:
        assert watching.stdout is not None
        yield watching.stdout


def read_until(fd: int, wanted: bytes) -> bytes:
    """Read from a file descriptor until something is seen; fail if it doesn't come. Returns all that was read."""
    seen = b""
    while wanted not in seen:
        assert select.select([fd], [], [], 20)[0], f"waited for {wanted!r}, saw {seen!r}"
        seen += os.read(fd, 4096)
    return seen


def use_a_terminal(host: str, *image: str, prompt: bytes) -> None:
    """`docker run -it` on a real terminal: it has that terminal's size, and Ctrl-C reaches what runs in it."""
    master, slave = pty.openpty()
    subprocess.run(["stty", "rows", "33", "cols", "77"], stdin=slave, check=True)
    tty = {"stdin": slave, "stdout": slave, "stderr": slave}
    with docker_process(host, "run", "--rm", "-it", *image, "sh", **tty) as shell:
        os.close(slave)
        read_until(master, prompt)
        os.write(master, b"while [ \"$(stty size)\" != '33 77' ]; do sleep 0; done; echo si''zed\n")
        read_until(master, b"sized\r\n")
        os.write(master, b"echo be''gun; cat\n")
        read_until(master, b"begun\r\n")
        os.write(master, b"purr\n")
        read_until(
            master, b"purr\r\npurr\r\n"
        )  # what is typed, and cat's: one that has not begun yet misses its Ctrl-C
        os.write(master, b"\x03")
        read_until(master, prompt)
        os.write(master, b"exit 5\n")
        assert shell.wait(20) == 5
    os.close(master)


def free_port() -> int:
    """A TCP port of the loopback that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Swarmd:
    """A swarmd in a process of its own, listening on a loopback port."""

    def __init__(self, stages: Sequence[str], log: IO[bytes], port: int, listen: str) -> None:
        self.log = Path(log.name)
        self.port = port
        self.host = f"tcp://127.0.0.1:{port}"
        command = [sys.executable, "-W", "error", "-m", "swarmd", f"dockerserver {self.host} {listen}", *stages]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def accepts(self) -> bool:
        """Whether it listens yet."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except OSError:
            return False
        return True


@contextmanager
def swarmd(*stages: str, listen: str = "") -> Iterator[Swarmd]:
    """`swarmd 'dockerserver tcp://127.0.0.1:PORT LISTEN' STAGES…`, ended with SIGTERM, to which 143 is its answer."""
    with tempfile.NamedTemporaryFile() as log:
        started = Swarmd(stages, log, free_port(), listen)
        try:
            wait_until(started.accepts, "swarmd", started.process)
            yield started
        except RuntimeError as exc:
            raise RuntimeError(f"{exc}: {started.log.read_text()}") from exc
        finally:
            started.process.terminate()
            code = started.process.wait(20)
        assert code == 143, started.log.read_text()
