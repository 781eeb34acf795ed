"""What this side does on the channels of one session: it sends messages and bytes, gives credit, ends and resets.
Imports no trio.

How a channel lives and ends is in `states`, with the theory; what frames of the peer mean, in `incoming`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..errors import TooLarge
from ..operation import Operation
from ..reply import FINAL
from .codec import Message, raw_value
from .delivery import Delivery
from .errors import WireError
from .events import REASON, Received
from .frames import NUMBER, Type
from .limits import KIB, Limits
from .opened import Channel, LocalError, Opened, ReceivingValue, SendingValue, Stream
from .outbox import Outbox, Outgoing
from .references import NO_REFS, OutOfBandValue, RefKind, Refs
from .reply_codec import encode_reply
from .request_codec import encode_request
from .states import NEXT, Act, State
from .table import SERVICE, Table
from .windows import Windows

_INLINE: Final = 16 * KIB
"""Bytes of a value that may go inside its message. Longer ones would hold up the messages behind them."""
_CAUSED: Final = 10_000
"""Messages that come late, and cause resets, while the peer reads nothing."""
_SEND: Final = int(Act.SEND)
_RECEIVE: Final = int(Act.RECEIVE)


class Channels:
    """All channels of one side of a session.

    measure: has a round trip measured (`Windows`).
    table: what is open.
    delivery: what came, to be given out.
    windows: of its streams.
    caused: messages that came late since the last bytes were taken for sending, each of which was answered by a reset.
    drained: streams all of whose bytes have been taken for sending; cleared by its reader.
    """

    def __init__(self, *, initiator: bool, limits: Limits, outbox: Outbox, measure: Callable[[], None]) -> None:
        self.table = Table(initiator=initiator, limits=limits)
        self.delivery = Delivery(self.table, limits, outbox, self.abandon)
        self.windows = Windows(limits, measure)
        self.outbox = outbox
        self.drained: list[int] = []
        self.caused = 0
        self._limits = limits
        self._service = Channel(State.BOTH, 0)
        self._owed = False
        """Whether credit for requests is held back."""

    def begin(self, theirs: Mapping[str, int]) -> None:
        """Take the limits that the peer has told: messages may go both ways."""
        self.table.begin(theirs, self._service)
        self.outbox.most = theirs["frame"]
        self._service.credit = theirs["credit"]

    def is_open(self, id: int) -> bool:
        """Return whether a channel or stream is open, in either direction."""
        return id in self.table

    def credit(self, id: int) -> int:
        """Return how many messages may be sent on a channel; 0 if it is closed."""
        found = self.table.get(id)
        return found.credit if type(found) is Channel else 0

    @property
    def held(self) -> int:
        """Bytes that the peer makes this side hold, or may make it hold beyond what it always may."""
        return self.delivery.size + self.windows.grown

    @property
    def calls(self) -> int:
        """Calls and streams that are open."""
        return len(self.table) - (SERVICE in self.table)

    # Messages.

    def send(self, id: int, message: Message, now: float, stream: RefKind | None = None) -> Refs:
        """Send a request to the service, or a reply on its channel; return the numbers of what it opens.

        now: the time, for a request's deadline and for a stream; a reply without one does not need it.
        stream: what its byte stream is.

        Raises:
            Invalid: it holds what can't be carried.
            TooLarge: it, or its value, is more than the peer takes.
            Unavailable: as many channels or streams are open as the peer takes; it was not sent.
        """
        channel = self.table.get(id)
        if type(channel) is not Channel or NEXT[channel.state][_SEND] is None:
            raise LocalError(f"sending on {id} is not allowed")
        raw = raw_value(message)
        refs, next_own = NO_REFS, 0
        out_of_band = raw is not None and len(raw) > min(_INLINE, self.outbox.most // 2)
        if out_of_band or stream is not None or id == SERVICE:
            refs, next_own = self.table.given(reply=id == SERVICE, stream=stream)
            if raw is not None and out_of_band:
                value = OutOfBandValue(next_own, self._fitting(raw))
                refs, next_own = refs._replace(value=value), next_own + 2
            self.table.check_room(refs)
        if isinstance(message, Operation):
            packed = encode_request(message, raw, refs, now=now)
        else:
            packed = encode_reply(message, raw, refs)
        self._send_packed(id, channel, message, packed)
        if refs is not NO_REFS:
            self.table.next_own = next_own
            self._open(refs, channel, raw, now)
        return refs

    def _fitting(self, raw: bytes) -> int:
        if len(raw) > self.table.theirs["value"]:
            raise TooLarge(f"the value has {len(raw)} bytes: the peer accepts {self.table.theirs['value']}")
        return len(raw)

    def _send_packed(self, id: int, channel: Channel, message: Message, packed: bytes) -> None:
        most = self.outbox.most
        if len(packed) > most:
            what = message.verb if isinstance(message, Operation) else f"`{message.kind}`"
            raise TooLarge(f"this {what} has {len(packed)} bytes without its value: the peer accepts {most}")
        channel.spend(message)
        self.outbox.message(id, packed)

    def _open(self, refs: Refs, channel: Channel, raw: bytes | None, now: float) -> None:
        """Open what a message of this side refers to."""
        reply, stream, value = refs
        if reply is not None:
            # A request's body is of use as long as its caller waits.
            channel = Channel(State.RECEIVING, 0)
            self.table.open(reply.id, channel)
        if stream is not None:
            outgoing = Outgoing(stream.id, self.table.theirs["window"])
            both = stream.kind is RefKind.DUPLEX
            incoming = self.windows.open(now) if both else None
            self.table.open(stream.id, Stream(State.BOTH if both else State.SENDING, outgoing, incoming))
        if value is not None and raw is not None:
            self._open_value(value.id, channel, raw)

    def _open_value(self, id: int, channel: Channel, raw: bytes) -> None:
        channel.values = channel.values or set()
        channel.values.add(id)
        outgoing = Outgoing(id, self.table.theirs["window"], value=True)
        self.table.open(id, SendingValue(channel, outgoing))
        self.outbox.write(outgoing, raw)

    def taken(self, event: Received) -> bool:
        """Note that a message has been taken by its receiver, or dropped: there is room for another. Return whether
        the peer is told so now.
        """
        self.delivery.free(event)
        channel = self.table.get(event.channel)
        if type(channel) is not Channel or type(event.message) in FINAL:
            return False
        return channel.take(self._limits.credit) and self._give_credit(event.channel, channel)

    def _give_credit(self, id: int, channel: Channel) -> bool:
        if NEXT[channel.state][_RECEIVE] is None:
            return False
        if id == SERVICE and self.outbox.size > self._limits.outbox:
            self._owed = True  # a peer that does not read its answers is not asked for more requests
            return False
        self.outbox.frame(Type.CREDIT, id, NUMBER.pack(channel.grant()))
        return True

    def pay(self) -> None:
        """Give the credit that was held back until what waited to be sent is on its way."""
        if self._owed:
            self._owed = False
            self._give_credit(SERVICE, self._service)

    def abandon(self, event: Received) -> None:
        """Reset what a message that is for nobody refers to."""
        self.turn_away(event.refs)
        self.delivery.free(event)

    def turn_away(self, refs: Refs) -> None:
        """Reset what a message that nobody takes refers to.

        Raises:
            WireError: the peer sent too many such messages without reading what it was told of them.
        """
        for ref in refs:
            if ref is None:
                continue
            if ref.id in self.table:
                self.reset(ref.id)
            else:
                self._send_reset(ref.id, "")
        self.caused += 1
        if self.caused > _CAUSED:
            raise WireError("the peer keeps sending late frames and does not read the answers")

    # Bytes.

    def write(self, id: int, data: bytes) -> bool:
        """Have bytes sent on a stream; return whether more may be written at once, not only once it is `drained`."""
        outgoing = self._outgoing(id)
        if outgoing is None or outgoing.ending:
            raise LocalError(f"writing to {id} is not allowed")
        self.outbox.write(outgoing, data)
        return not outgoing.full

    def read(self, id: int, count: int, now: float) -> None:
        """Note that so many bytes of a stream have been taken by its reader."""
        stream = self.table.get(id)
        if type(stream) is Stream and stream.incoming is not None and NEXT[stream.state][_RECEIVE] is not None:
            grant = self.windows.read(stream.incoming, count, now)
            if grant:
                self.outbox.frame(Type.CREDIT, id, NUMBER.pack(grant))

    def emptied(self, outgoing: Outgoing) -> None:
        """Note that all that was written to a stream has been taken for sending."""
        id = outgoing.id
        if outgoing.value:
            self.drop(id)
            return
        if outgoing.ending:
            self._send_end(id, self.table.get(id))
            if outgoing.closing:
                self.reset(id)
        self.drained.append(id)

    # Ends.

    def end(self, id: int) -> None:
        """Send nothing more on a channel or stream; what was written before goes first."""
        found = self.table.get(id)
        if type(found) is Stream and found.outgoing is not None:
            found.outgoing.ending = True
            if not found.outgoing.queued:
                self.emptied(found.outgoing)
        elif found is not None:
            self._send_end(id, found)

    def _send_end(self, id: int, found: Opened | None) -> None:
        if type(found) is not Channel and type(found) is not Stream:
            raise LocalError(f"{id} can't be ended")
        after = NEXT[found.state][Act.SEND_END]
        if after is None:
            raise LocalError(f"ending {id} is not allowed")
        found.state = after
        self.outbox.end(id)
        if after is State.CLOSED:
            self.drop(id)

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

    def _outgoing(self, id: int) -> Outgoing | None:
        found = self.table.get(id)
        return found.outgoing if type(found) is Stream else None

    def reset(self, id: int, reason: str = "") -> None:
        """Neither send nor read any more on a channel or stream, and drop what was written. Does nothing to one that
        is closed already.
        """
        found = self.table.get(id)
        if found is not None:
            if type(found) is not Channel or found.state is not State.CLOSED:
                self._send_reset(id, reason)
            self.break_off(id)

    def _send_reset(self, id: int, reason: str) -> None:
        self.outbox.frame(Type.RESET, id, reason[:REASON].encode("utf-8", "replace"))

    def break_off(self, id: int) -> None:
        """Forget a channel that is reset, and with it the values on the way for its messages."""
        found = self.drop(id)
        if type(found) is Channel:
            for value in list(found.values or ()):
                self.reset(value)
            self.delivery.drop_held(found)
        elif type(found) is SendingValue:
            self.outbox.forget(found.outgoing)
        elif type(found) is ReceivingValue:
            self.delivery.close_value(found)

    def drop(self, id: int) -> Opened:
        """Forget a channel; return what it was."""
        found = self.table.close(id)
        if type(found) is Stream:
            if found.outgoing is not None:
                self.outbox.forget(found.outgoing)
            if found.incoming is not None:
                self.windows.close(found.incoming)
        elif type(found) is SendingValue and found.channel.values is not None:
            found.channel.values.discard(id)
        return found
