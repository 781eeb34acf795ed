"""The verbs as methods: what a program that uses a chain holds, instead of messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import trio

from .channel import Below, Replies, Reply, Sender, as_json, open_reply
from .errors import Internal, SwarmError
from .message import Message, Path, Verb
from .service import as_error, refuse

WORKLOADS: Path = ("containers",)


@dataclass(frozen=True, slots=True)
class Answer:
    """The final `ack` of a call, and the `set` and `log` messages before it."""

    ack: Message
    before: list[Message]

    @property
    def value(self) -> Any:
        """The decoded object: of the last `set`, else of the `ack`; None where neither has one."""
        sets = [m for m in self.before if m.verb is Verb.SET]
        return sets[-1].json if sets else self.ack.json


async def dispatch(sender: Sender, message: Message, ret: Reply) -> None:
    """Send a request; what sending itself raises is given to `ret` as the error reply."""
    try:
        await sender.send(message)
    except Exception as exc:  # noqa: BLE001 - the contract: whatever happens, the caller is answered
        await refuse(message.but(ret=ret), as_error(exc, "", message))


class Client:
    """Typed verbs over a sender. Paths are given as words: `swarm.get("containers", "web")`.

    Every method raises what the error reply says (a `SwarmError` of the class of its code). A cancelled call is
    cancelled in every stage; a deadline around it (`trio.fail_after`) travels with it.
    """

    def __init__(self, sender: Sender) -> None:
        self.sender = sender

    @asynccontextmanager
    async def request(self, verb: Verb, path: Path = (), **fields: Any) -> AsyncGenerator[Replies]:
        """Send a request and give its replies; leaving the context ends the call. `fields` are the message's."""
        async with await self._send(verb, path, fields) as replies:
            yield replies

    async def _send(self, verb: Verb, path: Path, fields: dict[str, Any]) -> Replies:
        # Only the stages hold `ret` when this returns: if they drop it, that ends the call.
        ret, replies = open_reply()
        try:
            deadline = trio.current_effective_deadline()
            await dispatch(self.sender, Message(verb, path, ret=ret, deadline=deadline, **fields), ret)
        except BaseException:
            await replies.aclose()
            raise
        return replies

    async def call(self, verb: Verb, path: Path = (), **fields: Any) -> Answer:
        """Send a request and wait for its final reply. Raises what an `error` reply says."""
        async with await self._send(verb, path, fields) as replies:
            before: list[Message] = []
            while True:
                reply = await next_reply(replies)
                if reply.verb is Verb.ACK:
                    return Answer(reply, before)
                before.append(reply)

    async def ls(self, *path: str, **args: Any) -> list[Any]:
        """What is in `path`; by default the workloads. Options such as `all="1"` go as `args`."""
        found = (await self.call(Verb.LS, path or WORKLOADS, args=args)).value
        return found or []

    async def get(self, *path: str, **args: Any) -> Any:
        """An object's state; without a path, the service's."""
        return (await self.call(Verb.GET, path, args=args)).value

    async def set(self, *path: str, value: Any = None, **args: Any) -> Any:
        """Change an object: `swarm.set("containers", "web", "rename", name="www")`."""
        return (await self.call(Verb.SET, path, args=args, value=as_json(value))).value

    async def spawn(self, value: Any = None, *path: str, **args: Any) -> Handle:
        """Make an object in `path` (by default a workload) from its description; gives a handle to it."""
        where = path or WORKLOADS
        answer = await self.call(Verb.SPAWN, where, args=args, value=as_json(value))
        return Handle(self, (*where, _id_of(answer.value)), answer.value)

    async def start(self, *path: str, **args: Any) -> None:
        """Start an object."""
        await self.call(Verb.START, path, args=args)

    async def stop(self, *path: str, **args: Any) -> None:
        """Stop an object: with grace, then by force."""
        await self.call(Verb.STOP, path, args=args)

    async def rm(self, *path: str, **args: Any) -> Any:
        """Remove an object; gives what the service says of it."""
        return (await self.call(Verb.RM, path, args=args)).value

    @asynccontextmanager
    async def watch(self, *path: str, **args: Any) -> AsyncGenerator[AsyncIterator[Any]]:
        """Changes from now on, each a decoded value; without a path, all of the service's events."""
        async with self.request(Verb.WATCH, path, args=args) as replies:
            await _acked(replies)
            async with aclosing(_values(replies)) as values:
                yield values

    @asynccontextmanager
    async def attach(self, *path: str, **args: Any) -> AsyncGenerator[Attachment]:
        """A conversation with an object, until either side ends it."""
        async with self.request(Verb.ATTACH, path, args=args) as replies:
            ack = await _acked(replies)
            yield Attachment(Client(ack.channel or Below(self.sender, path)), replies)

    async def connect(self, *path: str, value: Any = None, **args: Any) -> trio.abc.HalfCloseableStream:
        """A byte stream to an object (its stdio, say), that the caller closes."""
        answer = await self.call(Verb.CONNECT, path, args=args, value=as_json(value))
        stream = answer.ack.att
        if isinstance(stream, trio.abc.HalfCloseableStream):
            return stream
        if stream is not None:
            await trio.aclose_forcefully(stream)
        raise Internal(f"connect gave no stream for {'/'.join(path)}")

    async def file(
        self, *path: str, att: trio.abc.ReceiveStream | None = None, **args: Any
    ) -> trio.abc.ReceiveStream | None:
        """A tar of files out of an object, that the caller closes; or, with `att`, into it."""
        return (await self.call(Verb.FILE, path, args=args, att=att)).ack.att


def _id_of(made: Any) -> str:
    return str(cast("dict[str, Any]", made).get("Id", "")) if isinstance(made, dict) else ""


@dataclass(frozen=True, slots=True)
class Handle:
    """An object that was spawned: its path, and what the service said of it."""

    client: Client
    path: Path
    made: Any

    @property
    def id(self) -> str:
        """The object's id; empty where the service gave none (an image pull)."""
        return self.path[-1]

    async def get(self) -> Any:
        """Its state."""
        return await self.client.get(*self.path)

    async def start(self) -> None:
        """Start it."""
        await self.client.start(*self.path)

    async def stop(self, **args: Any) -> None:
        """Stop it; `t` is the grace in seconds."""
        await self.client.stop(*self.path, **args)

    async def rm(self, **args: Any) -> None:
        """Remove it."""
        await self.client.rm(*self.path, **args)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A conversation: `object` sends to the attached object; iterating gives the messages that come from it."""

    object: Client
    replies: Replies

    def __aiter__(self) -> Attachment:
        return self

    async def __anext__(self) -> Message:
        """Its next `log` or `set`, until it ends the conversation. Raises what an `error` says."""
        try:
            return await next_reply(self.replies)
        except trio.EndOfChannel:
            raise StopAsyncIteration from None


async def next_reply(replies: Replies) -> Message:
    """The next reply; an `error` is raised.

    Raises:
        SwarmError: what the error reply says.
        trio.EndOfChannel: there is none any more.
    """
    reply = await replies.receive()
    if reply.verb is Verb.ERROR:
        # A fresh traceback each time: the error object may be shared by several callers (a fan-out).
        error: SwarmError = reply.error
        raise error.with_traceback(None)
    return reply


async def _acked(replies: Replies) -> Message:
    while True:
        reply = await next_reply(replies)
        if reply.verb is Verb.ACK:
            return reply


async def _values(replies: Replies) -> AsyncGenerator[Any]:
    while True:
        try:
            reply = await next_reply(replies)
        except trio.EndOfChannel:
            return
        if reply.verb is Verb.SET:
            yield reply.json
