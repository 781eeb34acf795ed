"""What is remembered of requests is small, however long the requests are that clients think up."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.engines import Swarmd, swarmd

LONG = 900_000
"""Bytes of what is long: nearly as many as a head may have."""
OFTEN = 100
MOST = 50.0
"""MiB that swarmd may grow: what came in the last few requests, and what malloc keeps."""


def named(number: int) -> str:
    return f"{number:064x}" + "a" * LONG


def ping(version: str = "", host: str = "localhost") -> bytes:
    return f"GET {version}/_ping HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


ASKED: dict[str, tuple[Callable[[int], bytes], int]] = {
    "host": (lambda number: ping(host=named(number)), 403),
    "address": (lambda number: ping(host=f"[fe80::1%{named(number)}]"), 403),
    "version": (lambda number: ping(f"/v1.{'0' * (LONG + number)}41"), 200),
}


@pytest.fixture(scope="module")
def running() -> Iterator[Swarmd]:
    with swarmd("simulator") as started:
        yield started


@pytest.mark.parametrize("what", ASKED)
def test_long_requests_are_not_remembered(what: str, running: Swarmd) -> None:
    make, status = ASKED[what]
    before = 0.0
    for number in range(OFTEN):
        with closing(socket.create_connection(("127.0.0.1", running.port), 10)) as client:
            client.sendall(make(number))
            assert client.recv(12) == b"HTTP/1.1 %d" % status
            while client.recv(65536):
                pass
        before = before or resident(running.process.pid)
    assert resident(running.process.pid) - before < MOST


def resident(process: int) -> float:
    """The memory of a process in MiB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) / 256
