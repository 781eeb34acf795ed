"""A thin engine and a thin client for `tests.bench.streams --thin`: they move bytes as fast as a process can, so that
what lies between them is what is measured.

    python -m tests.bench.thin SOCKET

serves on a unix socket until it is killed. The name of a container says what happens: `out512` sends 512 MiB in chunks,
`sized512` with their length, and `in` takes what comes. As dockerd does, it writes 32 KiB at a time.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
from pathlib import Path

MIB = 1 << 20
_PIECE = 32 * 1024
_READ = MIB
_ATTACH = "POST /v1.41/containers/{0}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: docker\r\n"
_UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
_ARCHIVE = "{1} /v1.41/containers/{0}/archive?path=/ HTTP/1.1\r\nHost: docker\r\n"
_UPLOAD = "Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n"
_SIZED = "Content-Type: application/x-tar\r\nContent-Length: {2}\r\n\r\n"
_SWITCHED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: e30=\r\nTransfer-Encoding: chunked\r\n\r\n"
_DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_LENGTH = "HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: e30=\r\nContent-Length: {0}\r\n\r\n"
_LAST = b"0\r\n\r\n"


def _chunk() -> bytes:
    return b"%x\r\n" % _PIECE + bytes(_PIECE) + b"\r\n"


def _send(sock: socket.socket, piece: bytes, mib: int) -> None:
    for _ in range(mib * MIB // _PIECE):
        sock.sendall(piece)


def _drain(sock: socket.socket, last: bytes = b"") -> int:
    """Read to the end, or until a read ends with `last`. Returns how many bytes came."""
    buffer, count = bytearray(_READ), 0
    while read := sock.recv_into(buffer):
        count += read
        if last and buffer.endswith(last, max(0, read - len(last)), read):
            break
    return count


def _take(sock: socket.socket, count: int) -> None:
    """Read so many bytes."""
    buffer = memoryview(bytearray(_READ))
    while count:
        if not (read := sock.recv_into(buffer[: min(count, _READ)])):
            raise RuntimeError(f"{count} bytes are missing")
        count -= read


def _head(sock: socket.socket) -> str:
    """Read a head, and no byte behind it; "" at the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := sock.recv(1)):
        head += byte
    return head.decode()


class Way:
    """One way to an engine: its unix socket."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _request(self, form: str, *words: str) -> tuple[socket.socket, str]:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self._path)
        sock.sendall(form.format(*words).encode())
        return sock, "" if form.endswith((_UPLOAD, _SIZED)) else _head(sock)

    def attach_out(self, mib: int) -> None:
        """The output of a conversation."""
        sock, _ = self._request(_ATTACH + _UPGRADE, f"out{mib}")
        _check(_drain(sock), mib * MIB)
        sock.close()

    def attach_in(self, mib: int) -> None:
        """The input of a conversation."""
        sock, _ = self._request(_ATTACH + _UPGRADE, "in")
        _send(sock, bytes(_PIECE), mib)
        sock.shutdown(socket.SHUT_WR)
        _drain(sock)
        sock.close()

    def archive_out(self, mib: int) -> None:
        """The body of a response, in chunks."""
        sock, _ = self._request(_ARCHIVE + "\r\n", f"out{mib}", "GET")
        assert _drain(sock, _LAST) >= mib * MIB
        sock.close()

    def archive_in(self, mib: int) -> None:
        """The body of a request, in chunks."""
        sock, _ = self._request(_ARCHIVE + _UPLOAD, "in", "PUT")
        _send(sock, _chunk(), mib)
        sock.sendall(_LAST)
        assert " 200 " in _head(sock)
        sock.close()

    def sized_out(self, mib: int) -> None:
        """The body of a response whose length is told; the gateway may tell it, or send chunks."""
        sock, head = self._request(_ARCHIVE + "\r\n", f"sized{mib}", "GET")
        if "Content-Length" in head:
            _take(sock, mib * MIB)
        else:
            assert _drain(sock, _LAST) >= mib * MIB
        sock.close()

    def sized_in(self, mib: int) -> None:
        """The body of a request whose length is told."""
        sock, _ = self._request(_ARCHIVE + _SIZED, "in", "PUT", str(mib * MIB))
        _send(sock, bytes(_PIECE), mib)
        assert " 200 " in _head(sock)
        sock.close()


def _check(came: int, wanted: int) -> None:
    if came != wanted:
        raise RuntimeError(f"{came} bytes came instead of {wanted}")


def _answer(sock: socket.socket) -> None:
    """Answer a connection's requests until a conversation or the client ends it."""
    with sock:
        while (head := _head(sock)) and not head.startswith("POST"):
            _archive(sock, head)
        if head:
            sock.sendall(_SWITCHED)
            mib = _wanted(head)
            _send(sock, bytes(_PIECE), mib) if mib else _drain(sock)


def _archive(sock: socket.socket, head: str) -> None:
    mib = _wanted(head)
    if "/sized" in head:
        sock.sendall(_LENGTH.format(mib * MIB).encode())
        _send(sock, bytes(_PIECE), mib)
        return
    if head.startswith("GET"):
        sock.sendall(_CHUNKED)
        _send(sock, _chunk(), mib)
        sock.sendall(_LAST)
        return
    if "100-continue" in head:
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = re.search(r"Content-Length: (\d+)", head)
    _take(sock, int(length[1])) if length else _drain(sock, _LAST)
    sock.sendall(_DONE)


def _wanted(head: str) -> int:
    found = re.search(r"/containers/(?:out|sized)(\d+)/", head)
    return 0 if found is None else int(found[1])


def serve(path: str) -> None:
    """Serve each connection in a thread of its own."""
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    while True:
        threading.Thread(target=_answer, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    serve(sys.argv[1])
