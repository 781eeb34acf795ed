"""A peer of the wire that says whatever it is told: frames, requests and replies are packed by hand, and nothing is
checked.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgpack as untyped_msgpack

from swarmlib.wire import frames
from swarmlib.wire.frames import HEAD, MAGIC, Type
from swarmlib.wire.limits import Limits

msgpack: Final[Any] = untyped_msgpack


class Frame(NamedTuple):
    """A frame that came."""

    type: int
    channel: int
    payload: bytes

    @property
    def fields(self) -> list[Any]:
        """The fields of a request or reply; references are `msgpack.ExtType`."""
        found: list[Any] = msgpack.unpackb(self.payload, strict_map_key=False)
        return found


def ref(kind: int, number: int, *more: int) -> Any:
    """A reference, right or wrong."""
    return msgpack.ExtType(kind, struct.pack(f"!{1 + len(more)}Q", number, *more))


def pair(*items: Any) -> Any:
    """A tuple."""
    return msgpack.ExtType(6, msgpack.packb(list(items)))


def request(
    verb: Any, path: Any = (), params: Any = None, body: Any = None, *, reply: Any = None, upload: Any = None,
    meta: Any = None, left: Any = None,
) -> bytes:  # fmt: skip
    """A request of any content."""
    fields = [verb, list(path) if isinstance(path, tuple) else path, {} if params is None else params, body]
    return bytes(msgpack.packb([*fields, reply, upload, meta, left], unicode_errors="surrogatepass"))


def reply(kind: Any, details: Any = None, value: Any = None, *, stream: Any = None) -> bytes:
    """A reply of any content."""
    fields = [kind, {} if details is None else details, value, stream]
    return bytes(msgpack.packb(fields, unicode_errors="surrogatepass"))


class Peer:
    """One connection. The initiator is who connects."""

    def __init__(self, connection: socket.socket, *, initiator: bool) -> None:
        self.ended = False
        self._connection = connection
        self._data = b""
        self._initiator = initiator
        self._next = 1 if initiator else 2

    def shake_hands(self) -> None:
        """Say hello; the initiator waits for the other side's.

        Raises:
            ConnectionError: the other side ended the connection.
        """
        hello = MAGIC + frames.hello(frames.VERSIONS, Limits(), frozenset())
        if not self._initiator:
            self._read(len(MAGIC))
            self._connection.sendall(hello + frames.frame(Type.PING, 0, b"12345678"))
            return
        self._connection.sendall(hello)
        self._read(len(MAGIC))

    def _read(self, count: int) -> bytes:
        while len(self._data) < count:
            piece = self._connection.recv(65536)
            if not piece:
                self.ended = True
                raise ConnectionError("the peer ended the session")
            self._data += piece
        found, self._data = self._data[:count], self._data[count:]
        return found

    def number(self) -> int:
        """A number for a channel, never used before."""
        self._next += 2
        return self._next - 2

    def send(self, *pieces: bytes) -> None:
        """Send frames; that the other side is gone shows when it is read from."""
        try:
            self._connection.sendall(b"".join(pieces))
        except OSError:
            self.ended = True

    def frames(self, seconds: float) -> Iterator[Frame]:
        """The frames that come within a time. Pings are answered; the end of the session ends them."""
        until = time.monotonic() + seconds
        while not self.ended:
            if len(self._data) < HEAD.size or len(self._data) < HEAD.size + HEAD.unpack_from(self._data)[0]:
                left = until - time.monotonic()
                if left <= 0 or not select.select([self._connection], [], [], left)[0]:
                    return
                self._take()
                continue
            length, type, channel = HEAD.unpack(self._read(HEAD.size))
            frame = Frame(type, channel, self._read(length))
            if type == Type.PING:
                self.send(frames.frame(Type.PONG, 0, frame.payload))
            if type == Type.BYE:
                self.ended = True
            yield frame

    def _take(self) -> None:
        try:
            piece = self._connection.recv(65536)
        except OSError:
            piece = b""
        self._data += piece
        self.ended = self.ended or not piece

    def call(self, packed: bytes, channel: int, seconds: float, behind: bytes = b"") -> tuple[str, list[Frame]]:
        """Send a request; gives how it ended (`ack`, `error`, `ended`, `reset`, `nothing`) and all that came.

        behind: frames that are sent after it, such as the end of its upload.
        """
        self.send(frames.frame(Type.MESSAGE, 0, packed), behind)
        came: list[Frame] = []
        for frame in self.frames(seconds):
            came.append(frame)
            if frame.channel == channel and frame.type == Type.RESET:
                return "reset", came
            if frame.channel == channel and frame.type in (Type.MESSAGE, Type.LAST):
                kind = frame.fields[0]
                if kind in ("ack", "error"):
                    return kind, came
        return "ended" if self.ended else "nothing", came

    def close(self) -> None:
        """Close the connection."""
        self.ended = True
        self._connection.close()
