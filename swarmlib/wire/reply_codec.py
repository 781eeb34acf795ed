"""The form of replies: `[kind, details, value, stream]`. Imports no trio."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..errors import ERRORS, BadAnswer, Invalid, SwarmError, TooLarge
from ..reply import Ack, Error, Log, Reply, Set
from ..values import Json
from .errors import WireError, shown
from .fields import TEXT, check_places, fields_of, map_of, path_of, ref_of, value_of
from .plain_data import UNPACKABLE, as_map, is_array, packed, packed_ref, packed_value, unpacked
from .references import NO_REFS, OutOfBandValue, Ref, RefKind, Refs

MAX_ERROR: Final = 1024 * 1024
"""Bytes of an error. What stands in it is decoded at once, to several times as much."""
_STREAMS: Final = frozenset({RefKind.STREAM, RefKind.DUPLEX})


def encode_reply(reply: Reply, value: bytes | None, refs: Refs) -> bytes:
    """Encode a reply, `refs` in the place of what is live in it.

    value: its bytes, which go with it unless they are out of band (`refs.value`).

    Raises:
        Invalid: it holds what can't be carried, such as a detail that is no plain data.
    """
    details: Mapping[str, Any] = {} if isinstance(reply, Error) else reply.details
    try:
        return packed(
            [
                reply.kind,
                as_map(details),
                value if refs.value is None else packed_value(refs.value),
                packed_ref(refs.stream),
            ]
        )
    except UNPACKABLE as exc:
        raise Invalid(f"this `{reply.kind}` reply can't be carried: {exc}") from exc


def packed_error(error: SwarmError) -> bytes:
    """Encode an error: the value of the reply that tells of it.

    Raises:
        Invalid: its details hold what can't be carried.
        TooLarge: it takes over `MAX_ERROR` bytes.
    """
    fields: list[Any] = [error.code, error.message, error.backend, list(error.path), dict(error.details)]
    try:
        found = packed(fields)
    except UNPACKABLE as exc:
        raise Invalid(f"the details of this {error.code} error can't be carried: {exc}") from exc
    if len(found) > MAX_ERROR:
        raise TooLarge(f"the error has {len(found)} bytes: the maximum is {MAX_ERROR}")
    return found


def decode_reply(data: bytes | memoryview) -> tuple[Reply, Refs]:
    """Decode a reply and its references; the inverse of `encode_reply`. Its stream is None, and its value is empty
    where it is out of band (`refs.value`).

    Raises:
        WireError: these bytes are not exactly one reply.
    """
    fields, found = fields_of(data, 4, "reply", escapes=False)
    kind, details, value, stream = fields
    out_of_band, value = value_of(value)
    refs = NO_REFS
    if found:
        refs = Refs(None, ref_of(stream, "stream", _STREAMS), out_of_band)
        check_places(refs, found)
    elif stream is not None:
        raise WireError(f"invalid stream: expected a reference or nil, got {shown(stream)}")
    made = _REPLIES.get(kind) if type(kind) is str else None
    if made is None:
        raise WireError(f"unknown reply {shown(kind)}: expected one of {', '.join(_REPLIES)}")
    if stream is not None and kind != Ack.kind:
        raise WireError(f"unexpected stream in `{kind}`: only an `ack` may have one")
    if out_of_band is not None:
        value = b""
    if kind == Error.kind:
        _check_length(len(value or b"") if out_of_band is None else out_of_band.length)
    return made(map_of(details), value), refs


def _check_length(error: int) -> None:
    if error > MAX_ERROR:
        raise WireError(f"the error has {error} bytes: the maximum is {MAX_ERROR}")


def _json(value: bytes | None) -> Json | None:
    """Keep the JSON of a reply. If it is not JSON, that is the peer's fault."""
    return None if value is None else Json(value, BadAnswer)


def _ack(details: dict[str, Any], value: bytes | None) -> Ack:
    return Ack(_json(value), details)


def _set(details: dict[str, Any], value: bytes | None) -> Set:
    return Set(_json(value), details)


def _log(details: dict[str, Any], value: bytes | None) -> Log:
    if value is None:
        raise WireError("a `log` without a line")
    return Log(value, details)


def _error(details: dict[str, Any], value: bytes | None) -> Error:
    if value is None or details:
        raise WireError("invalid `error`: expected the error as its value, and no details")
    return Error(unpacked_error(value))


_REPLIES: Final[Mapping[str, Callable[[dict[str, Any], bytes | None], Reply]]] = {
    Ack.kind: _ack,
    Set.kind: _set,
    Log.kind: _log,
    Error.kind: _error,
}


def unpacked_error(data: bytes) -> SwarmError:
    """Decode the error that a peer tells of; a `BadAnswer` if it is not an error."""
    found: list[Ref | OutOfBandValue] = []
    try:
        fields = unpacked(data, found)
        if not is_array(fields) or len(fields) != 5 or found:
            return BadAnswer(f"invalid error: expected an array of 5 plain fields, got {shown(fields)}")
        code, message, backend, path, details = fields
        if not set(map(type, (code, message, backend))) <= TEXT:
            return BadAnswer(
                f"invalid error: expected code, message and backend to be text, got {shown([code, message, backend])}"
            )
        # A newer peer may know more codes.
        kind = ERRORS.get(code, BadAnswer)
        return kind(message, backend=backend, path=path_of(path), details=map_of(details))
    except WireError as exc:
        return BadAnswer(f"the answer is an error that can't be read: {exc.message}")
