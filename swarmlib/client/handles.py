"""Handles: one object of a service, with the client's verbs for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, Final, Self, cast

import trio

from ..asking import answer, next_reply
from ..errors import Internal, Unavailable
from ..names import Path
from ..reply import Ack, Log, Set
from ..reply_pair import ReplyReceiver
from ..verbs import Verb
from .caller import WORKLOADS, Caller
from .multiplexed import lines
from .objects import Finished, Line, State, WorkloadDetails
from .parameters import Param, as_body, parameters, variables, words
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

    async def ls(self, /, *below: str, **params: Param) -> list[Any]:
        """List what is in it."""
        return await self.client.ls(*self.path, *below, **params)

    async def get(self, /, *below: str, **params: Param) -> Any:
        """Return its state."""
        return await self.client.get(*self.path, *below, **params)

    async def set(self, /, *below: str, body: Any = None, **params: Param) -> Any:
        """Change it: `web.set("rename", name="www")`."""
        return await self.client.set(*self.path, *below, body=body, **params)

    async def spawn(self, value: Any, /, *below: str, **params: Param) -> Handle:
        """Make an object below it."""
        return await spawned(self.client, (*self.path, *below), value, params)

    async def start(self, /, *below: str, **params: Param) -> None:
        """Start it."""
        await self.client.call(Verb.START, (*self.path, *below), params=parameters(params))

    async def stop(self, /, *below: str, **params: Param) -> None:
        """Stop it; `t` is the grace in seconds."""
        await self.client.call(Verb.STOP, (*self.path, *below), params=parameters(params))

    async def rm(self, /, *below: str, **params: Param) -> Any:
        """Remove it; of a workload, `force=True` also while it runs, `v=True` with its anonymous volumes."""
        return await self.client.rm(*self.path, *below, **params)

    def watch(self, /, *below: str, **params: Param) -> Watch[Any]:
        """Watch its changes: `web.watch("stats")`."""
        return self.client.watch(*self.path, *below, **params)

    def attach(self, /, *below: str, **params: Param) -> AbstractAsyncContextManager[Attachment]:
        """Open a conversation with it."""
        return attached(self.client, (*self.path, *below), params)

    async def connect(self, /, *below: str, body: Any = None, **params: Param) -> trio.abc.HalfCloseableStream:
        """Open a byte stream to it."""
        return await self.client.connect(*self.path, *below, body=body, **params)

    async def file(
        self, /, *below: str, upload: trio.abc.ReceiveStream | None = None, **params: Param
    ) -> trio.abc.ReceiveStream | None:
        """Read a tar of files out of it, as in `web.file("archive", path="/etc")`; with `upload`, put one into it."""
        return await self.client.file(*self.path, *below, upload=upload, **params)


class Workload(Handle):
    """A workload (a container, a process, a VM): the verbs, and what programs commonly do with a workload."""

    async def details(self) -> WorkloadDetails:
        """Return all that the service knows about it."""
        return WorkloadDetails.read(await self.get())

    async def kill(self, signal: str = "KILL") -> None:
        """Send it a signal."""
        await self.stop("kill", signal=signal)

    async def wait(self, condition: str = "not-running") -> int:
        """Wait until it ends, and return its exit code; returns at once if it doesn't run.

        condition: `next-exit` waits for the next end in any case, `removed` until it is removed.

        Raises:
            Internal: it can't be waited for any more; the error says why.
        """
        async with self.watch("wait", condition=condition) as ends:
            return await exit_code(ends)

    async def logs(self, /, **params: Param) -> list[Line]:
        """Return the lines that it has written; parameters such as `tail=10`, `since` or `stderr=False` select them."""
        async with self.follow(**{"follow": False, **params}) as found:
            return [line async for line in found]

    @asynccontextmanager
    async def follow(self, /, **params: Param) -> AsyncGenerator[AsyncIterator[Line]]:
        """Yield the lines that it has written and those still to come, until it ends; `tail=0`: only those to come."""
        chosen = {"follow": True, "stdout": True, "stderr": True, **params}
        tty = (await self.details()).tty
        answer = await self.client.call(Verb.CONNECT, (*self.path, "logs"), params=parameters(chosen))
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
        **config: Param,
    ) -> Finished:
        """Run a program in it to its end, and return its output and exit code.

        command: words, or text that is split as a shell would. stdin: all of its input; None for no input at all.
        env: variables besides the workload's. check: raise if it fails. config: more of the Engine API's exec, such as
        `User="nobody"`, `WorkingDir="/tmp"`. When this is cancelled the program goes on: an engine can't end it.

        Raises:
            Failed: with `check`, it ended with another code than 0.
            Conflict: the workload doesn't run.
        """
        given = {"Cmd": words(command), "Env": variables(env), "AttachStdin": stdin is not None}
        made = await self.spawn({**given, "AttachStdout": True, "AttachStderr": True, **config}, "exec")
        program = Handle(self.client, ("exec", made.id))
        tty = bool(config.get("Tty"))
        stdout, stderr = await talk(await program.connect(body={"Detach": False, "Tty": tty}), stdin, tty=tty)
        # The engine may report the program's end a moment after its output ended, and has no `wait` for it.
        while (state := await program.get())["Running"]:  # noqa: ASYNC110 - another process's state
            await trio.sleep(_PAUSE)
        finished = Finished(stdout, stderr, int(state["ExitCode"] or 0))
        return finished.check() if check else finished


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
async def attached(client: Caller, path: Path, params: Mapping[str, Any]) -> AsyncGenerator[Attachment]:
    """Hold a conversation with an object."""
    async with client.request(Verb.ATTACH, path, params=parameters(params)) as replies:
        await answer(replies)
        yield Attachment(client, path, replies)


async def spawned(client: Caller, place: Path, value: Any, params: Mapping[str, Any]) -> Handle:
    """Make an object in a place from its description, and return a handle to it."""
    made = (await client.call(Verb.SPAWN, place, params=parameters(params), body=as_body(value))).value
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
