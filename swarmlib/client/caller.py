"""The verbs as methods over a sender, except those that return handles (see `client`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, Unpack, overload

import trio

from ..asking import Answer, ask, call
from ..errors import Internal
from ..names import Path
from ..operation import NO_META, Meta
from ..reply_pair import ReplyReceiver
from ..request import Request, Sender
from ..values import Json
from ..verbs import Verb
from .keywords import (
    ConnectParams,
    FileParams,
    GetParams,
    LsParams,
    RmParams,
    SetParams,
    StartParams,
    StopParams,
    WatchParams,
)
from .limits import check_loop, current_trio_loop, within
from .objects import Event, Image, Network, Volume, WorkloadSummary, listed
from .parameters import as_body, parameters
from .watch import Watch

WORKLOADS: Final[Path] = ("containers",)


class Caller:
    """The verbs that a client and its handles have over a sender. Paths are words: `get("containers", "web")`."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self._home = current_trio_loop()

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
        check_loop(self._home)
        return await ask(self.sender, request, deadline=trio.current_effective_deadline())

    async def call(
        self,
        verb: Verb,
        path: Path = (),
        *,
        params: Mapping[str, Any] | None = None,
        body: Json | None = None,
        meta: Meta = NO_META,
        upload: trio.abc.ReceiveStream | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request and wait for its final reply. Raises the error of an `error` reply."""
        check_loop(self._home)
        with within(timeout):
            return await call(self.sender, Request(verb, path, params or {}, body, meta, upload=upload))

    @overload
    async def ls(self, /, *, timeout: float | None = None, **params: Unpack[LsParams]) -> list[WorkloadSummary]: ...
    @overload
    async def ls(
        self, kind: Literal["containers"], /, *, timeout: float | None = None, **params: Unpack[LsParams]
    ) -> list[WorkloadSummary]: ...
    @overload
    async def ls(
        self, kind: Literal["images"], /, *, timeout: float | None = None, **params: Unpack[LsParams]
    ) -> list[Image]: ...
    @overload
    async def ls(
        self, kind: Literal["networks"], /, *, timeout: float | None = None, **params: Unpack[LsParams]
    ) -> list[Network]: ...
    @overload
    async def ls(
        self, kind: Literal["volumes"], /, *, timeout: float | None = None, **params: Unpack[LsParams]
    ) -> list[Volume]: ...
    @overload
    async def ls(self, /, *words: str, timeout: float | None = None, **params: Unpack[LsParams]) -> list[Any]: ...
    async def ls(self, /, *words: str, timeout: float | None = None, **params: Unpack[LsParams]) -> list[Any]:
        """List what is in a place: by default the workloads that run, with `all=True` all of them.

        Raises:
            Internal: the service returned something other than what that place holds.
        """
        place = words or WORKLOADS
        return listed(place, (await self._ask(Verb.LS, place, params, timeout=timeout)).value)

    async def get(self, /, *words: str, timeout: float | None = None, **params: Unpack[GetParams]) -> Any:
        """Return an object's state; without a path, the service's."""
        return (await self._ask(Verb.GET, words, params, timeout=timeout)).value

    async def set(
        self, /, *words: str, body: Any = None, timeout: float | None = None, **params: Unpack[SetParams]
    ) -> Any:
        """Change an object: `swarm.set("containers", "web", "rename", name="www")`."""
        return (await self._ask(Verb.SET, words, params, body=body, timeout=timeout)).value

    async def start(self, /, *words: str, timeout: float | None = None, **params: Unpack[StartParams]) -> None:
        """Start an object; one word is a workload's name."""
        await self._ask(Verb.START, named(words), params, timeout=timeout)

    async def stop(self, /, *words: str, timeout: float | None = None, **params: Unpack[StopParams]) -> None:
        """Stop an object: with grace, then by force; one word is a workload's name."""
        await self._ask(Verb.STOP, named(words), params, timeout=timeout)

    async def rm(self, /, *words: str, timeout: float | None = None, **params: Unpack[RmParams]) -> Any:
        """Remove an object, and return the service's answer. One word is a place: remove what is unused in it."""
        return (await self._ask(Verb.RM, words, params, timeout=timeout)).value

    @overload
    def watch(self, /, **params: Unpack[WatchParams]) -> Watch[Event]: ...
    @overload
    def watch(self, /, *words: str, **params: Unpack[WatchParams]) -> Watch[Any]: ...
    def watch(self, /, *words: str, **params: Unpack[WatchParams]) -> Watch[Any]:
        """Watch changes from now on: without a path the service's events, else an object's, each a decoded value.

        async with swarm.watch(filters={"type": "container", "event": ["start", "die"]}) as events:
            async for event in events: ...
        """
        asked = parameters(Verb.WATCH, words, params)

        async def send() -> ReplyReceiver:
            return await self._send(Request(Verb.WATCH, words, asked))

        return Watch(send, _value) if words else Watch(send, Event.read, endless="until" not in params)

    async def connect(
        self, /, *words: str, body: Any = None, timeout: float | None = None, **params: Unpack[ConnectParams]
    ) -> trio.abc.HalfCloseableStream:
        """Open a byte stream to an object (such as its stdio). The caller must close it."""
        stream = (await self._ask(Verb.CONNECT, words, params, body=body, timeout=timeout)).ack.stream
        if isinstance(stream, trio.abc.HalfCloseableStream):
            return stream
        if stream is not None:
            await trio.aclose_forcefully(stream)
        raise Internal(f"connect returned no stream for {'/'.join(words)}")

    async def file(
        self,
        /,
        *words: str,
        upload: trio.abc.ReceiveStream | None = None,
        timeout: float | None = None,
        **params: Unpack[FileParams],
    ) -> trio.abc.ReceiveStream | None:
        """Read a tar of files out of an object, as a stream that the caller closes; with `upload`, put one into it."""
        return (await self._ask(Verb.FILE, words, params, upload=upload, timeout=timeout)).ack.stream

    async def _ask(
        self,
        verb: Verb,
        path: Path,
        keywords: Mapping[str, Any],
        *,
        body: Any = None,
        upload: trio.abc.ReceiveStream | None = None,
        timeout: float | None,
    ) -> Answer:
        """Make a call whose parameters are keywords, and whose body is JSON data."""
        params = parameters(verb, path, keywords)
        return await self.call(verb, path, params=params, body=as_body(body), upload=upload, timeout=timeout)


def named(path: Path) -> Path:
    """Return the path that words stand for, in verbs where a single word can only be a workload's name."""
    return (*WORKLOADS, *path) if len(path) == 1 else path


def _value(value: Any) -> Any:
    return value
