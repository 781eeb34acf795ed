"""The form of one message: msgpack, with extension types where the message holds something live.

A message is one msgpack array of nine fields:

    [verb, path, args, kind, value, ret, channel, att, time left]

`kind` says what the bytes in `value` are: nothing, JSON text, bytes, or an error (itself a msgpack array). What is live
(`ret`, `channel`, `att`) is a reference: an extension type whose data is a number. Who encodes chooses the numbers,
who decodes maps them. A value too big for one frame is a reference too, and comes on a stream of its own.

Text that stands for bytes which are no UTF-8 (PEP 383, as Python names files), such as the path of an archive, goes as
these bytes under an extension type, in args only. Arrays stay lists and tuples stay tuples (an extension type), so that
what a backend puts into `args` or an error's `details` arrives as its readers know it. Imports no trio: the time is
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
from ..message import Json, Message, Verb

MAX_NESTED: Final = 8
"""How deep tuples may lie in tuples: each level costs the decoder 40 KiB of the C stack."""
MAX_ERROR: Final = 1024 * 1024
"""Bytes of an error. What stands in it is decoded at once, to several times as much."""


msgpack: Final[Any] = untyped_msgpack


class WireError(Invalid):
    """What came breaks the format or the rules of the wire; it says what came, and what would be right."""


class Kind(IntEnum):
    """What the bytes of a value are."""

    NOTHING = 0
    JSON = 1
    BYTES = 2
    ERROR = 3


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
    """A live thing in a message: a channel, a byte stream one way or both ways."""

    kind: RefKind
    id: int


class Apart(NamedTuple):
    """A value that is not in its message: `length` bytes, which come on the stream `id` and are what `kind` says."""

    id: int
    length: int
    kind: Kind = Kind.NOTHING


class Refs(NamedTuple):
    """The references of one message, each for the field of its name."""

    ret: Ref | None = None
    channel: Ref | None = None
    att: Ref | None = None
    value: Apart | None = None


NO_REFS: Final = Refs()

_ID: Final = struct.Struct("!Q")
_ID_LENGTH: Final = struct.Struct("!QQ")


def encode(message: Message, refs: Refs = NO_REFS, *, now: float) -> bytes:
    """The bytes of a message, `refs` in the place of what is live in it.

    now: the time on the clock of `message.deadline`; what is left until then goes over.

    Raises:
        Invalid: it holds what can't be carried, such as an argument that is no plain data.
    """
    if refs.value is None:
        return pack_message(message, *pack_value(message.value), refs, now=now)
    return pack_message(message, refs.value.kind, refs.value, refs, now=now)


def pack_message(message: Message, kind: Kind, value: bytes | Apart | None, refs: Refs, *, now: float) -> bytes:
    """`encode`, for who has packed the value already."""
    ret, channel, att, _ = refs
    fields: list[Any] = [
        message.verb._value_,
        list(message.path),
        message.args if _is_map(message.args) else dict(message.args),
        int(kind),
        _ext_apart(value) if isinstance(value, Apart) else value,
        None if ret is None else _ext(ret),
        None if channel is None else _ext(channel),
        None if att is None else _ext(att),
        None if message.deadline == math.inf else max(0.0, message.deadline - now),
    ]
    try:
        try:
            return _packed(fields)
        except UnicodeEncodeError:
            fields[_ARGS] = {name: _with_bytes(value) for name, value in fields[_ARGS].items()}
            return _packed(fields)
    except _UNPACKABLE as exc:
        raise Invalid(f"this {message.verb} message can't be carried: {exc}", path=message.path) from exc


_ARGS: Final = 2


def _with_bytes(value: Any) -> Any:
    """An argument, text in it that is no UTF-8 as the bytes that it stands for."""
    if isinstance(value, list | tuple):
        return list(map(_with_bytes, cast("Sequence[Any]", value)))
    if isinstance(value, str) and _is_no_utf8(value):
        return msgpack.ExtType(_BYTES_AS_TEXT, value.encode(errors=_ESCAPES))
    return value


def _is_no_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def pack_value(value: Json | bytes | SwarmError | None) -> tuple[Kind, bytes | None]:
    """What a value is, and its bytes.

    Raises:
        Invalid: it is no value, or the details of an error hold what can't be carried.
        TooLarge: it is an error of over `MAX_ERROR` bytes.
    """
    if value is None:
        return Kind.NOTHING, None
    if isinstance(value, Json):
        return Kind.JSON, value.raw
    if isinstance(value, SwarmError):
        return Kind.ERROR, _packed_error(value)
    if isinstance(value, bytes):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        return Kind.BYTES, value
    raise Invalid(f"a value is Json, bytes, an error or None, not {type(value).__name__}")


def _packed_error(error: SwarmError) -> bytes:
    fields: list[Any] = [error.code, error.message, error.backend, list(error.path), dict(error.details)]
    try:
        packed = _packed(fields)
    except _UNPACKABLE as exc:
        raise Invalid(f"the details of this {error.code} error can't be carried: {exc}") from exc
    if len(packed) > MAX_ERROR:
        raise TooLarge(f"an error of {len(packed)} bytes: the wire takes {MAX_ERROR}")
    return packed


def decode(data: bytes | memoryview, *, now: float) -> tuple[Message, Refs]:
    """A message and its references; the inverse of `encode`.

    The message's `ret`, `channel` and `att` are None, and so is the value if it is apart (`refs.value`). What its path
    and its args hold is not judged here, but by `validation`, which can answer.

    Raises:
        WireError: these bytes are not exactly one message.
    """
    found: list[Ref | Apart] = []
    fields = _unpacked(data, found, escapes=True)
    if not _is_array(fields) or len(fields) != 9:
        raise WireError(f"a message is an array of 9 fields, not {shown(fields)}")
    verb, path, args, kind, value, ret, channel, att, left = fields
    refs = NO_REFS
    if found:
        apart = None
        if isinstance(value, Apart):
            apart, kind, value = _at(value, kind), 0, None
        refs = Refs(_of(ret, "ret", _CHANNELS), _of(channel, "channel", _CHANNELS), _of(att, "att", _STREAMS), apart)
        if len(found) != 4 - refs.count(None):
            raise WireError("a reference stands where none may: only ret, channel, att and value are places for one")
    elif not (ret is channel is att is None):
        raise WireError(f"ret, channel and att are references or nil, not {shown([ret, channel, att])}")
    deadline = math.inf if left is None else now + _left(left)
    message = Message(_verb(verb), (), _args(args), unpack_value(kind, value), deadline=deadline)
    message.path = _path(path)
    return message, refs


def unpack_value(kind: int, data: bytes | None) -> Json | bytes | SwarmError | None:
    """The value that `kind` and bytes mean; the inverse of `pack_value`.

    Raises:
        WireError: the kind is unknown, or the bytes are missing.
    """
    if type(kind) is int:
        if data is None and kind == _NOTHING:
            return None
        read = _READERS.get(kind)
        if read is not None and type(data) is bytes:
            return read(data)
    raise WireError(f"a value is of kind 0 (nil), or 1, 2 or 3 (bytes), not {shown(kind)} with {shown(data)}")


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
        return kind(message, backend=backend, path=_path(path), details=_args(details))
    except WireError as exc:
        return BadAnswer(f"the answer is an error that can't be read: {exc.message}")


def _as_is(data: bytes) -> bytes:
    return data


_NOTHING: Final = int(Kind.NOTHING)
_READERS: Final[Mapping[int, Callable[[bytes], Json | bytes | SwarmError]]] = {
    int(Kind.JSON): Json,
    int(Kind.BYTES): _as_is,
    int(Kind.ERROR): _unpacked_error,
}
_VERBS: Final = {verb.value: verb for verb in Verb}
_CHANNELS: Final = frozenset({RefKind.CHANNEL})
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


def _args(args: object) -> dict[str, Any]:
    if not _is_map(args):
        raise WireError(f"args and details are maps, not {shown(args)}")
    return args


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


def _at(apart: Apart, kind: object) -> Apart:
    if type(kind) is not int or kind not in _READERS:
        raise WireError(f"a value that comes apart is of kind 1, 2 or 3, not {shown(kind)}")
    if kind == Kind.ERROR and apart.length > MAX_ERROR:
        raise WireError(f"an error of {apart.length} bytes: it may have {MAX_ERROR}")
    return apart._replace(kind=Kind(kind))


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


def _ext(ref: Ref) -> Any:
    return msgpack.ExtType(ref.kind, _ID.pack(ref.id))


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
            return _unpacked_tuple(data, found, depth + 1)
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


def _unpacked_tuple(data: bytes, found: list[Ref | Apart], depth: int) -> Any:
    if depth > MAX_NESTED:
        return _TOO_DEEP
    items = _unpacked(data, found, depth)
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
