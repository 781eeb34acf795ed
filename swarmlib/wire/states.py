"""The states of a channel, and the one table of how they follow each other. Imports no trio.

A channel has two directions. In each, one side sends (messages, or the bytes of a stream) and says END when it will
send no more. RESET ends both directions at once: who says it neither sends nor reads any more. A side sees a channel
in one of four states, named for what that side may still do:

    BOTH        a stream both ways; and channel 0, the service, which begins with the session and never ends
    SENDING     it may only send: the reply channel of a request that came; a stream that this side sends
    RECEIVING   it may only receive: the other sides of these
    CLOSED      neither; the side has forgotten the channel

How a channel begins: a request or reply refers to it, by a number that its sender has never used before. Each side
counts its own numbers upwards (the initiator's are odd, the other's even), and frames arrive in the order of sending.
So a number tells by itself whether its channel was ever opened: nothing is kept of closed ones, however many there
were.

What the two sides do at the same time makes these races, and only these:

1. I send RESET while the peer's frames are under way. They come to a channel that I have forgotten: they are *late*,
   and dropped. But a late reply may give a stream or a value, which is open for the peer from then on: each is RESET.
2. Both send RESET: each comes to a channel that is CLOSED already, late.
3. I send the END that closes the second direction, and forget the channel, while the peer sends RESET or CREDIT: late.
4. The peer says END, then RESET (it closes a stream that it has written to): what came before the END is all. Where
   there was no END, what came before the RESET can be read too, and then its reader is told that the rest is missing.
5. I say GOAWAY while the peer's new request is under way: it is answered `unavailable`, with the detail that it was
   not begun, so that the peer may send it elsewhere.

All else is a violation, which ends the session: a frame on a number that was never opened; one that the peer may not
send any more after its END; more than it had credit for.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class State(IntEnum):
    """What a side may still do on a channel."""

    CLOSED = 0
    SENDING = 1
    RECEIVING = 2
    BOTH = 3


class Act(IntEnum):
    """What happens on a channel, as one side sees it."""

    SEND = 0
    SEND_END = 1
    RECEIVE = 2
    RECEIVE_END = 3
    RESET = 4


_CLOSED, _SENDING, _RECEIVING, _BOTH = State

#                    SEND      SEND_END    RECEIVE     RECEIVE_END  RESET, sent or received
NEXT: Final[tuple[tuple[State | None, ...], ...]] = (
    (None,     None,       None,       None,     _CLOSED),  # CLOSED: what is received is late
    (_SENDING, _CLOSED,    None,       None,     _CLOSED),  # SENDING
    (None,     None,       _RECEIVING, _CLOSED,  _CLOSED),  # RECEIVING
    (_BOTH,    _RECEIVING, _BOTH,      _SENDING, _CLOSED),  # BOTH
)  # fmt: skip
"""By state and act, the state that follows. None: may not be. A sender that tries it has a bug; a peer that does it
violates the protocol, unless the channel is CLOSED.
"""
