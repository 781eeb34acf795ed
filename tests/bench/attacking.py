"""What the attacking benches share: a swarmd that is watched from outside, raw clients, findings.

Everything that a bench does follows from a seed: `--seed S` begins with the exchange S and goes on with S+1, S+2 and
so on, and `--only S` repeats one of them.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.bench.soak import resources
from tests.support.engines import free_port, wait_until

ROOT = Path(__file__).parents[2]
SETTLE_SECONDS = 8.0
"""How long swarmd may take to let go of what an attack left: some cleanups have a deadline of five seconds."""
SPARE_FILES = 3
"""Descriptors more than before that are no leak: pooled connections."""
_READ = 65536
_MOST = 32 << 20
"""Bytes of an answer that are read, about."""
_PAUSE = 0.02


class Gateway:
    """A swarmd in a process of its own, on a unix socket and a port. `{folder}` in a stage is its folder.

    source: the first stage; `{address}` stands for the addresses. Its log is a file that is read while it runs.
    """

    def __init__(
        self, folder: Path, *stages: str, source: str = "dockerserver {address}", extra_path: str = ""
    ) -> None:
        self.folder = folder
        self.unix = str(folder / "gateway.sock")
        self.port = free_port()
        self.logged = folder / "gateway.log"
        address = f"unix://{self.unix} tcp://127.0.0.1:{self.port}"
        words = [source.format(address=address), *(stage.replace("{folder}", str(folder)) for stage in stages)]
        self._command = [sys.executable, "-W", "error", "-m", "swarmd", *words]
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*filter(None, [extra_path]), str(ROOT)])}
        self._read = 0
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self.logged.open("ab") as log:
            process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, env=self._environment
            )
        wait_until(self._accepts, f"swarmd, whose log is {self.logged}", process)
        return process

    def _accepts(self) -> bool:
        try:
            connect(self.unix).close()
        except OSError:
            return False
        return True

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process.poll() is None

    def ends_soon(self) -> None:
        """Give it a moment to end, where it seems to be about to: its socket has gone, or takes no connections."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(SETTLE_SECONDS)

    def restart(self) -> None:
        """End what is left of it and start it again."""
        self.stop()
        self.process = self._started()

    def stop(self) -> int:
        """End it; gives its exit code (-9 if it had to be killed)."""
        if self.alive:
            self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def new_log(self) -> str:
        """What it has logged since the last call."""
        with self.logged.open("rb") as log:
            log.seek(self._read)
            data = log.read()
        self._read += len(data)
        return data.decode(errors="replace")

    def held(self) -> Held:
        """What its process holds now."""
        return held_by(self.process.pid)


@dataclass(frozen=True)
class Held:
    """What a process holds: descriptors, threads, and resident MiB."""

    files: int
    threads: int
    memory: float


def held_by(pid: int) -> Held:
    """What a process holds now."""
    memory, files = resources(pid)
    return Held(files, len(os.listdir(f"/proc/{pid}/task")), memory)


@contextmanager
def gateway(*stages: str, source: str = "dockerserver {address}", plugins: Sequence[str] = ()) -> Iterator[Gateway]:
    """A gateway in a folder of its own, ended and removed with the context.

    plugins: entry points such as `judge = tests.bench.judge:Judge`, whose names may be used as stages.
    """
    folder = Path(tempfile.mkdtemp(prefix="attack-", dir="/tmp"))
    if plugins:
        info = folder / "plugins/attack-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: attack\nVersion: 1\n")
        (info / "entry_points.txt").write_text("\n".join(["[swarmlib.backends]", *plugins, ""]))
    started = Gateway(folder, *stages, source=source, extra_path=str(folder / "plugins") if plugins else "")
    try:
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder, ignore_errors=True)


# Raw clients.


def connect(address: str | int, timeout: float = 5.0) -> socket.socket:
    """A connection to a unix socket's path, or to a port of the loopback."""
    if isinstance(address, int):
        return socket.create_connection(("127.0.0.1", address), timeout)
    connection = socket.socket(socket.AF_UNIX)
    # Python's own timeout would make it fail at once where the queue of the listener is full.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(timeout), 0))
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    connection.settimeout(timeout)
    return connection


def serve_in_threads(listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    """Serve each connection of a listener in a thread of its own, until the listener is closed; returns at once."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def reset(connection: socket.socket) -> None:
    """Close a connection with an RST (on a unix socket: with bytes unread, if there are any)."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_until_quiet(
    connection: socket.socket, quiet: float, enough: Callable[[bytes], bool] = lambda _: False
) -> tuple[bytes, bool]:
    """What comes until the other side ends it, is quiet for `quiet` seconds, or pauses and has said enough; whether it
    ended.
    """
    data = bytearray()
    while len(data) <= _MOST:
        if not _readable(connection, _PAUSE) and (enough(bytes(data)) or not _readable(connection, quiet)):
            break
        try:
            piece = connection.recv(_READ)
        except OSError:
            return bytes(data), True
        if not piece:
            return bytes(data), True
        data += piece
    return bytes(data), False


