"""What is open in one session: channels of messages (requests or replies), streams of bytes, values on their way.
Imports no trio.

How a channel lives and ends is in `states`, with the theory. Here is what frames on a channel mean, and what this side
may do on it: references, credit, the reply contract, values that come apart from their message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ..errors import TooLarge
from ..operation import Operation
from ..reply import Ack, Error
from .codec import Message, complete, encode_with, raw_value
from .errors import WireError
from .events import Data, Ended, Event, Received, Reset, Room
from .frames import NUMBER, Type
from .limits import KIB, Limits
from .numbering import Numbers
from .opened import Channel, Held, Opened, ReceivingValue, SendingValue, Stream, is_answer
from .outbox import Outbox, Outgoing
from .references import NO_REFS, OutOfBandValue, RefKind, Refs
from .reply_codec import decode_reply
from .request_codec import decode_request
from .states import NEXT, Act, State
from .windows import Admission, Incoming, Value, Windows, gather

SERVICE: Final = 0
"""The channel to the peer's service; and, in the other direction, to this side's."""

_INLINE: Final = 16 * KIB
"""Bytes of a value that may go inside its message. Messages go one after another, so they must not be long."""
_REASON: Final = 300
"""Characters of a RESET's reason, at most."""
_CAUSED: Final = 10_000
"""Messages that come late, and cause resets, while the peer reads nothing."""
_MOST: Final = 2**62
_SEND: Final = int(Act.SEND)
_RECEIVE: Final = int(Act.RECEIVE)


class LocalError(RuntimeError):
    """This side tried what the states don't allow: a bug in who drives the session."""


