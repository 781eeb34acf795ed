"""The form of requests and replies: msgpack, with extension types where they hold something live.

    request    [verb, path, params, body, reply, upload, meta, time left]
    reply      [kind, details, value, stream]

What is live (where the replies go, byte streams) is a reference: an extension type whose data is a number. Who encodes
chooses the numbers, who decodes maps them. A body or value too big for one frame is a reference too, and comes on a
stream of its own.

Text that stands for bytes which are no UTF-8 (PEP 383, as Python names files), such as the path of an archive, goes as
these bytes under an extension type, in the values of parameters only. Arrays stay lists and tuples stay tuples (an
extension type), so that what a backend puts into `details` arrives as its readers know it. Imports no trio: the time is
what the caller says it is.
"""

from __future__ import annotations

import math
import reprlib
import struct
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeGuard, cast

import msgpack as untyped_msgpack

from ..errors import ERRORS, BadAnswer, Invalid, SwarmError, TooLarge
from ..reply import Ack, Error, Log, Reply, Set
from ..request import NO_META, Meta, Request, Verb
from ..values import Json

MAX_NESTED: Final = 8
"""How deep tuples may lie in tuples: each level costs the decoder 40 KiB of the C stack."""
MAX_ERROR: Final = 1024 * 1024
"""Bytes of an error. What stands in it is decoded at once, to several times as much."""


msgpack: Final[Any] = untyped_msgpack


class WireError(Invalid):
    """What came breaks the format or the rules of the wire; it says what came, and what would be right."""


class RefKind(IntEnum):
    """What a reference stands for; the number is its extension type."""

    CHANNEL = 1
    STREAM = 2
    DUPLEX = 3


_VALUE: Final = 5
_TUPLE: Final = 6
_BYTES_AS_TEXT: Final = 7
_ESCAPES: Final = "surrogateescape"


class Ref(NamedTuple):
    """What is live in a request or reply: where replies go, a byte stream one way or both ways."""

    kind: RefKind
    id: int


class Apart(NamedTuple):
    """A body or value that is not in its message: `length` bytes, which come on the stream `id`."""

    id: int
    length: int


class Refs(NamedTuple):
    """The references of one request or reply."""

    reply: Ref | None = None
    stream: Ref | None = None
    """Of the upload, or of an ack's stream."""
    value: Apart | None = None
    """Of the body, or of a reply's value."""


NO_REFS: Final = Refs()

_ID: Final = struct.Struct("!Q")
_ID_LENGTH: Final = struct.Struct("!QQ")


def raw_value(message: Request | Reply) -> bytes | None:
    """The bytes of a request's body, or of a reply's value; None where it has none.

    Raises:
        Invalid: it is nothing that JSON can express, or the details of an error hold what can't be carried.
        TooLarge: it is an error of over `MAX_ERROR` bytes.
    """
    if isinstance(message, Log):
        return message.line
    if isinstance(message, Error):
        return _packed_error(message.error)
    value = message.body if isinstance(message, Request) else message.value
    return None if value is None else value.raw


def encode(message: Request | Reply, refs: Refs = NO_REFS, *, now: float) -> bytes:
    """The bytes of a request or reply, `refs` in the place of what is live in it.

    now: the time on the clock of `Request.deadline`; what is left until then goes over.

    Raises:
        Invalid: it holds what can't be carried, such as a parameter that is no plain data.
    """
    return pack(message, raw_value(message) if refs.value is None else refs.value, refs, now=now)


def pack(message: Request | Reply, value: bytes | Apart | None, refs: Refs, *, now: float) -> bytes:
    """`encode`, for who knows the bytes of the value already."""
    packable = _ext_apart(value) if isinstance(value, Apart) else value
    if isinstance(message, Request):
        return _pack_request(message, packable, refs, now)
    details: Mapping[str, Any] = {} if isinstance(message, Error) else message.details
    fields = [message.kind, _as_map(details), packable, _optional_ext(refs.stream)]
    try:
        return _packed(fields)
    except _UNPACKABLE as exc:
        raise Invalid(f"this `{message.kind}` reply can't be carried: {exc}") from exc


