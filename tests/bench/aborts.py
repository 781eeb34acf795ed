"""Clients that leave in every phase of a request, thousands of them: what stays behind in swarmd and in dockerd?

    python -m tests.bench.aborts --count 20000

Each request is given up in one phase (half a head, a whole head, half a body, half an upload, during the answer, in a
hijacked stream, in a session), by a close or a reset, over the unix socket or TCP, through `dockerserver | docker` with
a real engine and through `dockerserver | exec`. At the end descriptors, threads and memory must be where they were.
"""

from __future__ import annotations

import argparse
import itertools
import select
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.bench import attacking
from tests.bench.attacking import SETTLE_SECONDS, SPARE_FILES, Findings, Gateway, connect, gateway, held_by
from tests.bench.common import need, show
from tests.engines import docker, engine

_JSON = "Content-Type: application/json"
_TAR = "Content-Type: application/x-tar"
_AT_ONCE = 6
_BATCH = 60
_UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp"


def _request(first: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{first} HTTP/1.1", "Host: x", *headers, "", ""]).encode() + body


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


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
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nOrigin: http://x",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "a session": _request("POST /session", "Connection: Upgrade\r\nUpgrade: h2c", "X-Docker-Expose-Session-Uuid: a"),
    "a session with a bad chunk": _request("POST /session", "Transfer-Encoding: chunked", body=b"zz\r\n"),
    "what has no row": _request("POST /nonesuch", "Content-Length: 100", body=b"half"),
    "pipelined": _request("GET /_ping") * 20 + _request("GET /events"),
}


def abort(gateway: Gateway, data: bytes, tcp: bool, how: Callable[[socket.socket], None], wait: float) -> None:
    """Begin a request and leave."""
    with suppress(ConnectionError):
        connection = connect(gateway.port if tcp else gateway.unix)
        with suppress(ConnectionError):
            connection.sendall(data)
            select.select([connection], [], [], wait)
        how(connection)


def rounds(gateway: Gateway, count: int, findings: Findings) -> None:
    """Give up `count` requests, of all kinds in turn."""
    ways = itertools.cycle(
        itertools.product(PHASES.values(), (False, True), (socket.socket.close, attacking.reset), (0.0, 0.01, 0.05))
    )

    def one(way: tuple[bytes, bool, Callable[[socket.socket], None], float]) -> None:
        with suppress(FileNotFoundError):  # the socket of a swarmd that has died
            abort(gateway, *way)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for number in range(0, count, _BATCH):
            list(pool.map(one, itertools.islice(ways, min(_BATCH, count - number))))
            if number + _BATCH >= count:
                select.select([], [], [], 0.5)  # the last ones may yet end it
            attacking.check_alive(gateway, findings, number)


def measured(gateway: Gateway, count: int, findings: Findings, others: dict[str, int]) -> list[list[object]]:
    """Give up `count` requests after some that warm everything up; what each process holds before and after."""
    rounds(gateway, min(count, 2 * 12 * len(PHASES)), findings)
    pids = {"swarmd": gateway.process.pid} | others
    _settle(gateway)
    before = {name: held_by(pid) for name, pid in pids.items()}
    began = time.monotonic()
    rounds(gateway, count, findings)
    seconds = time.monotonic() - began
    pids["swarmd"] = gateway.process.pid
    _settle(gateway, before["swarmd"].files)
    rows: list[list[object]] = []
    for name, pid in pids.items():
        was, now = before[name], held_by(pid)
        figures = (
            f"{was.files} > {now.files}",
            f"{was.threads} > {now.threads}",
            f"{was.memory:.0f} > {now.memory:.0f}",
        )
        rows.append([name, *figures, f"{count / seconds:.0f}/s"])
        if now.files > was.files + SPARE_FILES:
            findings.add(f"descriptors are left in {name}", 0, f"{was.files} before, {now.files} after {count}")
        if name == "swarmd" and now.memory > was.memory + 48:
            findings.add(f"memory grew in {name}", 0, f"{was.memory:.0f} MiB before, {now.memory:.0f} after {count}")
    attacking.check_log(gateway, findings, 0)
    return rows


def _settle(gateway: Gateway, files: int = 0) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while gateway.held().files > files + SPARE_FILES and time.monotonic() < deadline:
        select.select([], [], [], 0.2)


def main() -> None:
    """Leave, and print what is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="requests that are given up, for each chain (2000)")
    given = parser.parse_args()
    need("dockerd")
    findings = Findings()
    with engine() as real:
        docker(
            real.host,
            "run",
            "-d",
            "-i",
            "--name",
            "quiet",
            "--network",
            "none",
            "busybox",
            "sleep",
            "86400",
            check=True,
        )
        dockerd = int(Path(f"{real.folder}/pid").read_text())
        with gateway(f"docker {real.host}") as through:
            rows = measured(through, given.count, findings, {"dockerd": dockerd})
        show(f"{given.count} aborts: docker", ["", "files", "threads", "MiB", "rate"], rows)
    with gateway("exec") as through:
        rows = measured(through, given.count, findings, {})
        show(f"{given.count} aborts: exec", ["", "files", "threads", "MiB", "rate"], rows)
    sys.exit(findings.report(2 * given.count))


if __name__ == "__main__":
    main()
