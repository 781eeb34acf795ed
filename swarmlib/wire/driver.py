"""What moves a session on trio: the tasks that read, write and keep time.

Reading: one task reads and handles what comes, right there: a reply is put into its caller's hands, a request is given
to the service, without a hop to another task. If that has to wait (a filter asks elsewhere, a client reads slowly),
this task stays with it, and another goes on reading. So nothing that comes waits for anything but its own channel, and
in the usual case there is one task for all.

Writing: what is ready together goes out in one send, and where it can without a task in between: the reading task sends
what was answered to all that it has just read; a caller whose reply came alone sends its next request itself. All else
is the writer's, a task of its own, as is what the socket does not take at once. The writer outlives a cancellation, so
that what it has begun to send is whole and the peer learns why the session ends; but not for longer than
`CLEANUP_SECONDS`.
"""

from __future__ import annotations

import logging
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from typing import Any, Final, Protocol, TypeAlias

import trio

from ..errors import SwarmError, Unavailable
from ..net.sockets import Socket, lean
from ..reply_channel import CLEANUP_SECONDS, ReplySender
from ..supervision import supervised
from .errors import WireError
from .events import Agreed, Data, Ended, Event, GoingAway, Over, Received, Reset, Room
from .frames import HEAD
from .limits import Limits
from .outbox import PIECE
from .session import Session
from .table import SERVICE

_log = logging.getLogger(__name__)

READ_SIZE: Final = PIECE + HEAD.size
"""Bytes that are read at once: a full frame of a stream. More would come in memory that is new each time."""
LINGER: Final = 1.0
"""Seconds that the peer has to take leave. To close before it does may destroy what it was told last."""
_REPLY: Final = 2
"""Events that the reply to one call makes at most, usually: a `set` and an `ack`."""

Step: TypeAlias = Coroutine[Any, Any, None] | None
"""What there is still to do about an event."""


class End(Protocol):
    """This side's end of a channel or stream: what it does about what comes. Nothing comes after `reset`."""

    def message(self, event: Received) -> Step:
        """A message came."""

    def data(self, data: bytes) -> None:
        """Bytes came."""

    def ended(self) -> Step:
        """Nothing more will come."""

    def reset(self, error: SwarmError) -> Step:
        """The peer neither sends nor reads any more, or the session has ended."""

    def room(self) -> None:
        """More may be sent."""


