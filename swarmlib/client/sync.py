"""The same API, blocking: for threads, notebooks and REPLs.

with swarmlib.sync.connect("debug | docker") as swarm:
    print(swarm.ls())

The chain runs in a trio loop that has a thread of its own, and ends with the connection (`portal`). Any number of
threads may call at once. Errors are those of the trio API. Ctrl-C in a call cancels that call, in every stage, and
leaves the connection usable. What trio enters with `async with` is open once the call returns, as a file is: it is
closed by `with`, by `close`, or when nothing refers to it any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import IO, Any, Self, Unpack, overload

import trio

from ..chain import Stages
from ..names import Path
from ..reply import Log, Set
from . import client, handles
from .blocking import (
    Blocking,
    Closing,
    Iterating,
    Lines,
    Stream,
    Watch,
    blocking,
    fail_after,
    opening,
    result_of,
    streaming,
    watching,
)
from .keywords import FileParams, SpawnParams
from .objects import Line, State
from .portal import Context, FileStream, Held, Loop

__all__ = ["Attachment", "Client", "Handle", "Lines", "Stream", "Watch", "Workload", "connect", "fail_after"]


def _file(
    self: Blocking[Any],
    method: Callable[..., Awaitable[trio.abc.ReceiveStream | None]],
    *args: Any,
    upload: Any,
    **kwargs: Any,
) -> Stream | None:
    source = None if upload is None else FileStream(upload)
    stream = self.wait_for(partial(method, self.inner, *args, upload=source, **kwargs))
    return None if stream is None else Stream(self.held, stream)


class Handle(Blocking[handles.Handle]):
    """One object: every verb of the client, for the object or what is below it; see `swarmlib.Handle`."""

    @property
    def path(self) -> Path:
        """The path of the object."""
        return self.inner.path

    @property
    def made(self) -> Any:
        """The service's answer when the object was spawned, else None."""
        return self.inner.made

    @property
    def id(self) -> str:
        """The object's name in its path: the id that spawning returned, or the name that the handle was made with."""
        return self.inner.id

    def __repr__(self) -> str:
        return repr(self.inner)

    ls = blocking(handles.Handle.ls)
    get = blocking(handles.Handle.get)
    set = blocking(handles.Handle.set)
    start = blocking(handles.Handle.start)
    stop = blocking(handles.Handle.stop)
    rm = blocking(handles.Handle.rm)
    watch = watching(handles.Handle.watch)
    connect = streaming(handles.Handle.connect)

    def spawn(self, value: Any, /, *below: str, timeout: float | None = None, **params: Unpack[SpawnParams]) -> Handle:
        """Make an object below it."""
        return _handle(self.held, self.wait_for(partial(self.inner.spawn, value, *below, timeout=timeout, **params)))

    def attach(self, /, *below: str) -> Attachment:
        """Open a conversation with it."""
        return self.enter(self.inner.attach(*below), Attachment)

    def file(
        self,
        /,
        *below: str,
        upload: IO[bytes] | None = None,
        timeout: float | None = None,
        **params: Unpack[FileParams],
    ) -> Stream | None:
        """Read a tar of files out of it: `web.file("archive", path="/etc")`; with `upload`, a file, put one into it."""
        return _file(self, handles.Handle.file, *below, upload=upload, timeout=timeout, **params)


class Workload(Handle):
    """A workload; see `swarmlib.Workload`."""

    details = blocking(handles.Workload.details)
    kill = blocking(handles.Workload.kill)
    wait = blocking(handles.Workload.wait)
    logs = blocking(handles.Workload.logs)
    exec = blocking(handles.Workload.exec)
    follow = opening(handles.Workload.follow, Lines)


def _handle(held: Held[Any], made: handles.Handle) -> Handle:
    return Workload(held, made) if isinstance(made, handles.Workload) else Handle(held, made)


class Attachment(Workload, Closing[handles.Handle]):
    """A conversation with a workload, and a handle to it. Iterating yields the replies that come from it."""

    def __init__(self, held: Held[Any], inner: handles.Attachment) -> None:
        super().__init__(held, inner)
        self._conversation = inner

    @property
    def state(self) -> State:
        """The state that was last reported; after the workload's end, it has the exit code."""
        return self._conversation.state

    def __iter__(self) -> Iterator[Set | Log]:
        return Iterating(self.held, self._conversation)

    def lines(self) -> Iterator[Line]:
        """Iterate over the lines that it writes, until it ends; from then on, `state` is known."""
        return Iterating(self.held, self._conversation.lines())


class Client(Closing[client.Client]):
    """The verbs over a chain; see `swarmlib.Client`."""

    @classmethod
    def over(cls, manager: AbstractAsyncContextManager[client.Client]) -> Self:
        """Enter a context manager of a trio API client in a thread of its own, which ends when this is closed."""
        context = Context(Loop(), manager)
        try:
            return cls(Held(context), result_of(context))
        except BaseException:
            context.loop.join()
            raise

    ls = blocking(client.Client.ls)
    get = blocking(client.Client.get)
    set = blocking(client.Client.set)
    start = blocking(client.Client.start)
    stop = blocking(client.Client.stop)
    rm = blocking(client.Client.rm)
    pull = blocking(client.Client.pull)
    run = blocking(client.Client.run)
    watch = watching(client.Client.watch)
    attach = opening(client.Client.attach, Attachment)
    connect = streaming(client.Client.connect)

    @overload
    def spawn(
        self, value: Any = None, /, *, timeout: float | None = None, **params: Unpack[SpawnParams]
    ) -> Workload: ...
    @overload
    def spawn(
        self, value: Any, /, *words: str, timeout: float | None = None, **params: Unpack[SpawnParams]
    ) -> Handle: ...
    def spawn(
        self, value: Any = None, /, *words: str, timeout: float | None = None, **params: Unpack[SpawnParams]
    ) -> Handle:
        """Make an object in a place (by default a workload) from its description, and return a handle to it."""
        return _handle(self.held, self.wait_for(partial(self.inner.spawn, value, *words, timeout=timeout, **params)))

    def workload(self, name: str) -> Workload:
        """Return a handle to a workload, by its id, name or unique id prefix. No request is sent: it may not exist."""
        return Workload(self.held, self.inner.workload(name))

    def file(
        self,
        /,
        *words: str,
        upload: IO[bytes] | None = None,
        timeout: float | None = None,
        **params: Unpack[FileParams],
    ) -> Stream | None:
        """Read a tar out of an object, as a file that the caller closes; with `upload`, a file, put one into it."""
        return _file(self, client.Client.file, *words, upload=upload, timeout=timeout, **params)

    def close(self) -> None:
        """Close every stage, and end the thread. Calling it twice is harmless.

        Raises:
            SwarmError: a stage failed while it was open.
        """
        try:
            super().close()
        finally:
            self.held.context.loop.join()


def connect(*stages: Stages) -> Client:
    """Open a chain in a thread of its own; it is closed by `with`, by `close`, or at the end of the program.

    Raises: as `swarmlib.connect`.
    """
    return Client.over(client.connect(*stages))
