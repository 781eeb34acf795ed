"""The same API, blocking: for threads, notebooks and REPLs.

with swarmlib.sync.connect("debug | docker") as swarm:
    print(swarm.ls())

The chain runs in a trio loop that has a thread of its own, and ends with the connection (`portal`). Any number of
threads may call at once. Errors are those of the trio API. Ctrl-C in a call cancels that call, in every stage, and
leaves the connection usable. What trio enters with `async with` is open once the call returns, as a file is: it is
closed by `with`, by `close`, or when nothing refers to it any more.
"""

from __future__ import annotations

import io
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from contextvars import ContextVar
from functools import partial, wraps
from queue import SimpleQueue
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, Self, TypeVar, overload

import trio

from . import client, handles, watch
from .chain import Stages
from .names import Path
from .objects import Line, State
from .parameters import Param
from .portal import Call, Closed, Context, FileStream, Held, Loop, Work
from .reply import Log, Set

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["Attachment", "Client", "Handle", "Lines", "Stream", "Watch", "Workload", "connect", "fail_after"]

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")

_BUFFER: Final = 65_536
_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


@contextmanager
def fail_after(seconds: float) -> Generator[None]:
    """Limit the total time of the calls inside, as `trio.fail_after` does; if nested, the shorter limit applies.

    A watch or conversation that is opened inside has that time from its opening to its end.

    Raises:
        TimedOut: a call was not answered in time; the call raises it.
    """
    before = _deadline.set(min(monotonic() + seconds, _deadline.get()))
    try:
        yield
    finally:
        _deadline.reset(before)


def _seconds_left() -> float:
    return _deadline.get() - monotonic()


def _result(call: Call[T]) -> T:
    """Launch a call, and wait for its result; if something else ends the wait (Ctrl-C), the call is ended first."""
    try:
        _told_by(call.launch)
    except BaseException:
        call.abandon()
        _told_by(call.when_ended)
        raise
    return call.result.get()


def _told_by(ask: Callable[[Callable[[], object]], None]) -> None:
    """Wait until the listener passed to `ask` is called in the loop. A `SimpleQueue` is safe for Ctrl-C: `get` is one
    step of C.
    """
    told: SimpleQueue[None] = SimpleQueue()
    ask(partial(told.put, None))
    told.get()


class Blocking(Generic[A]):
    """An object of the trio API, `inner`, used from other threads for as long as the context `held` is open."""

    def __init__(self, held: Held[Any], inner: A) -> None:
        self.held = held
        self.inner = inner

    def wait_for(self, work: Work[T]) -> T:
        """Run something in the loop, and return its result."""
        return _result(Call(self._context, work, _seconds_left()))

    def enter(self, manager: AbstractAsyncContextManager[T], shown: Callable[[Held[Any], T], U]) -> U:
        """Enter an async context manager, and return what is open, wrapped by `shown` for use here."""
        context = Context(self._context, manager, _seconds_left())
        return shown(Held(context, self.held), _result(context))

    @property
    def _context(self) -> Context[Any]:
        if self.held.context.loop.is_here:
            raise RuntimeError("a blocking call in the connection's own loop would wait for itself")
        return self.held.context


