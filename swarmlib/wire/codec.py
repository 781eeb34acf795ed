"""The form of messages, which are requests or replies: each is one msgpack array, as `request_codec` and `reply_codec`
say. A body or value that is too long for one frame is a reference, and comes on a stream of its own. Imports no trio.
"""

from __future__ import annotations

from typing import TypeAlias

from ..errors import BadAnswer
from ..operation import Operation
from ..reply import Error, Log, Reply
from ..values import Json
from .references import NO_REFS, Refs
from .reply_codec import encode_reply, packed_error, unpacked_error
from .request_codec import encode_request

Message: TypeAlias = Operation | Reply


def raw_value(message: Message) -> bytes | None:
    """Return the bytes of a request's body, or of a reply's value; None if it has none.

    Raises:
        Invalid: it is nothing that JSON can express, or the details of an error hold what can't be carried.
        TooLarge: it is an error of over `reply_codec.MAX_ERROR` bytes.
    """
    if isinstance(message, Log):
        return message.line
    if isinstance(message, Error):
        return packed_error(message.error)
    value = message.body if isinstance(message, Operation) else message.value
    return None if value is None else value.raw


def encode(message: Message, refs: Refs = NO_REFS, *, now: float) -> bytes:
    """Encode a message, `refs` in the place of what is live in it.

    now: see `encode_request`.

    Raises:
        Invalid: it holds what can't be carried.
        TooLarge: see `raw_value`.
    """
    value = raw_value(message) if refs.value is None else None
    if isinstance(message, Operation):
        return encode_request(message, value, refs, now=now)
    return encode_reply(message, value, refs)


def complete(message: Message, data: bytes) -> None:
    """Put a body or value that came out of band into its message."""
    if isinstance(message, Operation):
        message.body = Json(data)
    elif isinstance(message, Log):
        message.line = data
    elif isinstance(message, Error):
        message.error = unpacked_error(data)
    else:
        message.value = Json(data, BadAnswer)