class Driver:
    """One session, and the stream that it runs over.

    session: the protocol.
    ends: by the numbers of their channels.
    peer: who is on the other side, for errors and the log.
    most_parameters: parameters that a request of the peer's may have, and details that a reply may have.
    why: None until the session has ended; then `closed` is set, and `written` once the stream is closed too.
    idle: set when this side drains and nothing is open any more.
    draining: whether this side takes no new calls.
    reading: the scope of the task that reads. A call that it handles runs in it: a scope of its own for each would cost
        as much as the call's decoding.
    call: where that call's replies go. If it has to wait, the scope stays with it, and ends once the caller has gone.
    """

    def __init__(
        self, stream: trio.abc.Stream, nursery: trio.Nursery, *, initiator: bool, limits: Limits, caller: str, peer: str
    ) -> None:
        self.nursery = nursery
        self.caller = caller
        self.peer = peer or caller or "the peer"
        self.most_parameters = limits.parameters
        self.session = Session(initiator=initiator, now=trio.current_time(), limits=limits)
        self.channels = self.session.channels
        self.ends: dict[int, End] = {}
        self.why: SwarmError | None = None
        self.agreed = trio.Event()
        self.closed = trio.Event()
        self.idle = trio.Event()
        self.written = trio.Event()
        self.draining = False
        self._stream = lean(stream) if isinstance(stream, trio.SocketStream) else stream
        self._limits = limits
        self._events: deque[Event] = deque()
        self.reading: trio.CancelScope | None = None
        self.call: ReplySender | None = None
        self._handling = False
        """Whether the reading task is at what came, and has not had to wait: it sends the answers when it is done."""
        self._alone = False
        """Whether what came last was a call's reply and nothing else."""
        self._read_all = trio.Event()
        self._writer: trio.lowlevel.Task | None = None
        self._sending = False
        self._unsent = b""
        """What the socket did not take at once."""
        self._socket = self._stream if isinstance(self._stream, Socket) else None
        self._senders = trio.lowlevel.ParkingLot()
        self._writing = trio.CancelScope(shield=True)
        self._handlers = self._make_handlers()

    def _make_handlers(self) -> Mapping[type[Any], Callable[[Any], Step]]:
        return {
            Received: self._on_received,
            Data: self._on_data,
            Ended: self._on_ended,
            Reset: self._on_reset,
            Room: self._on_room,
            Agreed: lambda _: self.agreed.set(),
            GoingAway: lambda _: self._on_room(Room(SERVICE)),
            Over: lambda event: self.end(event.why),
        }

    def start(self, run: Callable[[], Awaitable[None]]) -> None:
        """Start one of the session's tasks. Whatever it raises ends this session, and nothing else."""
        self.nursery.start_soon(supervised, self._named, self._watch_over, run)

    def _named(self) -> str:
        return f"the session with {self.peer}"

    async def _watch_over(self, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        except Exception as exc:
            self.end(Unavailable(f"the session failed: {type(exc).__name__}"))
            raise

    # Reading.

    async def read(self) -> None:
        """Read and handle what comes, until another task has taken over or nothing more will come."""
        with trio.CancelScope() as turn:
            self.reading = turn
            try:
                while await self._handle_all(turn) and await self._receive():
                    pass
            finally:
                if self.reading is turn:
                    self._read_all.set()

    async def _receive(self) -> bool:
        """Take what comes next; gives whether more may come."""
        try:
            data = await self._stream.receive_some(self._read_size())
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self.end(Unavailable(f"the connection broke: {exc or type(exc).__name__}"))
            return False
        try:
            self._events += self.session.receive(bytes(data), trio.current_time())
        except WireError as exc:
            self.end(exc)
        self._alone = len(self._events) <= _REPLY
        if not data:
            self.end(Unavailable("the peer closed the connection"))
        return bool(data)

    def _read_size(self) -> int:
        """Reads that end where frames end save the readers of streams from pieces."""
        rest = self.session.incoming.rest
        return rest if rest >= READ_SIZE // 8 else READ_SIZE

    async def _handle_all(self, turn: trio.CancelScope) -> bool:
        """Handle what came; gives whether this task is still the one that reads."""
        events = self._events
        self._handling = True
        while events:
            event = events.popleft()
            step = self._handlers[type(event)](event)
            if step is not None:
                await _watched(step, self._hand_over)
                if self.reading is not turn:
                    return False
                self.call = None
        self._handled()
        return True

    def _handled(self) -> None:
        self._handling = False
        self.send_now()

    def _hand_over(self) -> None:
        turn, self.reading = self.reading, None
        call, self.call = self.call, None
        if call is not None and turn is not None:
            call.on_gone(turn.cancel)
        self._handled()
        self.start(self.read)

    def _on_received(self, event: Received) -> Step:
        end = self.ends.get(event.channel)
        if end is not None:
            return end.message(event)
        try:
            self.channels.abandon(event)  # it came before the peer knew that the channel is closed
        except WireError as exc:
            self.end(exc)
        return None

    def _on_data(self, event: Data) -> None:
        end = self.ends.get(event.channel)
        if end is not None:
            end.data(event.data)

    def _on_ended(self, event: Ended) -> Step:
        end = self.ends.get(event.channel)
        if not self.channels.is_open(event.channel):
            self.forget(event.channel)
        return end.ended() if end is not None else None

    def _on_reset(self, event: Reset) -> Step:
        end = self.ends.pop(event.channel, None)
        self.forget(event.channel)
        return end.reset(Unavailable(event.reason or "the peer closed it")) if end is not None else None

    def _on_room(self, event: Room) -> None:
        end = self.ends.get(event.channel)
        if end is not None:
            end.room()

    def taken(self, event: Received) -> None:
        """A message that came has been taken by who it was for."""
        if self.channels.taken(event):
            self.send_now()  # so that the peer goes on while this side is still at what came
        else:
            self.wake()

    # Writing.

    def wake(self) -> None:
        """Have what waits in the session sent, together with what else is ready soon."""
        if self._writer is not None and not self._handling and self.session.waiting:
            self._wake_writer()

    def hurry(self) -> None:
        """Have what waits in the session sent: at once, if nothing else would go with it."""
        if not self._alone:
            self.wake()
        elif not self._handling:
            self.send_now()

    def _wake_writer(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            trio.lowlevel.reschedule(writer)

    def send_now(self) -> None:
        """Have what waits in the session sent: in this very moment, if the socket takes it, else by the writer."""
        if not self.session.waiting:
            return
        if self._socket is not None and not self._sending and not self._unsent:
            self._sending = True  # taking may run a destructor, which may want to send
            data = self._take()
            self._unsent = data[self._socket.send_now(data) :]
            self._sending = False
        if self._waiting:
            self._wake_writer()

    async def write(self) -> None:
        """Send what there is, until the session has ended and its last word is said; then close the stream."""
        try:
            with self._writing:
                await self._write_until_over()
        finally:
            self._socket = None
            try:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + LINGER):
                    await self._stream.aclose()
            finally:
                self.written.set()

    async def _write_until_over(self) -> None:
        try:
            while not (self.why and not self._waiting):
                await self._write_all()
                if not self.why:
                    await self._wait()
            await self._take_leave()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self.end(Unavailable(f"the connection broke: {exc or type(exc).__name__}"))

    @property
    def _waiting(self) -> bool:
        return bool(self._unsent) or self.session.waiting

    async def _write_all(self) -> None:
        self._sending = True
        while self._waiting:
            data, self._unsent = self._unsent or self._take(), b""
            await self._stream.send_all(data)
        self._sending = False

    def _take(self) -> bytes:
        """What the session has to send next; whoever waited for room there is woken."""
        data = self.session.take()
        self._wake_senders()
        drained, self.channels.drained = self.channels.drained, []
        for id in drained:
            self._on_room(Room(id))
            if not self.channels.is_open(id):
                self.forget(id)
        return data

    async def _wait(self) -> None:
        self._writer = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._writer = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def _take_leave(self) -> None:
        """Let the peer read what it was told last, and close its side."""
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()
        with trio.move_on_after(LINGER):
            await self._read_all.wait()

    def has_room(self, channel: int) -> bool:
        """Whether a message may be sent on a channel now."""
        return self.channels.credit(channel) > 0 and self.session.outbox.size < self._limits.outbox

    async def room(self, channel: int, credited: trio.lowlevel.ParkingLot) -> None:
        """Wait until a message may be sent on a channel, or the session has ended. `credited` is where its end unparks
        those who wait for credit.
        """
        while self.why is None:
            if not self.channels.credit(channel):
                await credited.park()
            elif self.session.outbox.size >= self._limits.outbox:
                await self._senders.park()
            else:
                return

    def _wake_senders(self) -> None:
        if self._senders:
            self._senders.unpark_all()

    # Time, and the end.

    async def keep_time(self) -> None:
        """Look after the peer being there."""
        while self.why is None:
            await trio.sleep_until(self.session.next_tick)
            try:
                self.session.tick(trio.current_time())
            except Unavailable as exc:
                self.end(exc)
            self.wake()

    def forget(self, channel: int) -> None:
        """An end is gone. When this side drains, and it was the last, that is the end of it."""
        self.ends.pop(channel, None)
        if self.draining and not self.channels.calls:
            self.idle.set()

    def end(self, why: SwarmError | None = None) -> None:
        """The session has ended, as `why` says; None: this side ends it, in good order. Twice is harmless."""
        if self.why is not None:
            return
        self.session.finish(why)
        self.why = why or Unavailable("this side ended the session")
        self._writing.deadline = trio.current_time() + CLEANUP_SECONDS
        self._wake_writer()
        self._wake_senders()
        self.closed.set()
        self.agreed.set()  # who waits for it looks at `why` then
        self.idle.set()
        lost = self.why if isinstance(self.why, Unavailable) else Unavailable(f"the connection was lost: {self.why}")
        ends, self.ends = self.ends, {}
        for end in ends.values():
            self._lose(end, lost)

    def _lose(self, end: End, why: SwarmError) -> None:
        """Tell one end that the session is over. What its owner does about that must not keep it from the others."""
        try:
            step = end.reset(why)
        except Exception:  # noqa: BLE001 - a stage's callback may raise anything
            _log.error("what %s did at its end failed", self._named(), exc_info=True)
            return
        if step is not None:
            self.nursery.start_soon(supervised, self._named, _run, step)


async def _run(step: Coroutine[Any, Any, None]) -> None:
    await step


@types.coroutine
def _watched(step: Coroutine[Any, Any, None], waits: Callable[[], None]) -> Generator[Any, Any, None]:
    """Run `step`; when it first has to wait, call `waits`."""
    try:
        trap = step.send(None)
        waits()
        while True:
            try:
                sent = yield trap
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it is for the step
                trap = step.throw(exc)
            else:
                trap = step.send(sent)
    except StopIteration:
        return
