"""What frames on a channel mean. Imports no trio.

How a channel lives and ends is in `states`, with the theory; what this side does on one, in `channels`.
"""

from __future__ import annotations

from typing import Final

from .channels import Channels
from .errors import WireError
from .events import Data, Ended, Received, Reset, Room
from .frames import NUMBER
from .limits import KIB, Limits
from .opened import Channel, Opened, ReceivingValue, SendingValue, Stream
from .outbox import Outgoing
from .references import NO_REFS, RefKind, Refs
from .reply_codec import decode_reply
from .request_codec import decode_request
from .states import NEXT, Act, State
from .table import SERVICE
from .windows import Incoming, Value

_MOST: Final = 2**62
_BULK: Final = 32 * KIB
"""Bytes of a DATA frame that is worth a read of its own: one costs as much as a copy of half as many bytes."""
_SEND: Final = int(Act.SEND)
_RECEIVE: Final = int(Act.RECEIVE)


class IncomingFrames:
    """The frames that come on the channels of one session.

    now: the time.
    rest: bytes of a DATA frame that are still to come.
    bulk: whether that frame, or the one that has just come, is a large one, which others are likely to follow.
    """

    def __init__(self, channels: Channels, limits: Limits) -> None:
        self.now = 0.0
        self.rest = 0
        self.bulk = False
        self._sink = SERVICE
        """What the rest of the DATA frame is for."""
        self._channels = channels
        self._table = channels.table
        self._delivery = channels.delivery
        self._limits = limits

    # Messages.

    def on_message(self, id: int, payload: bytes, *, last: bool = False) -> None:
        """Take a MESSAGE. Like all that begin with `on`: raises WireError where it breaks a rule."""
        message, refs = decode_request(payload, now=self.now) if id == SERVICE else decode_reply(payload)
        if refs is not NO_REFS:
            self._table.check_theirs(refs)
        channel = self._table.find(id)
        if channel is None:
            self._channels.turn_away(refs)
            return
        if type(channel) is not Channel or NEXT[channel.state][_RECEIVE] is None:
            raise WireError(f"unexpected message on {id}")
        channel.count(message, self._limits.credit)
        self._channels.windows.message_came = self.now
        if refs is not NO_REFS:
            self._open(refs)
        self._delivery.message(channel, Received(id, message, refs, len(payload), last))
        if last:
            self._ended(id, channel)

    def on_last(self, id: int, payload: bytes) -> None:
        """Take a message, and its channel's END with it."""
        if id == SERVICE:
            raise WireError("unexpected END of channel 0")
        self.on_message(id, payload, last=True)

    def _open(self, refs: Refs) -> None:
        """Open what a message of the peer refers to."""
        reply, stream, _ = refs
        if reply is not None:
            self._table.open(reply.id, Channel(State.SENDING, self._table.theirs["credit"]))
        if stream is not None:
            both = stream.kind is RefKind.DUPLEX
            outgoing = Outgoing(stream.id, self._table.theirs["window"]) if both else None
            state = State.BOTH if both else State.RECEIVING
            self._table.open(stream.id, Stream(state, outgoing, self._channels.windows.open(self.now)))

    # Ends.

    def on_end(self, id: int, _: bytes) -> None:
        """Take an END."""
        found = self._table.find(id)
        if found is None:
            return
        if id == SERVICE or (type(found) is not Channel and type(found) is not Stream):
            raise WireError(f"unexpected END of {id}, whose length is known")
        self._ended(id, found)
        self._delivery.end(found, Ended(id, last=found.state is State.CLOSED))

    def _ended(self, id: int, found: Channel | Stream) -> None:
        """Note that the peer's direction has ended."""
        after = NEXT[found.state][Act.RECEIVE_END]
        if after is None:
            raise WireError(f"unexpected END of {id}, on which the peer may not send")
        found.state = after
        if after is State.CLOSED and not (type(found) is Channel and found.held):
            self._channels.drop(id)

    def on_reset(self, id: int, payload: bytes) -> None:
        """Take a RESET."""
        found = self._table.find(id)
        if id == SERVICE:
            raise WireError("unexpected RESET of channel 0")
        if found is None:
            return
        self._channels.break_off(id)
        if type(found) is Channel or type(found) is Stream:
            self._delivery.tell(found, Reset.of(id, payload))
        elif type(found) is ReceivingValue:
            self._delivery.lose_value(found)

    # Bytes.

    def on_data(self, id: int, length: int) -> None:
        """Take the head of a DATA frame; its payload goes to `sunk`, in whatever pieces it comes."""
        found = self._table.find(id)
        if not length:
            raise WireError(f"unexpected DATA without bytes on {id}")
        self._sink, self.rest, self.bulk = id, length, length >= _BULK
        if found is None:
            return
        place = _place(found)
        if place is None:
            raise WireError(f"unexpected DATA on {id}")
        if length > place.allowed:
            raise WireError(f"{length} bytes on {id} exceed the window of {place.allowed}")
        place.allowed -= length

    def sunk(self, data: bytes, start: int) -> int:
        """Take what has come of a DATA frame's payload; return where that ends."""
        if not self.rest or start == len(data):
            return start
        stop = min(start + self.rest, len(data))
        self.rest -= stop - start
        found = self._table.get(self._sink)
        if type(found) is Stream:
            # A view of less than half would keep more memory than its window allows; a slice of all is no copy.
            view = len(data) <= 2 * (stop - start) < 2 * len(data)
            piece = memoryview(data)[start:stop] if view else data[start:stop]
            self._delivery.tell(found, Data(self._sink, piece))
        elif type(found) is ReceivingValue:
            self._delivery.piece(self._sink, found, data[start:stop])
        return stop

    # Credit.

    def on_credit(self, id: int, payload: bytes) -> None:
        """Take a CREDIT: messages on a channel, or bytes on a stream."""
        more = _number(payload)
        found = self._table.find(id)
        if found is None:
            return
        if not (self._credit_messages(id, found, more) if type(found) is Channel else self._credit_bytes(found, more)):
            raise WireError(f"CREDIT of {more} on {id} exceeds the maximum")

    def _credit_messages(self, id: int, channel: Channel, more: int) -> bool:
        if NEXT[channel.state][_SEND] is None or channel.credit + more > self._table.theirs["credit"]:
            return False
        if not channel.credit:
            self._delivery.tell(channel, Room(id))
        channel.credit += more
        return True

    def _credit_bytes(self, found: Opened, more: int) -> bool:
        outgoing = found.outgoing if type(found) is Stream or type(found) is SendingValue else None
        if outgoing is None or outgoing.window + more > _MOST:
            return False
        outgoing.window += more
        self._channels.outbox.turn(outgoing)
        return True


def _place(found: Opened) -> Value | Incoming | None:
    """Where bytes on a number go; None if this side takes none."""
    if type(found) is ReceivingValue:
        return found.value
    if type(found) is Stream and NEXT[found.state][_RECEIVE] is not None:
        return found.incoming
    return None


def _number(payload: bytes) -> int:
    if len(payload) != NUMBER.size:
        raise WireError(f"invalid number: expected {NUMBER.size} bytes, got {len(payload)}")
    number: int = NUMBER.unpack(payload)[0]
    return number