def _readable(connection: socket.socket, seconds: float) -> bool:
    return bool(select.select([connection], [], [], seconds)[0])


def ask(address: str | int, data: bytes, quiet: float = 5.0, timeout: float = 5.0) -> bytes:
    """One request with `Connection: close`, and all of its answer."""
    with connect(address, timeout) as connection:
        connection.sendall(data)
        return read_until_quiet(connection, quiet)[0]


def get(target: str, *headers: str) -> bytes:
    """A plain GET after which the connection is closed."""
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]).encode()


# Findings.


@dataclass(frozen=True)
class Finding:
    """Something that must not be: its kind, the seed that shows it, and what was seen."""

    kind: str
    seed: int
    detail: str


class Findings:
    """What a bench found and counted."""

    def __init__(self) -> None:
        self.all: list[Finding] = []
        self._differences: dict[str, list[int]] = {}
        self._began = time.monotonic()

    def add(self, kind: str, seed: int, detail: object) -> None:
        """Note a finding; the first of each kind is shown at once."""
        if not any(each.kind == kind for each in self.all):
            print(f"FOUND {kind} (seed {seed}): {str(detail)[:600]}", flush=True)
        self.all.append(Finding(kind, seed, str(detail)))

    def differ(self, kind: str, seed: int) -> None:
        """Note a difference that is no fault."""
        self._differences.setdefault(kind, []).append(seed)

    def report(self, exchanges: int) -> int:
        """Print the summary; gives the exit code, 1 where something was found."""
        seconds = time.monotonic() - self._began
        print(f"\n{exchanges} exchanges in {seconds:.0f} s ({exchanges / seconds:.1f}/s), {len(self.all)} findings")
        for kind, times in Counter(each.kind for each in self.all).most_common():
            seeds = [each.seed for each in self.all if each.kind == kind]
            print(f"  {times:5} {kind}; seeds {seeds[:9]}")
            details = dict.fromkeys(each.detail[:300] for each in self.all if each.kind == kind)
            print(*(f"          {detail}" for detail in [*details][:3]), sep="\n")
        if self._differences:
            print("Differences that are no faults:")
            for kind, seeds in sorted(self._differences.items(), key=lambda item: -len(item[1]))[:40]:
                print(f"  {len(seeds):5} {kind}; seeds {seeds[:3]}")
        return 1 if self.all else 0


def check_log(gateway: Gateway, findings: Findings, seed: int) -> None:
    """Note errors, tracebacks, forged lines and control characters in what swarmd has logged since the last look."""
    text = gateway.new_log()
    for name, pattern in (
        ("swarmd logged a bug", r".*a bug in.*"),
        ("swarmd logged an error", r"(?m)^swarmd: \S+ ERROR: .*"),
        ("swarmd logged a traceback", r"Traceback \(most recent.*"),
        ("a forged line in swarmd's log", r"(?m)^FORGED.*"),
        ("a control character in swarmd's log", r".*[\x00-\x08\x0b-\x1f\x7f-\x9f].*"),
    ):
        if found := re.search(pattern, text):
            where = text[-300:] if "traceback" in name else text[found.start() : found.start() + 200]
            findings.add(f"{name}: {_without_numbers(where) if 'bug' in name else ''}".rstrip(": "), seed, where)


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+", "N", text)[:80]


def check_alive(gateway: Gateway, findings: Findings, seed: int) -> None:
    """Note the end of swarmd, and start it again."""
    if not Path(gateway.unix).exists():
        gateway.ends_soon()
    if not gateway.alive:
        code = gateway.process.returncode
        findings.add("swarmd died", seed, f"exit {code}: {gateway.logged.read_text(errors='replace')[-500:]}")
        gateway.restart()
        gateway.new_log()


def check_settled(gateway: Gateway, before: Held, findings: Findings, seed: int, memory: float = 64) -> None:
    """Note descriptors, threads (trio keeps some) and MiB that swarmd does not let go of."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while gateway.held().files > before.files + SPARE_FILES and time.monotonic() < deadline:
        select.select([], [], [], 0.1)
    after = gateway.held()
    print(f"swarmd before {before}, after {after}")
    if after.files > before.files + SPARE_FILES:
        findings.add("descriptors are left in swarmd", seed, f"{before.files} before, {after.files} after")
    if after.memory > before.memory + memory:
        findings.add("memory grew", seed, f"{before.memory:.0f} MiB before, {after.memory:.0f} after")


def campaign(given: argparse.Namespace, one: Callable[[int], None]) -> int:
    """Run exchange after exchange until the time is up, or only one; gives how many there were."""
    if given.only is not None:
        one(given.only)
        return 1
    until = time.monotonic() + given.minutes * 60
    for seed in itertools.count(given.seed):
        one(seed)
        if time.monotonic() > until:
            return int(seed - given.seed + 1)
    raise AssertionError("there is always another seed")


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that every attacking bench has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1, help="how long (1)")
    parser.add_argument("--seed", type=int, default=1, help="of the first exchange; the next has the next number (1)")
    parser.add_argument("--only", type=int, metavar="SEED", help="repeat this one exchange, and show what it says")
    return parser
