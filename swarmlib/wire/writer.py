"""What a session has to say, on trio.

What is ready together goes out in one send, and where it can without a task in between: the reading task sends what was
answered to all that it has just read; a caller whose reply came alone sends its next request itself, and whoever
carries a stream its full frames. All else is the task's of the writer, as is what the socket does not take at once. It
outlives a cancellation, so that what it has begun to send is whole and the peer learns why the session ends; but not
for longer than `CLEANUP_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from ..errors import SwarmError, Unavailable
from ..net.sockets import Socket
from ..pieces import Buffer, send_pieces, unsent
from ..reply_channel import CLEANUP_SECONDS
from .limits import Limits
from .session import Session

LINGER: Final = 1.0
"""Seconds that the peer has to take leave. To close before it does may destroy what it was told last."""


class Writer:
    """Sends what waits in a session, and closes its stream at the end.

    drained: called with each stream all of whose bytes have been taken for sending.
    broken: called with what broke the stream.
    closed: set once the stream is closed.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        session: Session,
        limits: Limits,
        *,
        drained: Callable[[int], None],
        broken: Callable[[SwarmError], None],
    ) -> None:
        self.closed = trio.Event()
        self._stream = stream
        self._socket = stream if isinstance(stream, Socket) else None
        self._session = session
        self._limits = limits
        self._drained = drained
        self._broken = broken
        self._task: trio.lowlevel.Task | None = None
        """The writer's task, while it has nothing to do."""
        self._sending = False
        """Whether bytes have been taken and are being sent, so that nobody else may send."""
        self._unsent: Sequence[Buffer] = ()
        """What the socket did not take at once."""
        self._senders = trio.lowlevel.ParkingLot()
        self._scope = trio.CancelScope(shield=True)
        self._finishing = False

    def wake(self) -> None:
        """Have what waits in the session sent, together with what else is ready soon."""
        if self._task is not None and self._session.waiting:
            self._wake_task()

    def _wake_task(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            trio.lowlevel.reschedule(task)

    def send_now(self) -> None:
        """Have what waits in the session sent: in this very moment, if the socket takes it, else by the task."""
        if not self._session.waiting:
            return
        if self._socket is not None and not self._sending:
            self._sending = True  # taking may run a callback, which may want to send
            while not self._unsent and self._session.waiting:
                pieces = self._take()
                self._unsent = unsent(pieces, self._socket.send_now(pieces))
            self._sending = False
        if self._waiting:
            self._wake_task()

    def finish(self) -> None:
        """Send what waits, and then close: the session has ended."""
        self._finishing = True
        self._scope.deadline = trio.current_time() + CLEANUP_SECONDS
        self._wake_task()
        self._wake_senders()

    async def run(self, read_all: trio.Event) -> None:
        """Send what there is, until the session has ended and its last word is said; then close the stream.

        read_all: set once the peer has closed its side.
        """
        try:
            with self._scope:
                await self._write_until_finished(read_all)
        finally:
            self._socket = None
            try:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + LINGER):
                    await self._stream.aclose()
            finally:
                self.closed.set()

    async def _write_until_finished(self, read_all: trio.Event) -> None:
        try:
            while not self._finishing or self._waiting:
                await self._write_all()
                if not self._finishing:
                    await self._wait()
            await self._take_leave(read_all)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._broken(Unavailable(f"the connection broke: {exc or type(exc).__name__}"))

    @property
    def _waiting(self) -> bool:
        return bool(self._unsent) or self._session.waiting

    async def _write_all(self) -> None:
        self._sending = True
        while self._waiting:
            pieces, self._unsent = self._unsent or self._take(), ()
            await send_pieces(self._stream, pieces)
        self._sending = False

    def _take(self) -> Sequence[Buffer]:
        """Take what the session has to send next, and wake those who waited for room there."""
        pieces = self._session.take_pieces()
        self._wake_senders()
        channels = self._session.channels
        drained, channels.drained = channels.drained, []
        for id in drained:
            self._drained(id)
        return pieces

    async def _wait(self) -> None:
        self._task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def _take_leave(self, read_all: trio.Event) -> None:
        """Let the peer read what it was told last, and close its side."""
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()
        with trio.move_on_after(LINGER):
            await read_all.wait()

    # Those who send messages.

    def has_room(self, channel: int) -> bool:
        """Return whether a message may be sent on a channel now."""
        return self._session.channels.credit(channel) > 0 and self._session.outbox.size < self._limits.outbox

    async def room(self, channel: int, credited: trio.lowlevel.ParkingLot) -> None:
        """Wait until a message may be sent on a channel, or the session has ended. `credited` is where its endpoint
        unparks those who wait for credit.
        """
        while not self._finishing:
            if not self._session.channels.credit(channel):
                await credited.park()
            elif self._session.outbox.size >= self._limits.outbox:
                await self._senders.park()
            else:
                return

    def _wake_senders(self) -> None:
        if self._senders:
            self._senders.unpark_all()
