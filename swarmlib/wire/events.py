"""What a session tells who drives it. Imports no trio."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from ..errors import SwarmError
from .codec import Message
from .references import Refs
from .windows import Value

REASON: Final = 300
"""Characters of a reset's reason, at most."""


class Agreed(NamedTuple):
    """The handshake is done: `Session.version` and `.capabilities` are set, messages may be sent."""


class Received(NamedTuple):
    """A request or reply. `last`: nothing follows on its channel. Once its taker has it, `Session.taken` is told."""

    channel: int
    message: Message
    refs: Refs
    size: int
    last: bool
    value: Value | None = None


class Ended(NamedTuple):
    """The peer sends nothing more on a channel or stream. `last`: this side has ended too, and no event follows."""

    channel: int
    last: bool


class Reset(NamedTuple):
    """The peer neither sends nor reads any more on a channel or stream, for `reason` ("" where it said none)."""

    channel: int
    reason: str

    @classmethod
    def of(cls, channel: int, payload: bytes) -> Reset:
        """Read the reason that the peer gives."""
        return cls(channel, payload.decode("utf-8", "replace")[:REASON])


class Closed(NamedTuple):
    """This side has sent the last of a stream whose other direction has ended. Its driver says so, behind what came."""

    channel: int


class Data(NamedTuple):
    """Bytes on a stream. Once its reader has them, `Session.read` is told."""

    channel: int
    data: bytes | memoryview


class Room(NamedTuple):
    """There is credit for messages on a channel, where there was none."""

    channel: int


class GoingAway(NamedTuple):
    """The peer begins to drain: it wants no new calls."""


class Over(NamedTuple):
    """The peer ended the session."""

    why: SwarmError


Event: TypeAlias = Agreed | Received | Ended | Reset | Closed | Data | Room | GoingAway | Over
