"""The verbs as methods: what a program that uses a chain holds, instead of messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Literal, cast, overload

import trio

from .chain import Chain, Stages
from .channel import Replies, Sender
from .errors import Internal
from .handles import Attachment, Handle, Workload
from .message import Message, Path, Verb
from .objects import Event, Finished, Image, Network, Volume, WorkloadSummary, listed
from .parameters import body, parameters
from .request import Answer, answer, ask
from .run import run
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
    async def request(self, verb: Verb, path: Path = (), **fields: Any) -> AsyncGenerator[Replies]:
        """Send a request and give its replies; leaving the context ends the call. `fields` are the message's."""
        async with await self._send(verb, path, fields) as replies:
            yield replies

    async def _send(self, verb: Verb, path: Path, fields: dict[str, Any]) -> Replies:
        deadline = trio.current_effective_deadline()
        return await ask(self.sender, Message(verb, path, deadline=deadline, **fields))

    async def call(self, verb: Verb, path: Path = (), **fields: Any) -> Answer:
        """Send a request and wait for its final reply. Raises what an `error` reply says."""
        async with await self._send(verb, path, fields) as replies:
            return await answer(replies)

    @overload
    async def ls(self, /, **args: Any) -> list[WorkloadSummary]: ...
    @overload
    async def ls(self, kind: Literal["containers"], /, **args: Any) -> list[WorkloadSummary]: ...
    @overload
    async def ls(self, kind: Literal["images"], /, **args: Any) -> list[Image]: ...
    @overload
    async def ls(self, kind: Literal["networks"], /, **args: Any) -> list[Network]: ...
    @overload
    async def ls(self, kind: Literal["volumes"], /, **args: Any) -> list[Volume]: ...
    @overload
    async def ls(self, /, *path: str, **args: Any) -> list[Any]: ...
    async def ls(self, /, *path: str, **args: Any) -> list[Any]:
        """What is in `path`; by default the workloads that run, with `all=True` all of them.

        Raises:
            Internal: the service gave something else than that place holds.
        """
        where = path or WORKLOADS
        return listed(where, (await self.call(Verb.LS, where, args=parameters(args))).value)

    async def get(self, /, *path: str, **args: Any) -> Any:
        """An object's state; without a path, the service's."""
        return (await self.call(Verb.GET, path, args=parameters(args))).value

    async def set(self, /, *path: str, value: Any = None, **args: Any) -> Any:
        """Change an object: `swarm.set("containers", "web", "rename", name="www")`."""
        return (await self.call(Verb.SET, path, args=parameters(args), value=body(value))).value

    @overload
    async def spawn(self, value: Any = None, /, **args: Any) -> Workload: ...
    @overload
    async def spawn(self, value: Any, /, *path: str, **args: Any) -> Handle: ...
    async def spawn(self, value: Any = None, /, *path: str, **args: Any) -> Handle:
        """Make an object in `path` (by default a workload) from its description; gives a handle to it."""
        where = path or WORKLOADS
        made = (await self.call(Verb.SPAWN, where, args=parameters(args), value=body(value))).value
        kind = Workload if where == WORKLOADS else Handle
        return kind(self, (*where, _id_of(made)), made)

    def workload(self, name: str) -> Workload:
        """A handle to a workload, by its id, name or unique id prefix. Nothing is asked: it may not exist."""
        return Workload(self, (*WORKLOADS, name))

    async def start(self, /, *path: str, **args: Any) -> None:
        """Start an object; one word is a workload's name."""
        await self.call(Verb.START, _named(path), args=parameters(args))

    async def stop(self, /, *path: str, **args: Any) -> None:
        """Stop an object: with grace, then by force; one word is a workload's name."""
        await self.call(Verb.STOP, _named(path), args=parameters(args))

    async def rm(self, /, *path: str, **args: Any) -> Any:
        """Remove an object; gives what the service says of it. One word is a place: what is unused in it is removed."""
        return (await self.call(Verb.RM, path, args=parameters(args))).value

    @overload
    def watch(self, /, **args: Any) -> Watch[Event]: ...
    @overload
    def watch(self, /, *path: str, **args: Any) -> Watch[Any]: ...
    def watch(self, /, *path: str, **args: Any) -> Watch[Any]:
        """Changes from now on: without a path the service's events, else an object's, each a decoded value.

        async for event in swarm.watch(filters={"type": "container", "event": ["start", "die"]}): ...
        """
        send = partial(self._send, Verb.WATCH, path, {"args": parameters(args)})
        return Watch(send, _value) if path else Watch(send, Event.read, endless="until" not in args)

    def attach(self, /, *path: str, **args: Any) -> AbstractAsyncContextManager[Attachment]:
        """A conversation with an object, until either side ends it; one word is a workload's name."""
        return self.attach_to(_named(path), args)

    @asynccontextmanager
    async def attach_to(self, path: Path, args: Mapping[str, Any]) -> AsyncGenerator[Attachment]:
        """`attach`, with the path and the options as they are."""
        async with self.request(Verb.ATTACH, path, args=parameters(args)) as replies:
            channel = (await answer(replies)).ack.channel
            yield Attachment(self, path, replies) if channel is None else Attachment(Client(channel), (), replies)

    async def connect(self, /, *path: str, value: Any = None, **args: Any) -> trio.abc.HalfCloseableStream:
        """A byte stream to an object (its stdio, say), that the caller closes."""
        answer = await self.call(Verb.CONNECT, path, args=parameters(args), value=body(value))
        stream = answer.ack.att
        if isinstance(stream, trio.abc.HalfCloseableStream):
            return stream
        if stream is not None:
            await trio.aclose_forcefully(stream)
        raise Internal(f"connect gave no stream for {'/'.join(path)}")

    async def file(
        self, /, *path: str, att: trio.abc.ReceiveStream | None = None, **args: Any
    ) -> trio.abc.ReceiveStream | None:
        """A tar of files out of an object, that the caller closes; or, with `att`, into it."""
        return (await self.call(Verb.FILE, path, args=parameters(args), att=att)).ack.att

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
