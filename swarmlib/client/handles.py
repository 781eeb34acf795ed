"""Handles: one object of a service, with the client's verbs for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, Final, Self, Unpack, cast

import trio

from ..asking import answer, next_reply
from ..errors import Internal, Unavailable
from ..names import Path
from ..reply import Ack, Log, Set
from ..reply_pair import ReplyReceiver
from ..verbs import Verb
from .caller import WORKLOADS, Caller
from .keywords import (
    ConnectParams,
    ExecFields,
    FileParams,
    GetParams,
    LsParams,
    RmParams,
    SetParams,
    SpawnParams,
    StartParams,
    StopParams,
    WatchParams,
)
from .limits import within
from .multiplexed import lines
from .objects import Finished, Line, State, WorkloadDetails
from .parameters import as_body, exec_fields, parameters, variables, words
from .talk import talk
from .watch import Watch

_PAUSE: Final = 0.01


class Handle:
    """One object: every verb of the client, for the object (`net.rm()`) or what is below it (`web.get("top")`).

    client, path: where the object is. made: the service's answer when it was spawned, else None. Each verb takes,
    returns and raises the same as the client's.
    """

    def __init__(self, client: Caller, path: Path, made: Any = None) -> None:
        self.client = client
        self.path = path
        self.made = made

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'/'.join(self.path)}>"

    @property
    def id(self) -> str:
        """The object's name in its path: the id that spawning returned, or the name that the handle was made with."""
        return self.path[-1] if self.path else ""

    async def ls(self, /, *below: str, timeout: float | None = None, **params: Unpack[LsParams]) -> list[Any]:
        """List what is in it."""
        return await self.client.ls(*self.path, *below, timeout=timeout, **params)

    async def get(self, /, *below: str, timeout: float | None = None, **params: Unpack[GetParams]) -> Any:
        """Return its state."""
        return await self.client.get(*self.path, *below, timeout=timeout, **params)

    async def set(
        self, /, *below: str, body: Any = None, timeout: float | None = None, **params: Unpack[SetParams]
    ) -> Any:
        """Change it: `web.set("rename", name="www")`."""
        return await self.client.set(*self.path, *below, body=body, timeout=timeout, **params)

    async def spawn(
        self, value: Any, /, *below: str, timeout: float | None = None, **params: Unpack[SpawnParams]
    ) -> Handle:
        """Make an object below it."""
        return await spawned(self.client, (*self.path, *below), value, params, timeout=timeout)

    async def start(self, /, *below: str, timeout: float | None = None, **params: Unpack[StartParams]) -> None:
        """Start it."""
        await self.client.start(*self.path, *below, timeout=timeout, **params)

    async def stop(self, /, *below: str, timeout: float | None = None, **params: Unpack[StopParams]) -> None:
        """Stop it; `t` is the grace in seconds."""
        await self.client.stop(*self.path, *below, timeout=timeout, **params)

    async def rm(self, /, *below: str, timeout: float | None = None, **params: Unpack[RmParams]) -> Any:
        """Remove it; of a workload, `force=True` also while it runs, `v=True` with its anonymous volumes."""
        return await self.client.rm(*self.path, *below, timeout=timeout, **params)

    def watch(self, /, *below: str, **params: Unpack[WatchParams]) -> Watch[Any]:
        """Watch its changes: `web.watch("stats")`."""
        return self.client.watch(*self.path, *below, **params)

    def attach(self, /, *below: str) -> AbstractAsyncContextManager[Attachment]:
        """Open a conversation with it."""
        return attached(self.client, (*self.path, *below))

    async def connect(
        self, /, *below: str, body: Any = None, timeout: float | None = None, **params: Unpack[ConnectParams]
    ) -> trio.abc.HalfCloseableStream:
        """Open a byte stream to it."""
        return await self.client.connect(*self.path, *below, body=body, timeout=timeout, **params)

    async def file(
        self,
        /,
        *below: str,
        upload: trio.abc.ReceiveStream | None = None,
        timeout: float | None = None,
        **params: Unpack[FileParams],
    ) -> trio.abc.ReceiveStream | None:
        """Read a tar of files out of it, as in `web.file("archive", path="/etc")`; with `upload`, put one into it."""
        return await self.client.file(*self.path, *below, upload=upload, timeout=timeout, **params)


