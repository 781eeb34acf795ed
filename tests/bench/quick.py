"""A client that only sends and receives: many of them cost little beside what they measure."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import trio

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_LARGE: Final = 1 << 18


async def ask(path: str, request: str, body: Any = None, more: str = "") -> trio.SocketStream:
    """Send a request to a unix socket, such as `GET /info`; return the connection, on which nothing was read.

    body: sent as JSON. more: further header lines, each with its end.
    """
    stream = await trio.open_unix_socket(path)
    text = "" if body is None else json.dumps(body)
    head = (
        f"{request} HTTP/1.1\r\nHost: localhost\r\n{more}"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    await stream.send_all((head + text).encode())
    return stream


async def take(stream: trio.SocketStream, least: int) -> None:
    """Read at least so many bytes."""
    seen = 0
    while seen < least:
        part = await stream.receive_some(_LARGE)
        if not part:
            raise RuntimeError(f"a stream ended after {seen} bytes of {least}")
        seen += len(part)


async def head_of(stream: trio.SocketStream) -> tuple[bytes, bytes]:
    """Read the head of the answer; return it, and what came behind it. Raises RuntimeError if it reports a failure."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        part = await stream.receive_some(_LARGE)
        if not part:
            raise RuntimeError("the connection ended before the answer")
        seen += part
    head, _, rest = seen.partition(b"\r\n\r\n")
    if not head.startswith((b"HTTP/1.1 1", b"HTTP/1.1 2")):
        raise RuntimeError(f"the answer is {seen[:500]!r}")
    return head + b"\r\n", rest


async def answer_of(stream: trio.SocketStream) -> bytes:
    """Read an answer that tells its length; return its body."""
    head, body = await head_of(stream)
    found = _LENGTH.search(head)
    length = int(found[1]) if found else 0
    pieces, missing = [body], length - len(body)
    while missing > 0:
        pieces.append(part := await stream.receive_some(_LARGE))
        if not part:
            raise RuntimeError(f"the answer ended {missing} bytes too early")
        missing -= len(part)
    return b"".join(pieces)


async def answer_to(path: str, request: str, body: Any = None) -> Any:
    """Ask and read the answer, which is JSON; None if there is none."""
    async with await ask(path, request, body) as stream:
        text = await answer_of(stream)
        return json.loads(text) if text.strip() else None


class Rendezvous:
    """Each stays until all have come, so that all are there at once."""

    def expect(self, count: int) -> None:
        """Begin to wait for so many."""
        self._missing = count
        self._complete = trio.Event()

    async def wait(self) -> None:
        """Come, and wait until all have."""
        self._missing -= 1
        if not self._missing:
            self._complete.set()
        await self._complete.wait()