class Channels:
    """All channels of one side of a session.

    measure: has a round trip measured (`Windows`).
    events: where what comes is put.
    now: the time.
    caused: messages that came late since the last bytes were taken for sending, each of which was answered by a reset.
    drained: streams all of whose bytes have been taken for sending; cleared by who reads it.
    rest: bytes of a DATA frame that are still to come.
    windows: of its streams.
    """

    def __init__(self, *, initiator: bool, limits: Limits, outbox: Outbox, measure: Callable[[], None]) -> None:
        self.events: list[Event] = []
        self.now = 0.0
        self.drained: list[int] = []
        self.windows = Windows(limits, measure)
        self._admission = Admission(limits)
        self._limits = limits
        self._numbers = Numbers(initiator=initiator, limits=limits)
        self._outbox = outbox
        self._theirs: Mapping[str, int] = {}
        self._service = Channel(State.BOTH, 0)
        self._open: dict[int, Opened] = {}
        self._backlog = 0
        self.caused = 0
        self.rest = 0
        self._sink = SERVICE
        self._owed = False
        """Whether credit for requests is held back."""

    def begin(self, theirs: Mapping[str, int]) -> None:
        """The peer has told its limits: messages may go both ways. What it lets this side open is kept below this
        side's own limits too, for it is this side that holds what a peer does not read.
        """
        own = {name: getattr(self._limits, name) for name in ("channels", "streams")}
        self._theirs = {name: min(most, own.get(name, most)) for name, most in theirs.items()}
        self._numbers.begin(self._theirs)
        self._outbox.most = theirs["frame"]
        self._service.credit = theirs["credit"]
        self._open[SERVICE] = self._service

    def _found(self, id: int) -> Opened | None:
        """What a number stands for; None if that is closed: then what came is late.

        Raises:
            WireError: it was never opened.
        """
        found = self._open.get(id)
        if found is None:
            self._numbers.check_used(id)
        elif type(found) is Channel and found.state is State.CLOSED:
            return None
        return found

    # Messages that come.

    def on_message(self, id: int, payload: bytes) -> None:
        """A MESSAGE came. Like all that begin with `on`: raises WireError where it breaks a rule."""
        self._take_message(id, payload, last=False)

    def on_last(self, id: int, payload: bytes) -> None:
        """A message came, and its channel's END with it."""
        if id == SERVICE:
            raise WireError("an end of channel 0")
        self._take_message(id, payload, last=True)

    def _take_message(self, id: int, payload: bytes, *, last: bool) -> None:
        message: Message
        if id == SERVICE:
            message, refs = decode_request(payload, now=self.now)
        else:
            message, refs = decode_reply(payload)
        if refs is not NO_REFS:
            self._numbers.check_theirs(refs)
        channel = self._found(id)
        if channel is None:
            self._turn_away(refs)
            return
        if type(channel) is not Channel or NEXT[channel.state][_RECEIVE] is None:
            raise WireError(f"a message on {id}, where this side takes none")
        self._count(channel, message)
        if refs is not NO_REFS:
            self._open_theirs(refs)
        self._backlog += len(payload)
        if self._backlog > self._limits.backlog:
            raise WireError(f"over {self._limits.backlog} bytes of messages that nobody took yet (limit backlog)")
        self._emit(channel, Received(id, message, refs, len(payload), last))
        if last:
            self._ended(id, channel)

    def _count(self, channel: Channel, message: Message) -> None:
        """Check that there was credit for a message, if it needs any."""
        if not isinstance(message, Operation) and is_answer(channel, message):
            return
        channel.unread += 1
        if channel.unread > self._limits.credit:
            raise WireError(f"over {self._limits.credit} messages on one channel without credit (limit credit)")

    def _emit(self, channel: Channel, event: Received) -> None:
        """Give out a message, or hold it until its value and what was sent before it have come."""
        apart, request = event.refs.value, event.channel == SERVICE
        if apart is None and (request or channel.held is None):
            self.events.append(event)
            return
        held = Held(event, ready=apart is None)
        for opened in self._opened_by(event):
            opened.waiting = held.behind
        if not request:
            channel.held = channel.held or deque()
            channel.held.append(held)
        if apart is not None:
            self._add(apart.id, ReceivingValue(self._admission.open(apart), None if request else channel, held))
            self._admit()
            self._value_so_far(apart.id)

    def _opened_by(self, event: Received) -> Iterator[Channel | Stream]:
        for ref in event.refs[:2]:
            opened = self._open.get(ref.id) if ref is not None else None
            if type(opened) is Channel or type(opened) is Stream:
                yield opened

    def _give_out(self, held: Held) -> None:
        event = held.event
        self.events.append(event)
        self.events += held.behind
        if type(event) is Received:
            for opened in self._opened_by(event):
                opened.waiting = None

    def _tell(self, about: Channel | Stream, event: Event) -> None:
        (self.events if about.waiting is None else about.waiting).append(event)

    def _admit(self) -> None:
        for id, more in self._admission.admit():
            self._outbox.frame(Type.CREDIT, id, NUMBER.pack(more))

    def _value_so_far(self, id: int) -> None:
        """Give out the message of a value of which all has come."""
        receiving = self._open[id]
        if type(receiving) is not ReceivingValue or receiving.value.left:
            return
        self._drop(id)
        event = receiving.held.event
        if type(event) is Received and event.refs.value is not None:
            data = b"".join(receiving.value.parts)
            receiving.value.parts = []
            complete(event.message, data)
            receiving.held.event = event._replace(value=receiving.value)
        receiving.held.ready = True
        if receiving.channel is None:
            self._give_out(receiving.held)
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
                    self._drop(first.event.channel)

    # Ends.

    def on_end(self, id: int, _: bytes) -> None:
        """An END came."""
        found = self._found(id)
        if found is None:
            return
        if id == SERVICE or (type(found) is not Channel and type(found) is not Stream):
            raise WireError(f"an end of {id}, which has none")
        if type(found) is Channel and found.held is not None:
            found.held.append(Held(Ended(id), ready=True))
        else:
            self._tell(found, Ended(id))
        self._ended(id, found)

    def _ended(self, id: int, found: Opened) -> None:
        """The peer's direction has ended."""
        if type(found) is Channel or type(found) is Stream:
            after = NEXT[found.state][Act.RECEIVE_END]
            if after is None:
                raise WireError(f"an end of {id} where the peer may not send")
            found.state = after
            if after is State.CLOSED and not (type(found) is Channel and found.held):
                self._drop(id)

    def on_reset(self, id: int, payload: bytes) -> None:
        """A RESET came."""
        found = self._found(id)
        if id == SERVICE:
            raise WireError("a reset of channel 0")
        if found is None:
            return
        self._break(id)
        if type(found) is Channel or type(found) is Stream:
            self._tell(found, Reset(id, payload.decode("utf-8", "replace")[:_REASON]))
        elif type(found) is ReceivingValue:
            self._lose_value(found)

    def _break(self, id: int) -> None:
        """Forget a channel that is reset, and with it the values on the way for its messages."""
        found = self._drop(id)
        if type(found) is Channel:
            for value in list(found.values or ()):
                self.reset(value)
            held, found.held = found.held, None
            for each in held or ():
                self._abandon(each.event)
        elif type(found) is SendingValue:
            self._outbox.forget(found.outgoing)
        elif type(found) is ReceivingValue:
            self._admission.close(found.value)
            self._admit()

    def _drop(self, id: int) -> Opened:
        """Forget a channel."""
        found = self._open.pop(id)
        self._numbers.closed(id, found)
        if type(found) is Stream:
            if found.outgoing is not None:
                self._outbox.forget(found.outgoing)
            if found.incoming is not None:
                self.windows.close(found.incoming)
        elif type(found) is SendingValue and found.channel.values is not None:
            found.channel.values.discard(id)
        return found

    def _lose_value(self, lost: ReceivingValue) -> None:
        """The value of a message will not come: the message is for nobody."""
        self._abandon(lost.held.event)
        if lost.channel is not None and lost.channel.held is not None:
            lost.channel.held.remove(lost.held)
            self._release(lost.channel)

    def _abandon(self, event: Received | Ended) -> None:
        """A message that came, and was never given out, is for nobody."""
        if type(event) is Received:
            self.abandon(event)

    def _free(self, event: Received) -> None:
        self._backlog -= event.size
        if event.value is not None:
            self._admission.close(event.value)
            self._admit()

    def _turn_away(self, refs: Refs) -> None:
        """Nobody takes a message that came: what it refers to is reset."""
        for ref in refs:
            if ref is None:
                continue
            if ref.id in self._open:
                self.reset(ref.id)
            else:
                self._send_reset(ref.id, "")
        self.caused += 1
        if self.caused > _CAUSED:
            raise WireError("the peer sends what is late, and doesn't read what it is told of that")

    # Streams that come.

    def on_data(self, id: int, length: int) -> None:
        """The head of a DATA frame came; its payload goes to `sunk`, in whatever pieces it comes."""
        found = self._found(id)
        if not length:
            raise WireError(f"DATA without bytes, on {id}")
        self._sink, self.rest = id, length
        if found is None:
            return
        if type(found) is ReceivingValue:
            place: Value | Incoming | None = found.value
        elif type(found) is Stream and NEXT[found.state][_RECEIVE] is not None:
            place = found.incoming
        else:
            place = None
        if place is None:
            raise WireError(f"DATA on {id}, where this side takes none")
        if length > place.allowed:
            raise WireError(f"{length} bytes on {id}, where the window is {place.allowed}")
        place.allowed -= length

    def sunk(self, data: bytes, start: int) -> int:
        """Take what has come of a DATA frame's payload; gives where that ends."""
        if not self.rest or start == len(data):
            return start
        stop = min(start + self.rest, len(data))
        self.rest -= stop - start
        found = self._open.get(self._sink)
        if type(found) is Stream:
            self._tell(found, Data(self._sink, data[start:stop]))
        elif type(found) is ReceivingValue:
            gather(found.value.parts, data[start:stop])
            found.value.left -= stop - start
            self._value_so_far(self._sink)
        return stop

    def on_credit(self, id: int, payload: bytes) -> None:
        """A CREDIT came: messages on a channel, or bytes on a stream."""
        more = _number(payload)
        found = self._found(id)
        if type(found) is Channel:
            if NEXT[found.state][_SEND] is None or found.credit + more > self._theirs["credit"]:
                raise WireError(f"credit of {more} on {id}, which is more than can be used")
            if not found.credit:
                self._tell(found, Room(id))
            found.credit += more
            return
        if found is None:
            return
        outgoing = found.outgoing if type(found) is Stream or type(found) is SendingValue else None
        if outgoing is None or outgoing.window + more > _MOST:
            raise WireError(f"credit of {more} on {id}, which is more than can be used")
        outgoing.window += more
        self._outbox.turn(outgoing)

    # What this side does.

    def is_open(self, id: int) -> bool:
        """Whether a channel or stream is open, in either direction."""
        return id in self._open

    def credit(self, id: int) -> int:
        """How many messages may be sent on a channel; 0 where it is closed."""
        found = self._open.get(id)
        return found.credit if type(found) is Channel else 0

    def send(self, id: int, message: Message, now: float, stream: RefKind | None = None) -> Refs:
        """Send a request to the service, or a reply on its channel; gives the numbers of what it opens.

        stream: what its byte stream is.

        Raises:
            Invalid: it holds what can't be carried.
            TooLarge: it, or its value, is more than the peer takes.
            Unavailable: as many channels or streams are open as the peer takes; it was not sent.
        """
        channel = self._open.get(id)
        if type(channel) is not Channel or NEXT[channel.state][_SEND] is None:
            raise LocalError(f"nothing may be sent on {id}")
        raw = raw_value(message)
        value: bytes | OutOfBandValue | None = raw
        refs, next_own = NO_REFS, 0
        apart = raw is not None and len(raw) > min(_INLINE, self._outbox.most // 2)
        if apart or stream is not None or id == SERVICE:
            refs, next_own = self._numbers.given(reply=id == SERVICE, stream=stream)
            if raw is not None and apart:
                value = OutOfBandValue(next_own, self._fitting(raw))
                refs, next_own = refs._replace(value=value), next_own + 2
            self._numbers.check_room(refs)
        packed = encode_with(message, value, refs, now=now)
        if len(packed) > self._outbox.most:
            what = message.verb if isinstance(message, Operation) else f"`{message.kind}`"
            raise TooLarge(
                f"this {what} takes {len(packed)} bytes without its value; the peer takes {self._outbox.most}"
            )
        self._spend(channel, message)
        self._outbox.message(id, packed)
        if refs is not NO_REFS:
            self._numbers.next_own = next_own
            self._open_own(refs, channel, raw, now)
        return refs

    def _fitting(self, raw: bytes) -> int:
        if len(raw) > self._theirs["value"]:
            raise TooLarge(f"a value of {len(raw)} bytes; the peer takes {self._theirs['value']}")
        return len(raw)

    def _spend(self, channel: Channel, message: Message) -> None:
        if isinstance(message, Ack | Error):
            return
        if not channel.credit:
            raise LocalError(f"{message!r} sent without credit")
        channel.credit -= 1

    def _open_own(self, refs: Refs, channel: Channel, raw: bytes | None, now: float) -> None:
        reply, stream, value = refs
        if reply is not None:
            # A request's body is of use as long as its caller waits.
            channel = Channel(State.RECEIVING, 0)
            self._add(reply.id, channel)
        if stream is not None:
            outgoing = Outgoing(stream.id, self._theirs["window"])
            both = stream.kind is RefKind.DUPLEX
            incoming = self.windows.open(now) if both else None
            self._add(stream.id, Stream(State.BOTH if both else State.SENDING, outgoing, incoming))
        if value is not None and raw is not None:
            channel.values = channel.values or set()
            channel.values.add(value.id)
            outgoing = Outgoing(value.id, self._theirs["window"], value=True)
            self._add(value.id, SendingValue(channel, outgoing))
            self._outbox.write(outgoing, raw)

    def _open_theirs(self, refs: Refs) -> None:
        reply, stream, _ = refs
        if reply is not None:
            self._add(reply.id, Channel(State.SENDING, self._theirs["credit"]))
        if stream is not None:
            both = stream.kind is RefKind.DUPLEX
            outgoing = Outgoing(stream.id, self._theirs["window"]) if both else None
            state = State.BOTH if both else State.RECEIVING
            self._add(stream.id, Stream(state, outgoing, self.windows.open(self.now)))

    def abandon(self, event: Received) -> None:
        """A message that came is for nobody: what it refers to is reset."""
        self._turn_away(event.refs)
        self._free(event)

    def taken(self, event: Received) -> bool:
        """A message that came has been taken by who it was for, or by nobody: there is room for another. Gives whether
        the peer is told so now.
        """
        self._free(event)
        channel = self._open.get(event.channel)
        if type(channel) is not Channel or isinstance(event.message, Ack | Error):
            return False
        channel.taken += 1
        return self._give_credit(event.channel, channel)

    def _give_credit(self, id: int, channel: Channel) -> bool:
        if channel.taken * 2 < self._limits.credit or NEXT[channel.state][_RECEIVE] is None:
            return False
        if id == SERVICE and self._outbox.size > self._limits.outbox:
            self._owed = True  # a peer that does not read its answers is not asked for more requests
            return False
        self._outbox.frame(Type.CREDIT, id, NUMBER.pack(channel.taken))
        channel.unread -= channel.taken
        channel.taken = 0
        return True

    def pay(self) -> None:
        """What waited to be sent is on its way: give the credit that was held back for that."""
        if self._owed:
            self._owed = False
            self._give_credit(SERVICE, self._service)

    def write(self, id: int, data: bytes) -> bool:
        """Have bytes sent on a stream; gives whether more may be written at once, or after the stream was `drained`."""
        outgoing = self._outgoing(id)
        if outgoing is None or outgoing.ending:
            raise LocalError(f"nothing may be written to {id}")
        self._outbox.write(outgoing, data)
        return not outgoing.full

    def read(self, id: int, count: int, now: float) -> None:
        """So many bytes of a stream have been taken by its reader."""
        stream = self._open.get(id)
        if type(stream) is Stream and stream.incoming is not None and NEXT[stream.state][_RECEIVE] is not None:
            grant = self.windows.read(stream.incoming, count, now)
            if grant:
                self._outbox.frame(Type.CREDIT, id, NUMBER.pack(grant))

    def end(self, id: int) -> None:
        """Send nothing more on a channel or stream; what was written before goes first."""
        found = self._open.get(id)
        if type(found) is Stream and found.outgoing is not None:
            found.outgoing.ending = True
            if not found.outgoing.queued:
                self.emptied(found.outgoing)
        elif found is not None:
            self._send_end(id, found)

    def close(self, id: int) -> None:
        """Neither send nor read any more on a stream; what was written before still goes."""
        outgoing = self._outgoing(id)
        if outgoing is None:
            self.reset(id)
        elif not outgoing.closing:
            outgoing.closing = True
            if not outgoing.ending:
                self.end(id)
            elif not outgoing.queued:
                self.reset(id)

    def reset(self, id: int, reason: str = "") -> None:
        """Neither send nor read any more on a channel or stream, and drop what was written. Does nothing to one that
        is closed already.
        """
        found = self._open.get(id)
        if found is not None:
            if type(found) is not Channel or found.state is not State.CLOSED:
                self._send_reset(id, reason)
            self._break(id)

    def _send_reset(self, id: int, reason: str) -> None:
        self._outbox.frame(Type.RESET, id, reason[:_REASON].encode("utf-8", "replace"))

    def _send_end(self, id: int, found: Opened) -> None:
        if type(found) is not Channel and type(found) is not Stream:
            raise LocalError(f"{id} has no end")
        after = NEXT[found.state][Act.SEND_END]
        if after is None:
            raise LocalError(f"nothing may be ended on {id}")
        found.state = after
        self._outbox.end(id)
        if after is State.CLOSED:
            self._drop(id)

    def _outgoing(self, id: int) -> Outgoing | None:
        found = self._open.get(id)
        return found.outgoing if type(found) is Stream else None

    def emptied(self, outgoing: Outgoing) -> None:
        """All that was written to a stream has been taken for sending."""
        id = outgoing.id
        if outgoing.value:
            self._drop(id)
        elif outgoing.ending:
            self._send_end(id, self._open[id])
            if outgoing.closing:
                self.reset(id)
        if not outgoing.value:
            self.drained.append(id)

    @property
    def held(self) -> int:
        """Bytes that the peer makes this side hold, or may make it hold beyond what it always may."""
        return self._backlog + self._admission.used + self.windows.grown

    @property
    def calls(self) -> int:
        """Calls and streams that are open."""
        return len(self._open) - (SERVICE in self._open)

    def _add(self, id: int, opened: Opened) -> None:
        self._open[id] = opened
        self._numbers.opened(id, opened)


def _number(payload: bytes) -> int:
    if len(payload) != NUMBER.size:
        raise WireError(f"a number of {len(payload)} bytes, not {NUMBER.size}")
    number: int = NUMBER.unpack(payload)[0]
    return number
