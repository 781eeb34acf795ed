"""Wire peers that send whatever frames a test gives them, without any checks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack
import trio

from swarmlib import Ack, Error, Operation, Request, Server
from swarmlib.wire.frames import HEAD, MAGIC, VERSIONS, Type, frame, hello
from swarmlib.wire.limits import Limits
from swarmlib.wire.reply_codec import decode_reply
from swarmlib.wire.request_codec import decode_request

HELLO: Final = MAGIC + hello(VERSIONS, Limits(), frozenset())


@dataclass(eq=False)
class Leaf(Server):
    """A service that notes what it is asked, and answers `get` and `ls`."""

    seen: list[Request] = field(default_factory=list[Request])

    def make_stage(self) -> Leaf:
        """One for all openings, so that the test sees what each was asked."""
        return self

    def choose(self, request: Request) -> Any:
        """Note a request."""
        self.seen.append(request)
        return super().choose(request)

    async def get(self, request: Request) -> Any:
        """What it was asked."""
        return {"Id": "/".join(request.path), "params": sorted(request.params)}

    async def ls(self, request: Request) -> Any:
        """Nothing."""
        return []

    async def file(self, request: Request) -> None:
        """Take a file, to its end."""
        assert request.upload is not None
        async with request.upload as given:
            async for _ in given:
                pass


def reference(kind: int, number: int) -> Any:
    """A reference to a channel or stream, as it stands in a request or reply."""
    return msgpack.ExtType(kind, number.to_bytes(8, "big"))


def request(
    verb: Any = "get",
    path: Any = ("containers", "web"),
    params: Any = None,
    *,
    body: Any = None,
    reply: Any = None,
    upload: Any = None,
    meta: Any = None,
    left: Any = None,
) -> bytes:
    """A request's fields, whatever they are."""
    where = list(path) if isinstance(path, tuple) else path
    data: bytes = msgpack.packb([verb, where, {} if params is None else params, body, reply, upload, meta, left])
    return data


def reply(kind: Any = "ack", value: Any = None, details: Any = None, *, stream: Any = None) -> bytes:
    """A reply's fields, whatever they are."""
    data: bytes = msgpack.packb([kind, {} if details is None else details, value, stream])
    return data


class Peer:
    """One side of a session that keeps no rule but to read what the other says."""

    def __init__(self, stream: trio.abc.Stream, first: int) -> None:
        self.stream = stream
        self._data = b""
        self._number = first

    def number(self) -> int:
        """A number for a channel or stream of this side's."""
        self._number += 2
        return self._number - 2

    async def say(self, *frames: bytes) -> None:
        """Send frames."""
        await self.stream.send_all(b"".join(frames))

    async def next_frame(self) -> tuple[int, int, bytes]:
        """Type, channel and payload of the next frame; type 0 at the end."""
        while len(self._data) < HEAD.size or len(self._data) < HEAD.size + HEAD.unpack_from(self._data)[0]:
            try:
                data = await self.stream.receive_some()
            except trio.BrokenResourceError:
                data = b""
            if not data:
                return 0, 0, b""
            self._data += data
            self._data = self._data.removeprefix(MAGIC)
        length, type, channel = HEAD.unpack_from(self._data)
        payload, self._data = self._data[HEAD.size :][:length], self._data[HEAD.size + length :]
        return type, channel, payload

    async def greeted(self) -> None:
        """Read the other side's HELLO."""
        assert (await self.next_frame())[0] == Type.HELLO

    async def request(self) -> tuple[Operation, int]:
        """The next request, and the channel for its replies."""
        while True:
            type, channel, payload = await self.next_frame()
            assert type, "the session has ended"
            if type in (Type.MESSAGE, Type.LAST) and channel == 0:
                asked, refs = decode_request(payload, now=0.0)
                assert refs.reply is not None
                return asked, refs.reply.id

    async def call(
        self, verb: Any = "get", path: Any = ("containers", "web"), params: Any = None, **fields: Any
    ) -> Ack | Error:
        """Make a call; gives its final reply."""
        number = self.number()
        await self.say(frame(Type.MESSAGE, 0, request(verb, path, params, reply=reference(1, number), **fields)))
        while True:
            type, channel, payload = await self.next_frame()
            assert type != Type.BYE, f"the session has ended: {payload!r}"
            assert type, "the session has ended without a word"
            if channel == number and type in (Type.MESSAGE, Type.LAST):
                came, _ = decode_reply(payload)
                if isinstance(came, Ack | Error):
                    return came


@asynccontextmanager
async def peer_of(path: str) -> AsyncGenerator[Peer]:
    """A peer of a `listen unix://PATH`, once both have agreed."""
    async with await trio.open_unix_socket(path) as stream:
        peer = Peer(stream, 1)
        await peer.say(HELLO)
        await peer.greeted()
        yield peer


@asynccontextmanager
async def far_side(path: str, serve: Callable[[Peer], Awaitable[None]]) -> AsyncGenerator[None]:
    """What a `remote unix://PATH` reaches: each session is `serve`'s, from the handshake on."""

    async def accept(stream: trio.SocketStream) -> None:
        async with stream:
            peer = Peer(stream, 2)
            await peer.say(HELLO)
            await peer.greeted()
            await serve(peer)

    sock = trio.socket.socket(trio.socket.AF_UNIX)
    await sock.bind(path)
    sock.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, accept, [trio.SocketListener(sock)])
        yield
        nursery.cancel_scope.cancel()


async def http(path: str, request: bytes) -> bytes:
    """The head of what a server behind a unix socket answers."""
    async with await trio.open_unix_socket(path) as stream:
        await stream.send_all(request)
        answer = b""
        with trio.fail_after(10):
            while b"\r\n\r\n" not in answer:
                answer += await stream.receive_some() or b"\r\n\r\n"
        return answer
