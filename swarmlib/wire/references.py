"""References: what stands in a message for what can't be in it. Imports no trio.

What is live in a request or reply (where the replies go, byte streams) is the number of a channel or stream. A body or
value that is too long for its message comes on a stream of its own, whose number stands in its place.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple


class RefKind(IntEnum):
    """What a reference stands for; the number is its extension type in msgpack."""

    CHANNEL = 1
    STREAM = 2
    DUPLEX = 3


class Ref(NamedTuple):
    """What is live in a request or reply: where replies go, a byte stream one way or both ways."""

    kind: RefKind
    id: int


class OutOfBandValue(NamedTuple):
    """A body or value that is not in its message: `length` bytes, which come on the stream `id`."""

    id: int
    length: int


class Refs(NamedTuple):
    """The references of one request or reply."""

    reply: Ref | None = None
    stream: Ref | None = None
    """Of the upload, or of an ack's stream."""
    value: OutOfBandValue | None = None
    """Of the body, or of a reply's value."""


NO_REFS: Final = Refs()
