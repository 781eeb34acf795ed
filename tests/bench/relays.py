"""Plain relays from a unix socket to another one, which tell `tests.bench.streams` what any relay can reach on a
machine: HAProxy in TCP mode, and a bare loop of splice(2) in Python, with a thread for each direction of a connection.

    python -m tests.bench.relays SOCKET ENGINE

serves the loop on a unix socket, before an engine's, until it is killed.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.bench.common import process
from tests.support.engines import is_served, wait_until

_SPLICED = 1 << 20
_HAPROXY = """
defaults
    mode tcp
    option splice-auto
    timeout connect 5s
    timeout client 10m
    timeout server 10m
frontend docker
    bind unix@{socket}
    default_backend engine
backend engine
    server engine unix@{engine}
"""


@contextmanager
def haproxy(engine: Path, socket: Path) -> Generator[int]:
    """HAProxy between two sockets; gives its process."""
    config = socket.with_suffix(".cfg")
    config.write_text(_HAPROXY.format(socket=socket, engine=engine))
    with _served(["haproxy", "-db", "-q", "-f", str(config)], socket) as pid:
        yield pid


@contextmanager
def splice_loop(engine: Path, socket: Path) -> Generator[int]:
    """The bare loop between two sockets; gives its process."""
    with _served([sys.executable, "-m", "tests.bench.relays", str(socket), str(engine)], socket) as pid:
        yield pid


@contextmanager
def _served(command: list[str], socket: Path) -> Generator[int]:
    with process(command) as started:
        wait_until(partial(is_served, socket), command[0], started)
        yield started.pid


def _splice(source: socket.socket, sink: socket.socket) -> None:
    """Splice to the end, and pass that on."""
    with ExitStack() as opened:
        exit, entrance = os.pipe()
        opened.callback(os.close, exit)
        opened.callback(os.close, entrance)
        with suppress(BrokenPipeError, ConnectionResetError):  # the other end has gone
            while count := os.splice(source.fileno(), entrance, _SPLICED):
                while count:
                    count -= os.splice(exit, sink.fileno(), count)
        with suppress(OSError):  # it has gone as a whole
            sink.shutdown(socket.SHUT_WR)


def _relay(client: socket.socket, engine: str) -> None:
    with client, socket.socket(socket.AF_UNIX) as server:
        server.connect(engine)
        upstream = threading.Thread(target=_splice, args=(client, server), daemon=True)
        upstream.start()
        _splice(server, client)
        upstream.join()


def serve(path: str, engine: str) -> None:
    """Relay each connection in threads of its own."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    while True:
        threading.Thread(target=_relay, args=(listener.accept()[0], engine), daemon=True).start()


if __name__ == "__main__":
    serve(*sys.argv[1:])
