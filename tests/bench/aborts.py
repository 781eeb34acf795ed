"""Clients that leave in every phase of a request, thousands of them: what stays behind in swarmd and in dockerd?

    python -m tests.bench.aborts --count 20000

Each request is given up in one phase (half a head, a whole head, half a body, half an upload, during the answer, in a
hijacked stream, in a session), by a close or a reset, over the unix socket or TCP, through `dockerserver | docker` with
a real engine and through `dockerserver | exec`. At the end descriptors and memory must be where they were.
What dockerd keeps by itself is measured first, by the same requests to it directly: that is a third of them. Most of
that it closes when it collects its garbage, so it is made to do that before it is measured.
"""

from __future__ import annotations

import argparse
import itertools
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.bench import attacking
from tests.bench.attacking import SPARE_FILES, Findings, Gateway, connect, gateway, held_by
from tests.bench.common import need, reachable_engine, show
from tests.support.engines import docker

_JSON = "Content-Type: application/json"
_TAR = "Content-Type: application/x-tar"
_COLUMNS = ["", "files", "threads", "MiB", "rate"]
_MEMORY = 48
"""MiB that swarmd may hold more at the end."""
_SETTLE_SECONDS = 60.0
"""How long an engine may take to answer what was asked of it last: a client that may only have half-closed is waited
for."""
_STILL_SECONDS = 10.0
"""How long the number of descriptors must be the same to be taken for the last one: what dockerd keeps, it keeps."""
_AT_ONCE = 6
_BATCH = 60
_UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp"