class Workload(Handle):
    """A workload (a container, a process, a VM): the verbs, and what programs commonly do with a workload."""

    async def details(self, *, timeout: float | None = None) -> WorkloadDetails:
        """Return all that the service knows about it."""
        return WorkloadDetails.read(await self.get(timeout=timeout))

    async def kill(self, signal: str = "KILL", *, timeout: float | None = None) -> None:
        """Send it a signal."""
        await self.stop("kill", signal=signal, timeout=timeout)

    async def wait(self, condition: str = "not-running", *, timeout: float | None = None) -> int:
        """Wait until it ends, and return its exit code; returns at once if it doesn't run.

        condition: `next-exit` waits for the next end in any case, `removed` until it is removed.

        Raises:
            Internal: it can't be waited for any more; the error says why.
        """
        with within(timeout):
            async with self.watch("wait", condition=condition) as ends:
                return await exit_code(ends)

    async def logs(self, /, *, timeout: float | None = None, **params: Unpack[ConnectParams]) -> list[Line]:
        """Return the lines that it has written; parameters such as `tail=10`, `since` or `stderr=False` select them."""
        with within(timeout):
            async with self._lines({"follow": False, **params}) as found:
                return [line async for line in found]

    def follow(self, /, **params: Unpack[ConnectParams]) -> AbstractAsyncContextManager[AsyncIterator[Line]]:
        """Yield the lines that it has written and those still to come, until it ends; `tail=0`: only those to come."""
        return self._lines({"follow": True, **params})

    @asynccontextmanager
    async def _lines(self, keywords: Mapping[str, Any]) -> AsyncGenerator[AsyncIterator[Line]]:
        path = (*self.path, "logs")
        asked = parameters(Verb.CONNECT, path, {"stdout": True, "stderr": True, **keywords})
        tty = (await self.details()).tty
        answer = await self.client.call(Verb.CONNECT, path, params=asked)
        if answer.ack.stream is None:
            raise Internal(f"the answer to logs of {self.id} has no stream", path=self.path)
        async with answer.ack.stream as stream, aclosing(lines(stream, tty=tty)) as found:
            yield found

    async def exec(
        self,
        /,
        command: str | Sequence[str],
        *,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = False,
        timeout: float | None = None,
        **config: Unpack[ExecFields],
    ) -> Finished:
        """Run a program in it to its end, and return its output and exit code.

        command: words, or text that is split as a shell would. stdin: all of its input; None for no input at all.
        env: variables besides the workload's. check: raise if it fails. config: more of the Engine API's exec, such as
        `User="nobody"`, `WorkingDir="/tmp"`. When this is cancelled, or the time is up, the program goes on: an engine
        can't end it.

        Raises:
            Failed: with `check`, it ended with another code than 0.
            Conflict: the workload doesn't run.
        """
        output = {"AttachStdin": stdin is not None, "AttachStdout": True, "AttachStderr": True}
        body = {"Cmd": words(command), "Env": variables(env), **output, **exec_fields(config)}
        with within(timeout):
            finished = await self._exec(body, stdin)
            return finished.check() if check else finished

    async def _exec(self, body: Mapping[str, Any], stdin: bytes | None) -> Finished:
        made = await self.spawn(body, "exec")
        program = Handle(self.client, ("exec", made.id))
        tty = bool(body.get("Tty"))
        stdout, stderr = await talk(await program.connect(body={"Detach": False, "Tty": tty}), stdin, tty=tty)
        # The engine may report the program's end a moment after its output ended, and has no `wait` for it.
        while (state := await program.get())["Running"]:  # noqa: ASYNC110 - another process's state
            await trio.sleep(_PAUSE)
        return Finished(stdout, stderr, int(state["ExitCode"] or 0))


class Attachment(Workload):
    """A conversation with a workload, and a handle to it. Iterating yields the replies that come from it."""

    def __init__(self, client: Caller, path: Path, replies: ReplyReceiver) -> None:
        super().__init__(client, path)
        self.replies = replies
        self.state: State = State({})
        """The state that was last reported; after the workload's end, it has the exit code."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Set | Log:
        """Return its next `log` or `set`, until it ends the conversation. Raises the error of an `error` reply."""
        try:
            while isinstance(reply := await next_reply(self.replies), Ack):
                pass  # which `Client.attach` has read
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        if isinstance(reply, Set) and isinstance(told := reply.json, dict):
            self.state = State(cast("dict[str, Any]", told))
        return reply

    def lines(self) -> AsyncIterator[Line]:
        """Iterate over the lines that it writes, until it ends; from then on, `state` is known."""
        return _Lines(self)


class _Lines(AsyncIterator[Line]):
    """The lines of a conversation, for `async for`."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment

    async def __anext__(self) -> Line:
        """Return the next line.

        Raises:
            SwarmError: the reply is an `error`.
            Unavailable: the conversation broke off before the workload's end.
        """
        async for reply in self._attachment:
            if isinstance(reply, Log):
                return Line(str(reply.details.get("stream", "stdout")), reply.line)
        if not self._attachment.state:
            raise Unavailable(f"the attachment to {self._attachment.id} broke off", path=self._attachment.path)
        raise StopAsyncIteration


@asynccontextmanager
async def attached(client: Caller, path: Path) -> AsyncGenerator[Attachment]:
    """Hold a conversation with an object."""
    async with client.request(Verb.ATTACH, path) as replies:
        await answer(replies)
        yield Attachment(client, path, replies)


async def spawned(
    client: Caller, place: Path, value: Any, keywords: Mapping[str, Any], *, timeout: float | None = None
) -> Handle:
    """Make an object in a place from its description, and return a handle to it."""
    params = parameters(Verb.SPAWN, place, keywords)
    made = (await client.call(Verb.SPAWN, place, params=params, body=as_body(value), timeout=timeout)).value
    id = str(cast("dict[str, Any]", made).get("Id", "")) if isinstance(made, dict) else ""
    return (Workload if place == WORKLOADS else Handle)(client, (*place, id), made)


async def exit_code(ends: Watch[Any]) -> int:
    """Return the exit code that a `wait` reports.

    Raises:
        Internal: the wait reports an error, or ends without an exit code; the error says which.
    """
    async for end in ends:
        if error := end.get("Error"):
            raise Internal(str(error.get("Message")))
        return int(end["StatusCode"])
    raise Internal("the wait ended without an exit code")
