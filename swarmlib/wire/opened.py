"""What one side of a session keeps of each number that is open: channels of messages, streams of bytes, and values that
travel apart from their message. Imports no trio.
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from ..reply import Ack, Error, Reply
from .errors import WireError
from .events import Ended, Event, Received
from .outbox import Outgoing
from .states import State
from .windows import Incoming, Value


class Channel:
    """A channel of messages, as this side sees it: of the requests to either service (channel 0), or of the replies
    to one call.
    """

    __slots__ = ("answered", "credit", "failed", "held", "state", "taken", "unread", "values", "waiting")

    def __init__(self, state: State, credit: int) -> None:
        self.state = state
        self.credit = credit
        """Messages that this side may send."""
        self.unread = 0
        """Messages that came and that the peer was not given credit for again."""
        self.taken = 0
        """Those of them that have been taken."""
        self.answered = False
        self.failed = False
        self.held: deque[Held] | None = None
        """What came after a message whose value is still coming, that message first."""
        self.values: set[int] | None = None
        """The values that are being sent for messages of this channel."""
        self.waiting: list[Event] | None = None
        """Where events go while the message that opened this is held."""


class Held:
    """An event that waits for its turn, or for its message's value, and those of what its message opened."""

    __slots__ = ("behind", "event", "ready")

    def __init__(self, event: Received | Ended, *, ready: bool) -> None:
        self.event = event
        self.ready = ready
        self.behind: list[Event] = []


class Stream:
    """A stream of bytes, as this side sees it."""

    __slots__ = ("incoming", "outgoing", "state", "waiting")

    def __init__(self, state: State, outgoing: Outgoing | None, incoming: Incoming | None) -> None:
        self.state = state
        self.outgoing = outgoing
        self.incoming = incoming
        self.waiting: list[Event] | None = None
        """Where events go while the message that opened this is held."""


class SendingValue:
    """A value that is being sent, for a message of `channel`."""

    __slots__ = ("channel", "outgoing")

    def __init__(self, channel: Channel, outgoing: Outgoing) -> None:
        self.channel = channel
        self.outgoing = outgoing


class ReceivingValue:
    """A value that is being received, and the message that waits for it."""

    __slots__ = ("channel", "held", "value")

    def __init__(self, value: Value, channel: Channel | None, held: Held) -> None:
        self.value = value
        self.channel = channel
        """None for a request, which holds up nothing behind it."""
        self.held = held


Opened: TypeAlias = Channel | Stream | SendingValue | ReceivingValue


def is_answer(channel: Channel, reply: Reply) -> bool:
    """Whether this is a final reply, which needs no credit. The states are those of `swarmlib.reply`."""
    if channel.failed or (channel.answered and type(reply) is Ack):
        raise WireError(f"`{reply.kind}` after the final reply")
    if type(reply) is Error:
        channel.answered = channel.failed = True
        return True
    if type(reply) is Ack:
        channel.answered = True
        return True
    return False
