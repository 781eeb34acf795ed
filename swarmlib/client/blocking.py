"""What blocks: objects of the trio API as other threads use them, each method waiting for its result.

`sync` gives the client of these parts.
"""

from __future__ import annotations

import io
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from contextvars import ContextVar
from functools import partial, wraps
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, Self, TypeVar

import trio

from . import watch
from .objects import Line
from .portal import Closed, Context, Held, LoopCall, Work

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

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


def result_of(call: LoopCall[T]) -> T:
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
        return result_of(LoopCall(self._context, work, _seconds_left()))

    def enter(self, manager: AbstractAsyncContextManager[T], shown: Callable[[Held[Any], T], U]) -> U:
        """Enter an async context manager, and return what is open, wrapped by `shown` for use here."""
        context = Context(self._context, manager, _seconds_left())
        return shown(Held(context, self.held), result_of(context))

    @property
    def _context(self) -> Context[Any]:
        if self.held.context.loop.is_here:
            raise RuntimeError("a blocking call can't be made in the connection's own loop")
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
            raise Closed("this iterator is closed") from None


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
            raise io.UnsupportedOperation("this stream is read-only")
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
            LoopCall[None](self._loop.held.context, self._loop.inner.aclose).launch(lambda: None)
