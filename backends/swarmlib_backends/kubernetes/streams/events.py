"""What the two framings have in common: SPDY/3.1 (`spdy`) and WebSocket channels (`channels`).

A framing does no I/O. What the peer sent goes into `receive`, which says in events what it means; what is to be sent is
made by the methods that return bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple, Protocol, TypeAlias

from ...http.websocket import Closed, Owed


class Opened(NamedTuple):
    """The peer opened a channel, described by its headers. Only servers see it."""

    channel: int
    headers: Mapping[str, str]


class Accepted(NamedTuple):
    """The peer accepted a channel that was opened here."""

    channel: int


class Data(NamedTuple):
    """Bytes of a channel, as they arrived: a frame may be several of them, or several frames one (see `joined`). They
    are never empty."""

    channel: int
    data: bytes


class Ended(NamedTuple):
    """The peer sends no more on a channel."""

    channel: int


class Reset(NamedTuple):
    """The peer ended a channel in both directions."""

    channel: int


Event: TypeAlias = Opened | Accepted | Data | Ended | Reset | Owed | Closed


def joined(events: Iterable[Event]) -> Iterator[Event]:
    """Yield events; the data of a channel that follow each other, as of many small frames, are one event."""
    for channel, together in groupby(events, _channel_of_data):
        if channel is None:
            yield from together
        else:
            yield Data(channel, b"".join(event.data for event in together if isinstance(event, Data)))


def _channel_of_data(event: Event) -> int | None:
    return event.channel if isinstance(event, Data) else None


class Framing(Protocol):
    """One end of a connection that carries several channels."""

    def receive(self, data: bytes) -> list[Event]:
        """Take what the peer sent, cut anywhere, and return what it means.

        Raises:
            BadAnswer: the peer broke the protocol. The connection is of no use any more.
        """
        ...

    def data(self, channel: int, data: bytes | memoryview) -> bytes:
        """Return the frame that carries bytes of a channel."""
        ...

    def end(self, channel: int) -> bytes:
        """Return the frame that ends a channel in this direction.

        Raises:
            Unsupported: the protocol can't end one direction alone.
        """
        ...

    def ping(self) -> bytes:
        """Return a frame that does nothing but show that this end is alive."""
        ...

    def close(self) -> bytes:
        """Return the frame that ends the connection in order."""
        ...


class Multiplexing(Framing, Protocol):
    """A framing whose channels are opened and accepted one by one, as SPDY's streams are."""

    def open(self, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Open a channel: return its number, and the frame that says so."""
        ...

    def accept(self, channel: int) -> bytes:
        """Return the frame that accepts a channel which the peer opened."""
        ...

    def reset(self, channel: int) -> bytes:
        """Return the frame that ends a channel in both directions."""
        ...
