"""An engine that answers one chosen request as it is told, and all others rightly: for the bench `attack_engine`.

A hostile answer is a list of actions: bytes to send, seconds to wait, or how to end the connection.
"""

from __future__ import annotations

import json
import re
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from tests.bench.attacking import reset, serve_in_threads

Action = bytes | float | Literal["close", "reset", "stay"]
BAD = "bad" * 21 + "b"
"""The name and the id of a container, an image, a network and a volume that the engine has."""
_HEAD = re.compile(rb"([A-Z]+) (?:/v[0-9.]+)?(/[^ ?]*)\S* HTTP/1\.[01]\r\n")


class HostileEngine:
    """Listens on a unix socket; each connection has a thread, which ends with the connection."""

    def __init__(self, path: Path) -> None:
        self.attacked = 0
        """How often the chosen request came."""
        self.seen: list[bytes] = []
        """The heads of all requests."""
        self._armed: tuple[str, str, list[Action], bool] | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(500)
        serve_in_threads(self._listener, self._serve)

    def arm(self, method: str, path: str, actions: list[Action], *, early: bool) -> None:
        """Answer this request so from now on. early: before its body has been read."""
        self.attacked = 0
        self._armed = (method, path, actions, early)

    def disarm(self) -> None:
        """Answer everything rightly."""
        self._armed = None

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        with connection, suppress(OSError, ValueError):
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    data += _some(connection)
                head, _, data = data.partition(b"\r\n\r\n")
                data = self._answer(connection, head + b"\r\n\r\n", data)

    def _answer(self, connection: socket.socket, head: bytes, data: bytes) -> bytes:
        self.seen.append(head)
        found = _HEAD.match(head)
        if found is None:
            raise ValueError(f"a malformed request: {head!r}")
        method, path, armed = found[1].decode(), unquote(found[2].decode()), self._armed
        if armed is not None and armed[:2] == (method, path):
            self.attacked += 1
            data = data if armed[3] else _without_body(connection, head, data)
            play(connection, armed[2])
            return data
        data = _without_body(connection, head, data)
        connection.sendall(right_answer(method, path))
        if path == "/events":
            time.sleep(30)
        return data


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise OSError("closed")
    return data


def _without_body(connection: socket.socket, head: bytes, data: bytes) -> bytes:
    if b"transfer-encoding: chunked" in head.lower():
        while b"0\r\n\r\n" not in data:
            data += _some(connection)
        return data.partition(b"0\r\n\r\n")[2]
    length = re.search(rb"content-length: (\d+)", head.lower())
    left = int(length[1]) if length else 0
    while len(data) < left:
        data += _some(connection)
    return data[left:]


def play(connection: socket.socket, actions: list[Action]) -> None:
    """Do what is written. After it the connection goes on, unless it has been ended."""
    for action in actions:
        if isinstance(action, float):
            time.sleep(action)
        elif isinstance(action, bytes):
            connection.sendall(action)
        elif action == "reset":
            reset(connection)
            raise OSError("reset")
        elif action == "close":
            connection.shutdown(socket.SHUT_RDWR)
            raise OSError("closed")
        else:
            time.sleep(20)


def right_answer(method: str, path: str) -> bytes:
    """What an engine may answer; an object's Id is its name, so that a client knows its own answer."""
    name = path.split("/")[2] if path.count("/") > 1 else ""
    values: dict[str, Any] = {
        "/info": {"ID": "hostile", "Name": "hostile", "NCPU": 1, "MemTotal": 1 << 30, "Containers": 0, "Images": 0},
        "/version": {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux"},
        "/containers/json": [
            {"Id": BAD, "Names": ["/bad"], "Image": "x", "ImageID": BAD, "State": "running", "Labels": {}}
        ],
        "/images/json": [{"Id": BAD, "RepoTags": [f"{BAD}:latest"], "Created": 1, "Size": 1, "Labels": {}}],
        "/networks": [{"Id": BAD, "Name": BAD, "Driver": "bridge", "Scope": "local", "Labels": {}}],
        "/volumes": {"Volumes": [{"Name": BAD, "Driver": "local", "Labels": {}, "Scope": "local"}], "Warnings": None},
        "/system/df": {"LayersSize": 0, "Images": [], "Containers": [], "Volumes": [], "BuildCache": []},
    }
    if path == "/events":
        return framed(b"", length=None)
    body = b"OK" if path == "/_ping" else json.dumps(values.get(path, {"Id": name, "Name": "/" + name})).encode()
    return framed(b"" if method == "HEAD" else body)


def framed(body: bytes, status: int = 200, *, length: int | None = -1, extra: bytes = b"") -> bytes:
    """A response. length: -1 for the body's own, None for none at all."""
    said = b"" if length is None else b"Content-Length: %d\r\n" % (len(body) if length < 0 else length)
    kind = b"Content-Type: application/json\r\nApi-Version: 1.41\r\n"
    return b"HTTP/1.1 %d Some Text\r\n" % status + kind + extra + said + b"\r\n" + body


def chunked(body: bytes, *, size: bytes = b"", last: bytes = b"0\r\n\r\n", extra: bytes = b"") -> bytes:
    """A chunked response."""
    said = b"Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n" + extra
    return b"HTTP/1.1 200 OK\r\n" + said + b"\r\n" + (size or b"%x" % len(body)) + b"\r\n" + body + b"\r\n" + last
