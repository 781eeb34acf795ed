"""What comes, in the order in which it is given out: messages wait for values that travel out of band. Imports no trio.

A message whose value is still coming is held, and with it what came behind it on its channel, and what came on the
channel and the stream that it opens. A request holds up nothing but itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from .codec import complete
from .errors import WireError
from .events import Ended, Event, Received
from .frames import NUMBER, Type
from .limits import Limits
from .opened import Channel, Held, ReceivingValue, Stream
from .outbox import Outbox
from .references import OutOfBandValue
from .states import State
from .table import SERVICE, Table
from .windows import Admission, gather


class Delivery:
    """The messages of one session that came and were not yet taken, and the values that they wait for.

    abandon: called with a message that will not be given out.
    events: what has come, to be given out.
    """

    def __init__(self, table: Table, limits: Limits, outbox: Outbox, abandon: Callable[[Received], None]) -> None:
        self.events: list[Event] = []
        self._table = table
        self._limits = limits
        self._outbox = outbox
        self._abandon = abandon
        self._admission = Admission(limits)
        self._backlog = 0
        """Bytes of messages that nobody took yet."""

    @property
    def size(self) -> int:
        """Bytes of the messages that were not yet taken, and of values beyond their first windows."""
        return self._backlog + self._admission.used

    def message(self, channel: Channel, event: Received) -> None:
        """Give out a message, or hold it until its value and what was sent before it have come.

        Raises:
            WireError: the messages that nobody took yet are over the limit.
        """
        self._backlog += event.size
        if self._backlog > self._limits.backlog:
            raise WireError(f"over {self._limits.backlog} bytes of messages that were not taken (limit backlog)")
        value, request = event.refs.value, event.channel == SERVICE
        if value is None and (request or channel.held is None):
            self.events.append(event)
        else:
            self._hold(None if request else channel, event, value)

    def _hold(self, channel: Channel | None, event: Received, value: OutOfBandValue | None) -> None:
        held = Held(event, ready=value is None)
        for opened in self._opened_by(event):
            opened.waiting = held.behind
        if channel is not None:
            channel.held = channel.held or deque()
            channel.held.append(held)
        if value is not None:
            receiving = ReceivingValue(self._admission.open(value), channel, held)
            self._table.open(value.id, receiving)
            self._admit()
            self._value_so_far(value.id, receiving)

    def _opened_by(self, event: Received) -> Iterator[Channel | Stream]:
        for ref in event.refs[:2]:
            opened = self._table.get(ref.id) if ref is not None else None
            if type(opened) is Channel or type(opened) is Stream:
                yield opened

    def tell(self, about: Channel | Stream, event: Event) -> None:
        """Give out an event, behind the message that opened what it is about."""
        (self.events if about.waiting is None else about.waiting).append(event)

    def end(self, about: Channel | Stream, event: Ended) -> None:
        """Give out the end of a channel or stream, behind its messages."""
        if type(about) is Channel and about.held is not None:
            about.held.append(Held(event, ready=True))
        else:
            self.tell(about, event)

    def piece(self, id: int, receiving: ReceivingValue, data: bytes) -> None:
        """Take bytes of a value; with the last of them its message is given out."""
        gather(receiving.value.parts, data)
        receiving.value.left -= len(data)
        self._value_so_far(id, receiving)

    def _value_so_far(self, id: int, receiving: ReceivingValue) -> None:
        if receiving.value.left:
            return
        self._table.close(id)
        held, event = receiving.held, receiving.held.event
        if type(event) is Received:
            data = b"".join(receiving.value.parts)
            receiving.value.parts = []
            complete(event.message, data)
            held.event = event._replace(value=receiving.value)
        held.ready = True
        if receiving.channel is None:
            self._give_out(held)
        else:
            self._release(receiving.channel)

    def _release(self, channel: Channel) -> None:
        """Give out what waits no more."""
        held = channel.held
        while held and held[0].ready:
            first = held.popleft()
            self._give_out(first)
            if not held:
                channel.held = None
                if channel.state is State.CLOSED:
                    self._table.close(first.event.channel)

    def _give_out(self, held: Held) -> None:
        event = held.event
        self.events.append(event)
        self.events += held.behind
        if type(event) is Received:
            for opened in self._opened_by(event):
                opened.waiting = None

    def drop_held(self, channel: Channel) -> None:
        """Abandon the messages of a channel that was reset."""
        held, channel.held = channel.held, None
        for each in held or ():
            self._drop(each)

    def lose_value(self, lost: ReceivingValue) -> None:
        """Abandon the message whose value will not come."""
        self._drop(lost.held)
        if lost.channel is not None and lost.channel.held is not None:
            lost.channel.held.remove(lost.held)
            self._release(lost.channel)

    def _drop(self, held: Held) -> None:
        if type(held.event) is Received:
            self._abandon(held.event)

    def close_value(self, receiving: ReceivingValue) -> None:
        """Free the room of a value that will not come."""
        self._admission.close(receiving.value)
        self._admit()

    def free(self, event: Received) -> None:
        """Free the room of a message that has been taken, or abandoned."""
        self._backlog -= event.size
        if event.value is not None:
            self._admission.close(event.value)
            self._admit()

    def _admit(self) -> None:
        for id, more in self._admission.admit():
            self._outbox.frame(Type.CREDIT, id, NUMBER.pack(more))
