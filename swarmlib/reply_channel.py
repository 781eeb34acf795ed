"""The channel that carries the replies of one request back to the caller.

A request carries the sending half of a reply pair (`ReplySender`); the contract of its life is this table, and
`ReplySender.send` is the one place that enforces it:

    state      set, log       ack        error     aclose
    waiting    waiting        answered   failed    closed, after an `error` in the caller's hands
    answered   answered       refused    failed    closed
    failed     refused        refused    refused   closed
    closed     ClosedResourceError                 closed

So every request gets exactly one final reply. An `error` after the `ack` ends a conversation that had begun (the
replies of `attach` and `watch`): it broke off, and the caller must not take this for its regular end.

When the caller goes away (its end is closed, or it was cancelled inside `async with`), `on_gone` callbacks run at
once: this is how work is cancelled in every stage.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

import trio

from .errors import SwarmError, Unavailable
from .reply import FINAL, Ack, Error, Log, Reply, Set
from .values import as_json

CLEANUP_SECONDS: Final = 5.0
"""How long any one cleanup that must run (a last reply, a stage's closing) may take before it is cancelled."""

_OTHERS: Final = (Set, Log)


async def discard(reply: Reply) -> None:
    """Close the stream of a reply that nobody takes."""
    if isinstance(reply, Ack) and reply.stream is not None:
        await trio.aclose_forcefully(reply.stream)


class ContractError(RuntimeError):
    """A backend broke the reply contract: it answered twice, or replied after the end."""


class _State(Enum):
    WAITING = "waiting"
    ANSWERED = "answered"
    FAILED = "failed"
    CLOSED = "closed"


_WAITING, _ANSWERED, _FAILED, _CLOSED = _State
"""Read by their names, as members of the class cost four times as much."""


class Watcher(Protocol):
    """Watches the replies of a call where they are sent, without a channel of its own: see `ReplySender.watch`."""

    def see(self, reply: Reply) -> Reply:
        """See a reply before it is delivered; return it, or what is delivered in its place."""
        ...

    def delivered(self) -> None:
        """Note that a final reply was delivered."""
        ...

    def closed(self) -> None:
        """Note the end of the replies."""
        ...


@dataclass(slots=True)
class SendersTask:
    """The task of a sender that does nothing else while its call is under way, and learns without reading from its
    client that this has gone. A `Server` runs the request's handler in it, instead of in a task of its own.

    scope: what the sender waits in. deadline: the one that is in force there, on trio's clock.
    """

    task: trio.lowlevel.Task
    scope: trio.CancelScope
    deadline: float = math.inf
    is_cancelled: bool = False
    """Whether `cancel` was called: the scope's own answer costs a look at the clock."""

    def cancel(self) -> None:
        """Cancel the call, and nothing else."""
        self.is_cancelled = True
        self.scope.cancel()


class ReplySender(trio.abc.SendChannel[Reply]):
    """The end of a reply pair that the answering side holds.

    A subclass says where replies go (`_deliver`) and when nobody listens any more: it calls `leave`, or overrides
    `gone` and `on_gone`.

    It knows its owner: the channel that has the request now, and answers or forwards it. A channel that is still the
    owner at the end of its `send` ends the call, so that a request which a stage has dropped is answered.
    """

    _gone = False
    _callbacks: Sequence[Callable[[], object]] = ()
    _watchers: Sequence[Watcher] = ()

    def __init__(self) -> None:
        self._state = _WAITING
        self._owner: object = None

    def pass_to(self, owner: object) -> None:
        """Make `owner` the owner of the call."""
        self._owner = owner

    def is_with(self, owner: object) -> bool:
        """Tell whether `owner` still owns the call: it has not been forwarded."""
        return self._owner is owner

    @property
    def sender(self) -> SendersTask | None:
        """The sender's task while it only waits for the end of the call; None if it has other work to do."""
        return None

    @property
    def answered(self) -> bool:
        """Whether the final reply has been given, or can't be any more."""
        return self._state is not _WAITING

    @property
    def over(self) -> bool:
        """Whether no reply may follow any more."""
        return self._state in (_FAILED, _CLOSED)

    @property
    def gone(self) -> bool:
        """Whether the caller disconnected."""
        return self._gone

    def on_gone(self, callback: Callable[[], object]) -> None:
        """Call `callback` in the caller's task when the caller goes away, or now if it has. It must not block."""
        if self.gone:
            callback()
        else:
            self._callbacks = [*self._callbacks, callback]

    def leave(self) -> None:
        """Note that the caller disconnected, which cancels all work for the call. May be called twice."""
        self._gone = True
        callbacks, self._callbacks = self._callbacks, ()
        for callback in callbacks:
            callback()

    def watch(self, watcher: Watcher) -> None:
        """Show each further reply to `watcher` too. This costs a call less than a `Tap`, and a request stays as it is;
        it is for whoever only measures.
        """
        self._watchers = (*self._watchers, watcher)

    @abstractmethod
    def _deliver(self, reply: Reply) -> Awaitable[None]:
        """Deliver a reply that the contract allows."""

    @abstractmethod
    async def _finish(self) -> None:
        """End the replies. Called once; must not wait for the caller."""

    async def send(self, value: Reply) -> None:
        """Send one reply; waits while the caller is behind (backpressure), but never for a final reply.

        Raises:
            ContractError: this reply may not follow those before it.
            trio.ClosedResourceError: this end is closed.
            trio.BrokenResourceError: the caller has gone away.
        """
        state = self._state
        if state is _CLOSED:
            raise trio.ClosedResourceError("this reply channel is closed")
        if state is _FAILED:
            raise ContractError(f"{value!r} after an error")
        if type(value) is Ack:
            if state is _ANSWERED:
                raise ContractError("a second `ack`")
            self._state = _ANSWERED
        elif type(value) is Error:
            self._state = _FAILED
        elif type(value) not in _OTHERS:
            raise ContractError(f"{value!r} is not a reply")
        watchers = self._watchers
        for watcher in watchers:
            value = watcher.see(value)
        await self._deliver(value)
        if watchers and type(value) in FINAL:
            for watcher in watchers:
                watcher.delivered()

    async def aclose(self) -> None:
        """End the replies. If there was no final reply, the caller gets `unavailable`. Calling it twice is harmless,
        and so is a caller that goes away meanwhile.
        """
        if self._state is _CLOSED:
            return
        try:
            if self._state is _WAITING and not self.gone:
                await self.error(Unavailable("the service ended the call without an answer"))
            self._state = _CLOSED
            self._owner = None  # the call has ended: nothing is left to answer
            await self._finish()
        except trio.BrokenResourceError:  # not `suppress`, which would cost each call 2 µs
            self._state = _CLOSED
        watchers, self._watchers = self._watchers, ()  # which may hold the request, and so this: a ring would last
        for watcher in watchers:
            watcher.closed()

    async def abandon(self, by: str) -> None:
        """End the replies for the stage named `by`, which has dropped the request: if it was not answered, the caller
        gets `unavailable`.
        """
        if not self.answered and not self.gone:
            with suppress(trio.BrokenResourceError):
                await self.error(Unavailable(f"{by or 'a stage'} dropped the request without an answer", backend=by))
        await self.aclose()

    async def ack(
        self,
        value: Any = None,
        *,
        details: Mapping[str, Any] | None = None,
        stream: trio.abc.ReceiveStream | None = None,
    ) -> None:
        """Send the final reply of success; `value` is JSON data or `Json`."""
        await self.send(Ack(as_json(value), details or {}, stream))

    async def set(self, value: Any, *, details: Mapping[str, Any] | None = None) -> None:
        """Send an object; `value` is JSON data or `Json`."""
        await self.send(Set(as_json(value), details or {}))

    async def log(self, line: bytes, *, details: Mapping[str, Any] | None = None) -> None:
        """Send one line of text, without its line end."""
        await self.send(Log(line, details or {}))

    async def error(self, error: SwarmError) -> None:
        """Send the final reply of failure; after an `ack`, say that the conversation broke off."""
        await self.send(Error(error))


class Tap(ReplySender):
    """A reply channel that shows each reply to `see` on its way to `inner`, in the sender's task.

    What `see` returns is sent in its place: the same reply, another, or None to hold back a `set` or `log`. A subclass
    overrides `instead`: its own method as `see` would be a ring, which keeps the answer in memory for a time.
    """

    def __init__(self, inner: ReplySender, see: Callable[[Reply], Reply | None] | None = None) -> None:
        super().__init__()
        self._inner = inner
        self._see = see

    def pass_to(self, owner: object) -> None:
        """See `ReplySender.pass_to`."""
        self._inner.pass_to(owner)

    def is_with(self, owner: object) -> bool:
        """See `ReplySender.is_with`."""
        return self._inner.is_with(owner)

    @property
    def sender(self) -> SendersTask | None:
        """See `ReplySender.sender`."""
        return self._inner.sender

    @property
    def gone(self) -> bool:
        """Whether the caller disconnected."""
        return self._inner.gone

    def on_gone(self, callback: Callable[[], object]) -> None:
        """See `ReplySender.on_gone`."""
        self._inner.on_gone(callback)

    def instead(self, reply: Reply) -> Reply | None:
        """Return what is sent in place of a reply; None to hold it back."""
        return reply if self._see is None else self._see(reply)

    async def _deliver(self, reply: Reply) -> None:
        seen = self.instead(reply)
        if seen is not None:
            await self._inner.send(seen)

    async def _finish(self) -> None:
        await self._inner.aclose()


class _Nobody(ReplySender):
    """The answering end for a caller that is gone. It keeps no state: many requests share it."""

    def pass_to(self, owner: object) -> None:
        """Do nothing: nobody waits for a reply, so the call needs no owner."""

    def is_with(self, owner: object) -> bool:
        return False

    def watch(self, watcher: Watcher) -> None:
        """Do nothing: there are no replies."""

    async def send(self, value: Reply) -> None:
        raise trio.BrokenResourceError("the caller has stopped waiting for this reply")

    async def aclose(self) -> None:
        """Do nothing: nobody waits for a reply."""

    @property
    def gone(self) -> bool:
        return True

    def on_gone(self, callback: Callable[[], object]) -> None:
        callback()

    async def _deliver(self, reply: Reply) -> None:
        raise AssertionError(reply)

    async def _finish(self) -> None:
        raise AssertionError


NOBODY: Final[ReplySender] = _Nobody()
"""The reply channel of a request that has not been sent."""