def _request(first: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{first} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode() + body


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _garbage() -> bytes:
    """A request that dockerd refuses, and that takes so much memory that its garbage is collected afterwards."""
    body = b'{"Labels":{"a":"%s"}}' % (b"x" * (16 << 20))
    return _request("POST /containers/create", "Connection: close", _JSON, f"Content-Length: {len(body)}", body=body)


PHASES: dict[str, bytes] = {
    "connected": b"",
    "half a head": b"GET /containers/json HTTP/1.1\r\nHos",
    "a whole head": _request("GET /info"),
    "half a body": _request("POST /containers/create", _JSON, "Content-Length: 1000", body=b'{"Image":'),
    "half a chunk": _request("POST /containers/create", _JSON, "Transfer-Encoding: chunked", body=b"ff\r\n{"),
    "half an upload: archive": _request(
        "PUT /containers/quiet/archive?path=/tmp", _TAR, "Content-Length: 100000", body=b"\0" * 512
    ),
    "half an upload: build": _request("POST /build", _TAR, "Transfer-Encoding: chunked", body=_chunk(b"\0" * 512)),
    "half an upload: load": _request("POST /images/load", _TAR, "Content-Length: 100000", body=b"\0" * 512),
    "an upload nobody invited": _request("POST /images/load", _TAR, "Expect: 100-continue", "Content-Length: 9"),
    "logs that go on": _request("GET /containers/quiet/logs?stdout=1&follow=1"),
    "events": _request("GET /events"),
    "stats": _request("GET /containers/quiet/stats"),
    "waiting": _request("POST /containers/quiet/wait", "Content-Length: 0"),
    "an export": _request("GET /containers/quiet/export"),
    "attached": _request("POST /containers/quiet/attach?stream=1&stdin=1&stdout=1", _UPGRADE),
    "attached without stdin": _request(
        "POST /containers/quiet/attach?stream=1&stdout=1", _UPGRADE, "Content-Length: 0"
    ),
    "a websocket": _request(
        "GET /containers/quiet/attach/ws?stream=1&stdout=1",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nOrigin: http://localhost",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "a session": _request("POST /session", "Connection: Upgrade\r\nUpgrade: h2c", "X-Docker-Expose-Session-Uuid: a"),
    "a session with a bad chunk": _request("POST /session", "Transfer-Encoding: chunked", body=b"zz\r\n"),
    "what has no row": _request("POST /nonesuch", "Content-Length: 100", body=b"half"),
    "pipelined": _request("GET /_ping") * 20 + _request("GET /events"),
}


Target = tuple[str, int]
"""Where clients connect to: a unix socket's path, and a port."""


def abort(target: Target, data: bytes, tcp: bool, how: Callable[[socket.socket], None], wait: float) -> None:
    """Begin a request and leave."""
    with suppress(ConnectionError, FileNotFoundError):  # the socket of a swarmd that has died
        connection = connect(target[tcp])
        with suppress(ConnectionError):
            connection.sendall(data)
            select.select([connection], [], [], wait)
        how(connection)


def rounds(target: Target, count: int, check: Callable[[int], None]) -> float:
    """Give up `count` requests, of all kinds in turn, and check now and then; gives how many a second."""
    ways = itertools.cycle(
        itertools.product(PHASES.values(), (False, True), (socket.socket.close, attacking.reset), (0.0, 0.01, 0.05))
    )
    began = time.monotonic()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for number in range(0, count, _BATCH):
            batch = itertools.islice(ways, min(_BATCH, count - number))
            list(pool.map(lambda way: abort(target, *way), batch))
            check(number)
    seconds = time.monotonic() - began
    select.select([], [], [], 1)  # what the last ones did may take effect after them
    check(count)
    return count / seconds


class Kept:
    """What one process holds before and after."""

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.before = self.after = held_by(pid)

    @property
    def files(self) -> int:
        """Descriptors that it has more than before."""
        return self.after.files - self.before.files

    def measure(self, pid: int, files: int) -> None:
        """See what it holds now, or once it has let go of all but so many descriptors more than before."""
        now, changed = held_by(pid), time.monotonic()
        deadline = changed + _SETTLE_SECONDS
        while now.files > self.before.files + files and time.monotonic() < min(deadline, changed + _STILL_SECONDS):
            select.select([], [], [], 0.2)
            last, now = now, held_by(pid)
            if now.files != last.files:
                changed = time.monotonic()
        self.after = now

    def row(self, rate: float) -> list[object]:
        """A row of the table."""
        was, now = self.before, self.after
        pairs = (was.files, now.files), (was.threads, now.threads), (round(was.memory), round(now.memory))
        return [self.name, *(f"{then} > {later}" for then, later in pairs), f"{rate:.0f}/s"]


class Dockerd(NamedTuple):
    """An engine's process, which may keep `spare` descriptors more than before."""

    target: Target
    pid: int
    spare: int

    def collect(self) -> None:
        """Make it collect its garbage, and so close what is left of the uploads that were broken off."""
        for _ in range(2):  # what is found to be garbage by one collection is closed by the next
            with connect(self.target[0]) as connection:
                connection.sendall(_garbage())
                while connection.recv(65536):
                    pass

    def kept(self, name: str) -> Kept:
        """What it holds now."""
        self.collect()
        return Kept(name, self.pid)

    def measure(self, kept: Kept) -> None:
        """See what it holds once it has answered all and collected its garbage."""
        kept.measure(self.pid, self.spare)
        self.collect()
        kept.measure(self.pid, self.spare)


def through(swarmd: Gateway, count: int, findings: Findings, engine: Dockerd | None = None) -> None:
    """Give up `count` requests to a swarmd, after some that warm it up, and print what it and its engine hold before
    and after.
    """

    def check(number: int) -> None:
        attacking.check_alive(swarmd, findings, number)

    target = (swarmd.unix, swarmd.port)
    rounds(target, min(count, 12 * len(PHASES)), check)
    own = Kept("swarmd", swarmd.process.pid)
    other = engine and engine.kept("dockerd")
    rate = rounds(target, count, check)
    own.measure(swarmd.process.pid, SPARE_FILES)
    if own.files > SPARE_FILES:
        findings.add("descriptors are left in swarmd", count, f"{own.before} before, {own.after} after")
    if own.after.memory > own.before.memory + _MEMORY:
        findings.add("memory grew in swarmd", count, f"{own.before} before, {own.after} after")
    rows = [own.row(rate)]
    if other and engine:
        engine.measure(other)
        rows.append(other.row(rate))
        if other.files > engine.spare:
            findings.add("descriptors are left in dockerd", count, f"{other.files}; {engine.spare} are its own fault")
    attacking.check_log(swarmd, findings, count)
    show(f"{count} aborts", _COLUMNS, rows)


def direct(count: int) -> int:
    """Give up `count` requests to a dockerd itself; gives how many descriptors that leaves in it."""
    with _quiet_engine() as (_, engine):
        kept = engine.kept("dockerd, asked directly")
        rate = rounds(engine.target, count, lambda _: None)
        engine.measure(kept)
    show(f"{count} aborts", _COLUMNS, [kept.row(rate)])
    return max(0, kept.files)


@contextmanager
def _quiet_engine() -> Iterator[tuple[str, Dockerd]]:
    """An engine: its host, and its process."""
    with reachable_engine() as (real, port):
        _run_quiet(real.host, "--network", "none")
        yield real.host, Dockerd((str(real.socket), port), int(Path(f"{real.folder}/pid").read_text()), SPARE_FILES)


def main() -> None:
    """Leave, and print what is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="requests that are given up, for each chain (2000)")
    count = parser.parse_args().count
    need("dockerd")
    findings = Findings()
    left = direct(count)
    with _quiet_engine() as (host, engine), gateway(f"docker {host}") as swarmd:
        through(swarmd, count, findings, engine._replace(spare=left + SPARE_FILES + count // 500))
    with gateway("exec") as swarmd:
        _run_quiet(f"unix://{swarmd.unix}")
        through(swarmd, count, findings)
    sys.exit(findings.report(2 * count))


def _run_quiet(host: str, *options: str) -> None:
    """Start the container that the requests speak of, which says nothing."""
    docker(host, "run", "-d", "-i", "--name", "quiet", *options, "busybox", "sleep", "86400", check=True)


if __name__ == "__main__":
    main()
