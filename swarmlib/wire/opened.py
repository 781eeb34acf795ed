"""What one side of a session keeps of each number that is open: channels of messages, streams of bytes, and values that
travel out of band. Imports no trio.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TypeAlias

from ..operation import Operation
from ..reply import FINAL, Ack, Error
from .codec import Message
from .errors import WireError
from .events import Ended, Event, Received
from .outbox import Outgoing
from .states import State
from .windows import Incoming, Value


class LocalError(RuntimeError):
    """This side tried what the states don't allow: a bug in who drives the session."""


class Answer(Enum):
    """How far a call is answered: the states of `swarmlib.reply_channel`, as its replies come."""

    WAITING = "waiting"
    ANSWERED = "answered"
    FAILED = "failed"


_WAITING, _ANSWERED, _FAILED = Answer


class Channel:
    """A channel of messages, as this side sees it: of the requests to either service (channel 0), or of the replies
    to one call. It keeps its credit: of messages both ways, final replies not counted.
    """

    __slots__ = ("answer", "credit", "held", "state", "taken", "unread", "values", "waiting")

    def __init__(self, state: State, credit: int) -> None:
        self.state = state
        self.credit = credit
        """Messages that this side may send."""
        self.unread = 0
        """Messages that came and that the peer was not given credit for again."""
        self.taken = 0
        """Those of them that have been taken."""
        self.answer = _WAITING
        self.held: deque[Held] | None = None
        """What came after a message whose value is still coming, that message first."""
        self.values: set[int] | None = None
        """The values that are being sent for messages of this channel."""
        self.waiting: list[Event] | None = None
        """Where events go while the message that opened this is held."""

    def count(self, message: Message, most: int) -> None:
        """Count a message that came.

        most: messages that may be unread.

        Raises:
            WireError: there was no credit for it, or it is a reply after the final one.
        """
        if self.answer is not _WAITING and (self.answer is _FAILED or type(message) is Ack):
            assert not isinstance(message, Operation)
            raise WireError(f"`{message.kind}` after the final reply")
        if type(message) is Ack:
            self.answer = _ANSWERED
        elif type(message) is Error:
            self.answer = _FAILED
        else:
            self.unread += 1
            if self.unread > most:
                raise WireError(f"more than {most} messages on one channel without credit (limit credit)")

    def take(self, most: int) -> bool:
        """Count a message that was taken; return whether that is half of the peer's credit, and it is to get more."""
        self.taken += 1
        return self.taken * 2 >= most

    def grant(self) -> int:
        """Give the peer credit again for the messages that were taken, and return their number."""
        granted, self.taken = self.taken, 0
        self.unread -= granted
        return granted

    def spend(self, message: Message) -> None:
        """Take the credit for a message of this side.

        Raises:
            LocalError: there is none.
        """
        if type(message) in FINAL:
            return
        if not self.credit:
            raise LocalError(f"{message!r} sent without credit")
        self.credit -= 1


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
