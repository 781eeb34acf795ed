"""Engines with fixed answers, all in one process of their own, so that what asking them costs is the asker's alone.

    python -m tests.bench.fixed FOLDER ENGINES CONTAINERS

Each listens on the socket `FOLDER/NUMBER.sock`, has so many running containers, and tells no events. The log of each
container has LOG_BYTES, and may be followed forever.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from tests.bench.common import process
from tests.support.engines import is_served, wait_until
from tests.support.simulated import stamp

_ID: Final = "@" * 64
"""What stands for a container's id in the templates of answers."""
_CREATED: Final = 1_700_000_000
"""When the first container was created; each of the others, a second before."""
_STARTED: Final = time.time() - 5 * 3600
_IMAGE: Final = "sha256:" + "6" * 64
_TARGET: Final = re.compile(rb"[A-Z]+ (?:/v[0-9.]+)?(/[^ ?]*)")
LOG_BYTES: Final = 20_000
_HELD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
"""The head of an answer that does not end."""
_LOG: Final = b"\1\0\0\0" + (LOG_BYTES - 8).to_bytes(4, "big") + b"x" * (LOG_BYTES - 9) + b"\n"
_LABELS: Final = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
_NETWORK: Final = {"Id": "7" * 64, "Name": "bridge", "Scope": "local", "Driver": "bridge"}
_SUMMARY: Final = {
    "Id": _ID,
    "Names": [f"/shop-web-{_ID}"],
    "Image": "shop:latest",
    "ImageID": _IMAGE,
    "Command": "sleep 600",
    "Created": _CREATED,
    "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
    "Labels": _LABELS,
    "State": "running",
    "Status": "Up 5 hours",
    "HostConfig": {"NetworkMode": "bridge"},
    "NetworkSettings": {"Networks": {"bridge": {"NetworkID": "7" * 64, "IPAddress": "172.17.0.2"}}},
    "Mounts": [],
}
_INSPECTION: Final[dict[str, Any]] = {
    "Id": _ID,
    "Name": f"/shop-web-{_ID}",
    "Created": stamp(_CREATED),
    "State": {"Status": "running", "Running": True, "StartedAt": stamp(_STARTED)},
    "Config": {"Image": "shop:latest", "Labels": _LABELS},
    "HostConfig": {"NetworkMode": "bridge", "PortBindings": {}, "Memory": 0, "NanoCpus": 0},
    "NetworkSettings": {"Networks": {"bridge": {"NetworkID": "7" * 64}}},
    "Mounts": [],
}
_VERSION: Final = {
    "ApiVersion": "1.41",
    "MinAPIVersion": "1.12",
    "Version": "20.10.24",
    "Components": [{"Name": "Engine", "Version": "20.10.24"}, {"Name": "containerd", "Version": "1.6.20"}],
}
_FIXED: Final[dict[str, Any]] = {
    "/version": _VERSION,
    "/images/json": [{"Id": _IMAGE, "RepoTags": ["shop:latest"], "Created": int(_STARTED), "Size": 1}],
    "/networks": [_NETWORK],
    "/volumes": {"Volumes": [], "Warnings": None},
}


def _encoded(value: object) -> bytes:
    return json.dumps(value).encode()


_FIXED_BODIES: Final = {path: _encoded(value) for path, value in _FIXED.items()}
_SUMMARY_BODY: Final = _encoded(_SUMMARY)
_INSPECTION_BODY: Final = _encoded(_INSPECTION)


def _of(template: bytes, id: str, before: int) -> bytes:
    """The answer that a template gives for a container, which was created so many seconds before the first."""
    filled = template
    for written in (str, stamp):
        filled = filled.replace(written(_CREATED).encode(), written(_CREATED - before).encode())
    return filled.replace(_ID.encode(), id.encode())


class _Engine:
    """One of them."""

    def __init__(self, number: int, containers: int) -> None:
        ids = [f"{number:08x}{each:08x}".ljust(64, "0") for each in range(containers)]
        self._number = {id: number for number, id in enumerate(ids)}
        listed = [_of(_SUMMARY_BODY, id, number) for id, number in self._number.items()]
        self._info = _encoded({"ID": "fixed", "Containers": containers, "NCPU": 4, "MemTotal": 1 << 33})
        self._list = b"[" + b",".join(listed) + b"]"

    def _body(self, path: str) -> bytes:
        match path.split("/")[1:]:
            case ["info"]:
                return self._info
            case ["containers", "json"]:
                return self._list
            case ["containers", id, "json"]:
                return _of(_INSPECTION_BODY, id, self._number[id])
            case _:
                return _FIXED_BODIES.get(path, b"{}")

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer the requests of a connection, none of which has a body, one after another."""
        unread = b""
        with suppress(trio.BrokenResourceError):
            async with stream:
                while data := await stream.receive_some():
                    unread += data
                    while b"\r\n\r\n" in unread:
                        head, _, unread = unread.partition(b"\r\n\r\n")
                        found = _TARGET.match(head)
                        assert found is not None
                        await stream.send_all(self._response(found[1].decode()))

    def _response(self, path: str) -> bytes:
        if path == "/events":
            return _HELD
        if path.endswith("/logs"):
            return _HELD + b"%x\r\n%b\r\n" % (len(_LOG), _LOG)
        body = self._body(path)
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def _serve(folder: Path, engines: int, containers: int) -> None:
    async with trio.open_nursery() as nursery:
        for number in reversed(range(engines)):  # the first is there when all are
            listening = trio.socket.socket(trio.socket.AF_UNIX)
            await listening.bind(str(folder / f"{number}.sock"))
            listening.listen(4096)
            serve = _Engine(number, containers).serve
            nursery.start_soon(partial(trio.serve_listeners, serve, [trio.SocketListener(listening)]))


@contextmanager
def fixed_engines(folder: Path, engines: int, containers: int) -> Generator[list[Path]]:
    """Run them as long as the context; give their sockets."""
    command = [sys.executable, "-m", "tests.bench.fixed", str(folder), str(engines), str(containers)]
    with process(command) as started:
        wait_until(lambda: is_served(folder / "0.sock"), "the engines", started)
        yield [folder / f"{number}.sock" for number in range(engines)]


if __name__ == "__main__":
    trio.run(_serve, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
