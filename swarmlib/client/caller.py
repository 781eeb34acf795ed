"""The verbs as methods over a sender, except those that return handles (see `client`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, overload

import trio

from ..asking import Answer, ask, call
from ..errors import Internal
from ..names import Path
from ..reply_pair import ReplyReceiver
from ..request import Request, Sender
from ..values import Json
from ..verbs import Verb
from .objects import Event, Image, Network, Volume, WorkloadSummary, listed
from .parameters import Param, as_body, parameters
from .watch import Watch

WORKLOADS: Final[Path] = ("containers",)


class Caller:
    """The verbs that a client and its handles have over a sender. Paths are words: `get("containers", "web")`."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender

    @asynccontextmanager
    async def request(
        self,
        verb: Verb,
        path: Path = (),
        *,
        params: Mapping[str, Any] | None = None,
        body: Json | None = None,
        upload: trio.abc.ReceiveStream | None = None,
    ) -> AsyncGenerator[ReplyReceiver]:
        """Send a request and yield its replies; leaving the context ends the call."""
        async with await self._send(Request(verb, path, params or {}, body, upload=upload)) as replies:
            yield replies

    async def _send(self, request: Request) -> ReplyReceiver:
        return await ask(self.sender, request, deadline=trio.current_effective_deadline())

    async def call(
        self,
        verb: Verb,
        path: Path = (),
        *,
        params: Mapping[str, Any] | None = None,
        body: Json | None = None,
        upload: trio.abc.ReceiveStream | None = None,
    ) -> Answer:
        """Send a request and wait for its final reply. Raises the error of an `error` reply."""
        return await call(self.sender, Request(verb, path, params or {}, body, upload=upload))

    @overload
    async def ls(self, /, **params: Param) -> list[WorkloadSummary]: ...
    @overload
    async def ls(self, kind: Literal["containers"], /, **params: Param) -> list[WorkloadSummary]: ...
    @overload
    async def ls(self, kind: Literal["images"], /, **params: Param) -> list[Image]: ...
    @overload
    async def ls(self, kind: Literal["networks"], /, **params: Param) -> list[Network]: ...
    @overload
    async def ls(self, kind: Literal["volumes"], /, **params: Param) -> list[Volume]: ...
    @overload
    async def ls(self, /, *path: str, **params: Param) -> list[Any]: ...
    async def ls(self, /, *path: str, **params: Param) -> list[Any]:
        """List what is in `path`: by default the workloads that run, with `all=True` all of them.

        Raises:
            Internal: the service returned something other than what that path holds.
        """
        where = path or WORKLOADS
        return listed(where, (await self.call(Verb.LS, where, params=parameters(params))).value)

    async def get(self, /, *path: str, **params: Param) -> Any:
        """Return an object's state; without a path, the service's."""
        return (await self.call(Verb.GET, path, params=parameters(params))).value

    async def set(self, /, *path: str, body: Any = None, **params: Param) -> Any:
        """Change an object: `swarm.set("containers", "web", "rename", name="www")`."""
        return (await self.call(Verb.SET, path, params=parameters(params), body=as_body(body))).value

    async def start(self, /, *path: str, **params: Param) -> None:
        """Start an object; one word is a workload's name."""
        await self.call(Verb.START, named(path), params=parameters(params))

    async def stop(self, /, *path: str, **params: Param) -> None:
        """Stop an object: with grace, then by force; one word is a workload's name."""
        await self.call(Verb.STOP, named(path), params=parameters(params))

    async def rm(self, /, *path: str, **params: Param) -> Any:
        """Remove an object, and return the service's answer. One word is a place: remove what is unused in it."""
        return (await self.call(Verb.RM, path, params=parameters(params))).value

    @overload
    def watch(self, /, **params: Param) -> Watch[Event]: ...
    @overload
    def watch(self, /, *path: str, **params: Param) -> Watch[Any]: ...
    def watch(self, /, *path: str, **params: Param) -> Watch[Any]:
        """Watch changes from now on: without a path the service's events, else an object's, each a decoded value.

        async with swarm.watch(filters={"type": "container", "event": ["start", "die"]}) as events:
            async for event in events: ...
        """
        asked = parameters(params)

        async def send() -> ReplyReceiver:
            return await self._send(Request(Verb.WATCH, path, asked))

        return Watch(send, _value) if path else Watch(send, Event.read, endless="until" not in params)

    async def connect(self, /, *path: str, body: Any = None, **params: Param) -> trio.abc.HalfCloseableStream:
        """Open a byte stream to an object (such as its stdio). The caller must close it."""
        answer = await self.call(Verb.CONNECT, path, params=parameters(params), body=as_body(body))
        stream = answer.ack.stream
        if isinstance(stream, trio.abc.HalfCloseableStream):
            return stream
        if stream is not None:
            await trio.aclose_forcefully(stream)
        raise Internal(f"connect returned no stream for {'/'.join(path)}")

    async def file(
        self, /, *path: str, upload: trio.abc.ReceiveStream | None = None, **params: Param
    ) -> trio.abc.ReceiveStream | None:
        """Read a tar of files out of an object, as a stream that the caller closes; with `upload`, put one into it."""
        return (await self.call(Verb.FILE, path, params=parameters(params), upload=upload)).ack.stream


def named(path: Path) -> Path:
    """Return the path that words stand for, in verbs where a single word can only be a workload's name."""
    return (*WORKLOADS, *path) if len(path) == 1 else path


def _value(value: Any) -> Any:
    return value