def _pack_request(request: Request, body: Any, refs: Refs, now: float) -> bytes:
    fields: list[Any] = [
        request.verb._value_,
        list(request.path),
        _as_map(request.params),
        body,
        _optional_ext(refs.reply),
        _optional_ext(refs.stream),
        None if request.meta is NO_META else _plain_meta(request.meta),
        None if request.deadline == math.inf else max(0.0, request.deadline - now),
    ]
    try:
        try:
            return _packed(fields)
        except UnicodeEncodeError:
            fields[_PARAMS] = _with_bytes(fields[_PARAMS])
            return _packed(fields)
    except _UNPACKABLE as exc:
        raise Invalid(f"this {request.verb} request can't be carried: {exc}", path=request.path) from exc


def _plain_meta(meta: Meta) -> list[Any]:
    return [meta.caller, meta.version, [list(header) for header in meta.headers]]


def _as_map(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return given if _is_map(given) else dict(given)


def _optional_ext(ref: Ref | None) -> Any:
    return None if ref is None else msgpack.ExtType(ref.kind, _ID.pack(ref.id))


_PARAMS: Final = 2


def _with_bytes(value: Any) -> Any:
    """Parameters, text in their values that is no UTF-8 as the bytes that it stands for."""
    if isinstance(value, str):
        return msgpack.ExtType(_BYTES_AS_TEXT, value.encode(errors=_ESCAPES)) if _is_no_utf8(value) else value
    if isinstance(value, tuple):
        return tuple(map(_with_bytes, cast("tuple[Any, ...]", value)))
    if isinstance(value, list):
        return list(map(_with_bytes, cast("list[Any]", value)))
    if isinstance(value, Mapping):
        return {name: _with_bytes(each) for name, each in cast("Mapping[Any, Any]", value).items()}
    return value


def _is_no_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _packed_error(error: SwarmError) -> bytes:
    fields: list[Any] = [error.code, error.message, error.backend, list(error.path), dict(error.details)]
    try:
        packed = _packed(fields)
    except _UNPACKABLE as exc:
        raise Invalid(f"the details of this {error.code} error can't be carried: {exc}") from exc
    if len(packed) > MAX_ERROR:
        raise TooLarge(f"an error of {len(packed)} bytes: the wire takes {MAX_ERROR}")
    return packed


def decode_request(data: bytes | memoryview, *, now: float) -> tuple[Request, Refs]:
    """A request and its references; the inverse of `encode`.

    Nobody waits for its replies yet, its upload is None, and so is its body where it is apart (`refs.value`). What its
    path, parameters and meta hold is not judged here, but by `validation`, which can answer.

    Raises:
        WireError: these bytes are not exactly one request.
    """
    fields, found = _fields(data, 8, "a request", escapes=True)
    verb, path, params, body, reply, upload, meta, left = fields
    apart, body = _value(body)
    refs = Refs(_of(reply, "reply", _CHANNELS), _of(upload, "upload", _STREAM), apart)
    if refs.reply is None:
        raise WireError("a request says where its replies go")
    _check_places(refs, found)
    request = Request(_verb(verb), (), _map(params), None if body is None else Json(body))
    request.path = _path(path)
    request.meta = NO_META if meta is None else _meta(meta)
    request.deadline = math.inf if left is None else now + _left(left)
    return request, refs


def decode_reply(data: bytes | memoryview) -> tuple[Reply, Refs]:
    """A reply and its references; the inverse of `encode`. Its stream is None, and its value is empty where it is
    apart (`refs.value`).

    Raises:
        WireError: these bytes are not exactly one reply.
    """
    fields, found = _fields(data, 4, "a reply", escapes=False)
    kind, details, value, stream = fields
    apart, value = _value(value)
    refs = NO_REFS
    if found:
        refs = Refs(None, _of(stream, "stream", _STREAMS), apart)
        _check_places(refs, found)
    elif stream is not None:
        raise WireError(f"a stream is a reference or nil, not {shown(stream)}")
    made = _REPLIES.get(kind) if type(kind) is str else None
    if made is None:
        raise WireError(f"{shown(kind)} is no reply; they are {', '.join(_REPLIES)}")
    if stream is not None and kind != Ack.kind:
        raise WireError(f"a stream given by `{kind}`: only an `ack` gives one")
    length = len(value or b"") if apart is None else apart.length
    if kind == Error.kind and length > MAX_ERROR:
        raise WireError(f"an error of {length} bytes: it may have {MAX_ERROR}")
    return made(_map(details), b"" if apart is not None else value), refs


def complete(message: Request | Reply, data: bytes) -> None:
    """Put a body or value that came apart into its request or reply."""
    if isinstance(message, Request):
        message.body = Json(data)
    elif isinstance(message, Log):
        message.line = data
    elif isinstance(message, Error):
        message.error = _unpacked_error(data)
    else:
        message.value = Json(data, BadAnswer)


def _fields(data: bytes | memoryview, count: int, what: str, *, escapes: bool) -> tuple[list[Any], list[Ref | Apart]]:
    found: list[Ref | Apart] = []
    fields = _unpacked(data, found, escapes=escapes)
    if not _is_array(fields) or len(fields) != count:
        raise WireError(f"{what} is an array of {count} fields, not {shown(fields)}")
    return fields, found


def _value(given: object) -> tuple[Apart | None, bytes | None]:
    if isinstance(given, Apart):
        return given, None
    if given is None or type(given) is bytes:
        return None, given
    raise WireError(f"a value is nil, bytes or a reference to them, not {shown(given)}")


def _check_places(refs: Refs, found: Sequence[Ref | Apart]) -> None:
    if len(found) != len(refs) - refs.count(None):
        raise WireError("a reference stands where none may")


def _json(value: bytes | None) -> Json | None:
    """The JSON of a reply. Where it is none, that is the peer's fault."""
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
        raise WireError("an `error` has its error as the value, and no details beside it")
    return Error(_unpacked_error(value))


_REPLIES: Final[Mapping[str, Callable[[dict[str, Any], bytes | None], Reply]]] = {
    Ack.kind: _ack,
    Set.kind: _set,
    Log.kind: _log,
    Error.kind: _error,
}


def _unpacked_error(data: bytes) -> SwarmError:
    """The error that a peer tells of; a `BadAnswer` where what it says is none."""
    found: list[Ref | Apart] = []
    try:
        fields = _unpacked(data, found)
        if not _is_array(fields) or len(fields) != 5 or found:
            return BadAnswer(f"an error is an array of 5 plain fields, not {shown(fields)}")
        code, message, backend, path, details = fields
        if not set(map(type, (code, message, backend))) <= _TEXT:
            return BadAnswer(f"an error's code, message and backend are text, not {shown([code, message, backend])}")
        # A newer peer may know more codes.
        kind = ERRORS.get(code, BadAnswer)
        return kind(message, backend=backend, path=_path(path), details=_map(details))
    except WireError as exc:
        return BadAnswer(f"the answer is an error that can't be read: {exc.message}")


_VERBS: Final = {verb.value: verb for verb in Verb}
_CHANNELS: Final = frozenset({RefKind.CHANNEL})
_STREAM: Final = frozenset({RefKind.STREAM})
_STREAMS: Final = frozenset({RefKind.STREAM, RefKind.DUPLEX})


def _verb(verb: object) -> Verb:
    known = _VERBS.get(verb) if type(verb) is str else None
    if known is None:
        raise WireError(f"{shown(verb)} is no verb; they are {', '.join(_VERBS)}")
    return known


def _path(path: object) -> tuple[str, ...]:
    if not _is_array(path) or not set(map(type, path)) <= _TEXT:
        raise WireError(f"a path is an array of text, not {shown(path)}")
    return tuple(path)


def _map(found: object) -> dict[str, Any]:
    if not _is_map(found):
        raise WireError(f"parameters and details are maps, not {shown(found)}")
    return found


def _meta(found: object) -> Meta:
    if not _is_array(found) or list(map(type, found)) != [str, str, list]:
        raise WireError(f"meta is nil, or caller, version and an array of headers, not {shown(found)}")
    caller, version, headers = found
    for header in headers:
        if not _is_array(header) or list(map(type, header)) != [str, str]:
            raise WireError(f"a header is an array of two texts, not {shown(header)}")
    return Meta(caller, version, tuple((name, value) for name, value in headers))


_TEXT: Final = frozenset({str})


def _is_array(found: object) -> TypeGuard[list[Any]]:
    return type(found) is list


def _is_map(found: object) -> TypeGuard[dict[Any, Any]]:
    return type(found) is dict


def _left(left: object) -> float:
    if type(left) not in (int, float) or not 0 <= (seconds := cast("float", left)) < math.inf:
        raise WireError(f"the time left is nil or a number of seconds from 0 on, not {shown(left)}")
    return seconds


def _of(field: object, name: str, allowed: frozenset[RefKind]) -> Ref | None:
    if field is None:
        return None
    if not isinstance(field, Ref) or field.kind not in allowed:
        raise WireError(f"{name} is nil or a reference of type {sorted(map(int, allowed))}, not {shown(field)}")
    return field


_short: Final = reprlib.Repr()
_short.maxlevel = 2


def shown(found: object) -> str:
    """What came instead, for an error's text: cut short, for it may be anything, nested a thousand deep."""
    if _is_array(found):
        return f"an array of {len(found)}: {_short.repr(found)[:60]}"
    return f"{type(found).__name__} {_short.repr(found)[:60]}"


# msgpack, both ways. A packer is no reentrant thing, and a tuple is packed in the midst of what holds it: so they are
# taken from a pile.

_UNPACKABLE: Final = (TypeError, ValueError, OverflowError)
_packers: Final[list[Any]] = []


def _packed(data: Any) -> bytes:
    packer = _packers.pop() if _packers else msgpack.Packer(default=_default, strict_types=True, buf_size=4096)
    try:
        packed: bytes = packer.pack(data)
    except BaseException:
        packer.reset()
        raise
    finally:
        _packers.append(packer)
    return packed


def _default(found: Any) -> Any:
    """What msgpack knows no exact type for: tuples, and subclasses of the types that it knows (an enum's member)."""
    if isinstance(found, tuple):
        return msgpack.ExtType(_TUPLE, _packed(list(cast("tuple[Any, ...]", found))))
    if isinstance(found, str):
        return str.__str__(found)
    if isinstance(found, int):
        return int(found)
    if isinstance(found, float):
        return float(found)
    if isinstance(found, list):
        return list(cast("list[Any]", found))
    if isinstance(found, Mapping):
        return dict(cast("Mapping[Any, Any]", found))
    raise TypeError(f"{type(found).__name__} is no plain data")


def _ext_apart(apart: Apart) -> Any:
    return msgpack.ExtType(_VALUE, _ID_LENGTH.pack(apart.id, apart.length))


class TooDeep:
    """Stands for tuples that lie over `MAX_NESTED` deep in each other."""


_TOO_DEEP: Final = TooDeep()
_MALFORMED: Final = (msgpack.UnpackException, ValueError, TypeError)


def _unpacked(data: bytes | memoryview, found: list[Ref | Apart], depth: int = 0, *, escapes: bool = False) -> Any:
    """One msgpack object; the references in it are also put into `found`. escapes: whether text may stand for bytes."""

    def hook(code: int, data: bytes) -> Any:
        if code == _TUPLE:
            return _unpacked_tuple(data, found, depth + 1, escapes=escapes)
        if code == _BYTES_AS_TEXT and escapes:
            return _bytes_as_text(data)
        ref = _unpacked_ref(code, data)
        found.append(ref)
        return ref

    try:
        return msgpack.unpackb(data, ext_hook=hook, strict_map_key=False)  # what keys may be is `validation`'s to say
    except WireError:
        raise
    except msgpack.ExtraData as exc:
        raise WireError(f"{len(exc.extra)} bytes stand after the end of a msgpack object") from exc
    except _MALFORMED as exc:
        raise WireError(f"this is not msgpack: {exc or type(exc).__name__}") from exc


def _bytes_as_text(data: bytes) -> str:
    text = data.decode(errors=_ESCAPES)
    if not _is_no_utf8(text):
        raise WireError("extension type 7 holds UTF-8, which goes as text: one text has one form")
    return text


def _unpacked_tuple(data: bytes, found: list[Ref | Apart], depth: int, *, escapes: bool) -> Any:
    if depth > MAX_NESTED:
        return _TOO_DEEP
    items = _unpacked(data, found, depth, escapes=escapes)
    if not _is_array(items):
        raise WireError(f"a tuple is an array, not {shown(items)}")
    return tuple(items)


def _unpacked_ref(code: int, data: bytes) -> Ref | Apart:
    if code == _VALUE and len(data) == _ID_LENGTH.size:
        return Apart(*_ID_LENGTH.unpack(data))
    kind = _REF_KINDS.get(code)
    if kind is None or len(data) != _ID.size:
        raise WireError(f"no extension type {code} with {len(data)} bytes is known")
    return Ref(kind, _ID.unpack(data)[0])


_REF_KINDS: Final = {kind.value: kind for kind in RefKind}
