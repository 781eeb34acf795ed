"""A reply pair in memory: one end answers, the caller reads the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import trio

from .reply import FINAL, Error, Reply
from .reply_channel import ContractError, ReplySender, discard

REPLY_CAPACITY: Final = 64
"""How many replies wait in a pair before its sender is held back."""


class ReplyReceiver(trio.abc.ReceiveChannel[Reply]):
    """The caller's end of a reply pair; leaving its `async with` tells every stage that the caller disconnected."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._buffer: deque[Reply] = deque()
        self._reader: trio.lowlevel.Task | None = None
        self._writers: trio.lowlevel.ParkingLot | None = None
        self._failed = False
        self._ended = False
        self._callbacks: list[Callable[[], object]] = []
        self.gone: bool = False

    async def receive(self) -> Reply:
        """Receive the next reply.

        Raises:
            trio.EndOfChannel: there are no more replies.
            trio.ClosedResourceError: this end is closed.
            trio.BusyResourceError: another task is receiving.
        """
        if not self._buffer:
            await self._wait()
        if self.gone:
            raise trio.ClosedResourceError("this end of the reply pair is closed")
        if not self._buffer:
            raise trio.EndOfChannel
        reply = self._buffer.popleft()
        if self._writers:
            self._writers.unpark()
        return reply

    async def _wait(self) -> None:
        if self._reader is not None:
            raise trio.BusyResourceError("another task is receiving from this reply pair")
        if self._ended or self.gone:
            return
        self._reader = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._reader = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def _wake_reader(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            trio.lowlevel.reschedule(reader)

    async def put(self, reply: Reply) -> None:
        """Take a reply from the other end; waits while `capacity` replies are unread, but never for a final one."""
        if len(self._buffer) >= self._capacity and type(reply) not in FINAL:
            await self._room()
        if self.gone:
            raise trio.BrokenResourceError("the caller disconnected")
        self._buffer.append(reply)
        self._wake_reader()
        if type(reply) is Error:
            self._failed = True
            self._wake_writers()

    async def _room(self) -> None:
        """Wait while `capacity` replies are unread. A reply that waits when an error or the end comes is refused."""
        if self._writers is None:
            self._writers = trio.lowlevel.ParkingLot()
        while len(self._buffer) >= self._capacity and not (self.gone or self._failed or self._ended):
            await self._writers.park()
        if self._ended and not self.gone:
            raise trio.ClosedResourceError("this reply channel was closed in the meantime")
        if self._failed and not self.gone:
            raise ContractError("an error was sent in the meantime")

    def _wake_writers(self) -> None:
        if self._writers:
            self._writers.unpark_all()

    def end(self) -> None:
        """Note that no more replies will come from the other end."""
        self._ended = True
        self._wake_reader()
        self._wake_writers()

    def on_gone(self, callback: Callable[[], object]) -> None:
        """See `ReplySender.on_gone`."""
        if self.gone:
            callback()
        else:
            self._callbacks.append(callback)

    async def aclose(self) -> None:
        """Go away: the work for the call is cancelled, unread replies are closed. Calling it twice is harmless."""
        for reply in self.leave():
            await discard(reply)

    def leave(self) -> Collection[Reply]:
        """Go away at once, as `aclose` does, but return the unread replies, whose streams the caller must close."""
        if self.gone:
            return ()
        self.gone = True
        unread, self._buffer = self._buffer, deque()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:  # also after the end: a stage that failed may have left work in those behind it
            callback()
        self._wake_reader()
        self._wake_writers()
        return unread


class _PairedSender(ReplySender):
    """The answering end of a pair in memory."""

    def __init__(self, replies: ReplyReceiver) -> None:
        super().__init__()
        self._replies = replies

    @property
    def gone(self) -> bool:
        return self._replies.gone

    def on_gone(self, callback: Callable[[], object]) -> None:
        self._replies.on_gone(callback)

    def _deliver(self, reply: Reply) -> Awaitable[None]:
        return self._replies.put(reply)

    async def _finish(self) -> None:
        self._replies.end()


def open_reply(capacity: int = REPLY_CAPACITY) -> tuple[ReplySender, ReplyReceiver]:
    """Make a reply pair: the first is the request's `reply`; receive from the second inside `async with`."""
    replies = ReplyReceiver(capacity)
    return _PairedSender(replies), replies
