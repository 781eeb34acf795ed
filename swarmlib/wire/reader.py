"""What comes in a session, on trio.

One task reads and handles what comes, right there: a reply is put into its caller's hands, a request is given to the
service, without a hop to another task. If that has to wait (a filter asks elsewhere, a client reads slowly), this task
stays with it, and another goes on reading. So nothing that comes waits for anything but its own channel, and in the
usual case there is one task for all.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, Final

import trio

from ..errors import SwarmError, Unavailable
from ..net.sockets import Socket
from ..reply_channel import ReplySender
from .endpoint import Step
from .errors import WireError
from .events import Event
from .frames import HEAD
from .limits import KIB
from .session import Session

READ_SIZE: Final = 128 * KIB
"""Bytes that are read at once: more would come in memory that is new each time."""
_REPLY: Final = 2
"""Events that the reply to one call makes at most, usually: a `set` and an `ack`."""


class Reader:
    """Reads what comes, and has it handled.

    handlers: do what an event says, by its type, and give what there is still to do.
    handled: called when all that came is handled, or the rest of it is another task's.
    go_on: starts a task that runs the reader.
    ended: called when nothing more will come, with the reason.
    handling: whether the reading task is at what came, and has not had to wait.
    read_all: set once nothing more will come.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        session: Session,
        handlers: Mapping[type[Any], Callable[[Any], Step]],
        *,
        handled: Callable[[], None],
        go_on: Callable[[], None],
        ended: Callable[[SwarmError], None],
    ) -> None:
        self.handling = False
        self.read_all = trio.Event()
        self._stream = stream
        self._socket = stream if isinstance(stream, Socket) else None
        self._session = session
        self._handlers = handlers
        self._handled = handled
        self._go_on = go_on
        self._ended = ended
        self._events: deque[Event] = deque()
        self._came = 0
        """Events that came last."""
        self._turn: trio.CancelScope | None = None
        """The scope of the task that reads."""
        self._call: ReplySender | None = None

    @property
    def alone(self) -> bool:
        """Whether what came last was a call's reply and nothing else."""
        return self._came <= _REPLY

    def scope_of(self, call: ReplySender) -> trio.CancelScope:
        """Return the scope in which a call of the peer's runs that is handled now: that of the task that reads, for a
        scope of its own would cost as much as the call's decoding. If the call has to wait, the scope stays with it,
        and ends once the caller has gone.

        call: where its replies go.
        """
        assert self._turn is not None
        self._call = call
        return self._turn

    def handle_behind(self, event: Event) -> None:
        """Handle an event of this side's behind what has come: now, if nothing waits. Its handler never waits."""
        if self._events:
            self._events.append(event)
        else:
            self._handlers[type(event)](event)

    async def run(self) -> None:
        """Read and handle what comes, until another task has taken over or nothing more will come."""
        with trio.CancelScope() as turn:
            self._turn = turn
            try:
                while await self._handle_all(turn) and await self._receive():
                    pass
            finally:
                if self._turn is turn:
                    self.read_all.set()

    async def _receive(self) -> bool:
        """Take what comes next; return whether more may come."""
        try:
            data = await self._stream.receive_some(self._read_size())
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._ended(Unavailable(f"the connection broke: {exc or type(exc).__name__}"))
            return False
        if not data:
            self._ended(Unavailable("the peer closed the connection"))
            return False
        self._take(bytes(data))
        if self._socket is not None and self._session.incoming.bulk:
            self._take(self._socket.receive_now(self._read_size()))  # behind a head, mostly its payload
            if self._session.incoming.rest:  # which comes while others have their turn: to be woken for it costs more
                await trio.lowlevel.checkpoint()
                self._take(self._socket.receive_now(self._read_size()))
        self._came = len(self._events)
        return True

    def _take(self, data: bytes) -> None:
        try:
            self._events += self._session.receive(data, trio.current_time())
        except WireError as exc:
            self._ended(exc)

    def _read_size(self) -> int:
        """Read the payload of a large frame by itself, and the next one's head: what a read gives is then what the
        stream's reader is given, without a copy.
        """
        incoming = self._session.incoming
        return (incoming.rest or HEAD.size) if incoming.bulk else READ_SIZE

    async def _handle_all(self, turn: trio.CancelScope) -> bool:
        """Handle what came; return whether this task is still the one that reads."""
        events = self._events
        self.handling = True
        while events:
            event = events.popleft()
            step = self._handlers[type(event)](event)
            if step is not None:
                await _watched(step, self._let_another_read)
                if self._turn is not turn:
                    return False
                self._call = None
        self._done()
        return True

    def _done(self) -> None:
        self.handling = False
        self._handled()

    def _let_another_read(self) -> None:
        turn, self._turn = self._turn, None
        call, self._call = self._call, None
        if call is not None and turn is not None:
            call.on_gone(turn.cancel)
        self._done()
        self._go_on()


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
