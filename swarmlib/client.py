"""The verbs as methods: what a program that uses a chain holds, instead of requests and replies."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal, cast, overload

import trio

from .asking import Answer, answer, ask, call
from .chain import Chain, Stages
from .errors import Internal
from .handles import Attachment, Handle, Workload
from .names import Path
from .objects import Event, Finished, Image, Network, Volume, WorkloadSummary, listed
from .parameters import as_body, parameters
from .reply_pair import ReplyReceiver
from .request import Request, Sender
from .run import run
from .values import Json
from .verbs import Verb
from .watch import Watch

WORKLOADS: Path = ("containers",)


@asynccontextmanager
async def connect(*stages: Stages) -> AsyncGenerator[Client]:
    """Open a chain (its text, a `Chain`, or its stages) and give the verbs over it; leaving the context closes it.

    Raises:
        ChainSyntaxError: the text isn't a chain; points at the place.
        SwarmError: a stage can't be opened.
    """
    async with Chain(*stages).open() as sender:
        yield Client(sender)


class Client:
    """Typed verbs over a sender. Paths are given as words: `swarm.get("containers", "web")`.

    Keywords are the Engine API's query parameters, and may be Python values: `swarm.ls(all=True, filters={"label":
    "tier=web"})`. What is listed and told of are records (`Record`): mappings of the Engine API's own JSON.

    Every method raises what the error reply says (a `SwarmError` of the class of its code). A cancelled call is
    cancelled in every stage; a deadline around it (`trio.fail_after`) travels with it.
    """

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
        """Send a request and give its replies; leaving the context ends the call."""
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
        """Send a request and wait for its final reply. Raises what an `error` reply says."""
        return await call(self.sender, Request(verb, path, params or {}, body, upload=upload))

    @overload
    async def ls(self, /, **params: Any) -> list[WorkloadSummary]: ...
    @overload
    async def ls(self, kind: Literal["containers"], /, **params: Any) -> list[WorkloadSummary]: ...
    @overload
    async def ls(self, kind: Literal["images"], /, **params: Any) -> list[Image]: ...
    @overload
    async def ls(self, kind: Literal["networks"], /, **params: Any) -> list[Network]: ...
    @overload
    async def ls(self, kind: Literal["volumes"], /, **params: Any) -> list[Volume]: ...
    @overload
    async def ls(self, /, *path: str, **params: Any) -> list[Any]: ...
    async def ls(self, /, *path: str, **params: Any) -> list[Any]:
        """What is in `path`; by default the workloads that run, with `all=True` all of them.

        Raises:
            Internal: the service gave something else than that place holds.
        """
        where = path or WORKLOADS
        return listed(where, (await self.call(Verb.LS, where, params=parameters(params))).value)

    async def get(self, /, *path: str, **params: Any) -> Any:
        """An object's state; without a path, the service's."""
        return (await self.call(Verb.GET, path, params=parameters(params))).value

    async def set(self, /, *path: str, body: Any = None, **params: Any) -> Any:
        """Change an object: `swarm.set("containers", "web", "rename", name="www")`."""
        return (await self.call(Verb.SET, path, params=parameters(params), body=as_body(body))).value

    @overload
    async def spawn(self, value: Any = None, /, **params: Any) -> Workload: ...
    @overload
    async def spawn(self, value: Any, /, *path: str, **params: Any) -> Handle: ...
    async def spawn(self, value: Any = None, /, *path: str, **params: Any) -> Handle:
        """Make an object in `path` (by default a workload) from its description; gives a handle to it."""
        where = path or WORKLOADS
        made = (await self.call(Verb.SPAWN, where, params=parameters(params), body=as_body(value))).value
        kind = Workload if where == WORKLOADS else Handle
        return kind(self, (*where, _id_of(made)), made)

    def workload(self, name: str) -> Workload:
        """A handle to a workload, by its id, name or unique id prefix. Nothing is asked: it may not exist."""
        return Workload(self, (*WORKLOADS, name))

    async def start(self, /, *path: str, **params: Any) -> None:
        """Start an object; one word is a workload's name."""
        await self.call(Verb.START, _named(path), params=parameters(params))

    async def stop(self, /, *path: str, **params: Any) -> None:
        """Stop an object: with grace, then by force; one word is a workload's name."""
        await self.call(Verb.STOP, _named(path), params=parameters(params))

    async def rm(self, /, *path: str, **params: Any) -> Any:
        """Remove an object; gives what the service says of it. One word is a place: what is unused in it is removed."""
        return (await self.call(Verb.RM, path, params=parameters(params))).value

    @overload
    def watch(self, /, **params: Any) -> Watch[Event]: ...
    @overload
    def watch(self, /, *path: str, **params: Any) -> Watch[Any]: ...
    def watch(self, /, *path: str, **params: Any) -> Watch[Any]:
        """Changes from now on: without a path the service's events, else an object's, each a decoded value.

        async for event in swarm.watch(filters={"type": "container", "event": ["start", "die"]}): ...
        """
        asked = parameters(params)

        async def send() -> ReplyReceiver:
            return await self._send(Request(Verb.WATCH, path, asked))

        return Watch(send, _value) if path else Watch(send, Event.read, endless="until" not in params)

    def attach(self, /, *path: str, **params: Any) -> AbstractAsyncContextManager[Attachment]:
        """A conversation with an object, until either side ends it; one word is a workload's name."""
        return self.attach_to(_named(path), params)

    @asynccontextmanager
    async def attach_to(self, path: Path, params: Mapping[str, Any]) -> AsyncGenerator[Attachment]:
        """`attach`, with the path and the options as they are."""
        async with self.request(Verb.ATTACH, path, params=parameters(params)) as replies:
            await answer(replies)
            yield Attachment(self, path, replies)

    async def connect(self, /, *path: str, body: Any = None, **params: Any) -> trio.abc.HalfCloseableStream:
        """A byte stream to an object (its stdio, say), that the caller closes."""
        answer = await self.call(Verb.CONNECT, path, params=parameters(params), body=as_body(body))
        stream = answer.ack.stream
        if isinstance(stream, trio.abc.HalfCloseableStream):
            return stream
        if stream is not None:
            await trio.aclose_forcefully(stream)
        raise Internal(f"connect gave no stream for {'/'.join(path)}")

    async def file(
        self, /, *path: str, upload: trio.abc.ReceiveStream | None = None, **params: Any
    ) -> trio.abc.ReceiveStream | None:
        """A tar of files out of an object, that the caller closes; or, with `upload`, into it."""
        return (await self.call(Verb.FILE, path, params=parameters(params), upload=upload)).ack.stream

    async def run(
        self,
        /,
        image: str,
        command: str | Sequence[str] = (),
        *,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        name: str = "",
        check: bool = False,
        **config: Any,
    ) -> Finished:
        """Run a workload to its end, and remove it, whatever happens; gives its output and exit code.

        command: words, or text that is split as a shell would; by default the image's own. stdin: all of its input;
        None for no input at all. env: variables. check: raise if it fails. config: more of the Engine API's container,
        such as `User="nobody"`, `HostConfig={"Memory": 1 << 26}`. Its output is held in memory. When this is cancelled,
        the workload is ended and removed.

        Raises:
            Failed: with `check`, it ended with another code than 0.
            NotFound: the service doesn't have the image.
            TimedOut: the workload could not be removed within `CLEANUP_SECONDS`.
        """
        finished = await run(self, image, command, stdin=stdin, env=env, name=name, config=config)
        return finished.check() if check else finished


def _named(path: Path) -> Path:
    """One word is a workload's name, where nothing else could be meant."""
    return (*WORKLOADS, *path) if len(path) == 1 else path


def _value(value: Any) -> Any:
    return value


def _id_of(made: Any) -> str:
    return str(cast("dict[str, Any]", made).get("Id", "")) if isinstance(made, dict) else ""