class Closing(Blocking[A]):
    """An object that stays open until it is closed: by `with`, by `close`, or when nothing refers to it any more."""

    def close(self) -> None:
        """End it, with everything inside it, and wait until that is done. Calling it twice is harmless.

        Raises:
            SwarmError: it had failed before it was closed; the error is the reason.
        """
        context = self._context
        self.held.leave()
        _told_by(context.when_ended)
        with suppress(Closed):  # the context that it was opened in has ended
            context.ended.get()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Iterating(Blocking[AsyncIterator[T]], Generic[T]):
    """A plain iterator over the values that come."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """Wait for the next value, and return it.

        Raises:
            SwarmError: the service answered with an error, or this is closed.
            TimedOut: see `fail_after`.
        """
        try:
            return self.wait_for(self.inner.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None
        except trio.ClosedResourceError:
            raise Closed("what is iterated over is closed") from None


class Watch(Iterating[T], Closing[AsyncIterator[T]]):
    """Changes, from the moment that it was opened."""


class Lines(Iterating[Line], Closing[AsyncIterator[Line]]):
    """The lines of a workload, including those still to come."""


def blocking(method: Callable[Concatenate[Any, P], Awaitable[T]]) -> Callable[Concatenate[Any, P], T]:
    """Convert a method of the trio API to one that waits for its result."""

    @wraps(method)
    def call(self: Blocking[Any], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.wait_for(partial(method, self.inner, *args, **kwargs))

    return call


def opening(
    method: Callable[Concatenate[Any, P], AbstractAsyncContextManager[T]], shown: Callable[[Held[Any], T], U]
) -> Callable[Concatenate[Any, P], U]:
    """Convert a method of the trio API that returns an async context manager to one that enters it."""

    @wraps(method)
    def open(self: Blocking[Any], /, *args: P.args, **kwargs: P.kwargs) -> U:
        return self.enter(method(self.inner, *args, **kwargs), shown)

    return open


def watching(method: Callable[Concatenate[Any, P], watch.Watch[T]]) -> Callable[Concatenate[Any, P], Watch[T]]:
    """Do as `opening`, for a watch: type checkers keep the overloads apart only with a separate function."""
    return opening(method, Watch)


def streaming(
    method: Callable[Concatenate[Any, P], Awaitable[trio.abc.ReceiveStream]],
) -> Callable[Concatenate[Any, P], Stream]:
    """Convert a method of the trio API that returns a byte stream to one that returns a file."""

    @wraps(method)
    def connect(self: Blocking[Any], /, *args: P.args, **kwargs: P.kwargs) -> Stream:
        return Stream(self.held, self.wait_for(partial(method, self.inner, *args, **kwargs)))

    return connect


class Stream(io.BufferedReader):
    """A byte stream as a file: reads are buffered, writes go out at once. For one reader and one writer at a time.

    `read1()` returns what has come, `read(n)` waits for n bytes or the end. A stream that breaks raises `OSError`.
    """

    def __init__(self, held: Held[Any], stream: trio.abc.ReceiveStream) -> None:
        self._raw = _RawStream(held, stream)
        super().__init__(self._raw, _BUFFER)

    def writable(self) -> bool:
        """Tell whether the stream goes both ways."""
        return self._raw.writable()

    def write(self, data: ReadableBuffer, /) -> int:
        """Send all of `data`, and return its length."""
        return self._raw.write(data)

    def send_eof(self) -> None:
        """Send the end of the stream; what the other side sends can still be read."""
        self._raw.send_eof()

    def close(self) -> None:
        """Close it; this ends a read in which another thread waits."""
        self._raw.close()  # first: the other thread holds the buffer's lock until its read has ended
        super().close()


class _RawStream(io.RawIOBase):
    def __init__(self, held: Held[Any], stream: trio.abc.ReceiveStream) -> None:
        self._loop: Blocking[Any] = Blocking(held, stream)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return isinstance(self._loop.inner, trio.abc.HalfCloseableStream)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        into = memoryview(buffer)
        data = self._do(self._loop.inner.receive_some, len(into))
        into[: len(data)] = data
        return len(data)

    def write(self, data: ReadableBuffer, /) -> int:
        sent = bytes(data)
        self._send("send_all", sent)
        return len(sent)

    def send_eof(self) -> None:
        self._send("send_eof")

    def _send(self, method: str, *args: Any) -> None:
        if not self.writable():
            raise io.UnsupportedOperation("this stream can only be read")
        self._do(getattr(self._loop.inner, method), *args)

    def _do(self, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        if self.closed:
            raise ValueError("this stream is closed")
        try:
            return self._loop.wait_for(partial(work, *args))
        except trio.ClosedResourceError:  # closed by another thread meanwhile
            raise ValueError("this stream is closed") from None
        except trio.BrokenResourceError as exc:
            raise ConnectionResetError(f"the stream broke off: {exc}") from exc

    def close(self) -> None:
        """Close it without waiting: the collector may call this, in the loop's own thread."""
        if not self.closed:
            super().close()
            Call[None](self._loop.held.context, self._loop.inner.aclose).launch(lambda: None)


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

    def spawn(self, value: Any, /, *below: str, **params: Param) -> Handle:
        """Make an object below it."""
        return _handle(self.held, self.wait_for(partial(self.inner.spawn, value, *below, **params)))

    def attach(self, /, *below: str, **params: Param) -> Attachment:
        """Open a conversation with it."""
        return self.enter(self.inner.attach(*below, **params), Attachment)

    def file(self, /, *below: str, upload: IO[bytes] | None = None, **params: Param) -> Stream | None:
        """Read a tar of files out of it: `web.file("archive", path="/etc")`; with `upload`, a file, put one into it."""
        return _file(self, handles.Handle.file, *below, upload=upload, **params)


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
            return cls(Held(context), _result(context))
        except BaseException:
            context.loop.join()
            raise

    ls = blocking(client.Client.ls)
    get = blocking(client.Client.get)
    set = blocking(client.Client.set)
    start = blocking(client.Client.start)
    stop = blocking(client.Client.stop)
    rm = blocking(client.Client.rm)
    run = blocking(client.Client.run)
    watch = watching(client.Client.watch)
    attach = opening(client.Client.attach, Attachment)
    connect = streaming(client.Client.connect)

    @overload
    def spawn(self, value: Any = None, /, **params: Param) -> Workload: ...
    @overload
    def spawn(self, value: Any, /, *path: str, **params: Param) -> Handle: ...
    def spawn(self, value: Any = None, /, *path: str, **params: Param) -> Handle:
        """Make an object in `path` (by default a workload) from its description, and return a handle to it."""
        return _handle(self.held, self.wait_for(partial(self.inner.spawn, value, *path, **params)))

    def workload(self, name: str) -> Workload:
        """Return a handle to a workload, by its id, name or unique id prefix. No request is sent: it may not exist."""
        return Workload(self.held, self.inner.workload(name))

    def file(self, /, *path: str, upload: IO[bytes] | None = None, **params: Param) -> Stream | None:
        """Read a tar out of an object, as a file that the caller closes; with `upload`, a file, put one into it."""
        return _file(self, client.Client.file, *path, upload=upload, **params)

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
