"""Plain data in the form of the wire: msgpack, with extension types for what it has no type of its own for.

References are extension types whose data is their number. Text that stands for bytes which are no UTF-8 (PEP 383, as
Python names files), such as the path of an archive, goes as these bytes under an extension type, in the values of
parameters only. Arrays stay lists and tuples stay tuples (an extension type), so that what a backend puts into
`details` arrives as its readers know it. Imports no trio.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, TypeGuard, cast

import msgpack as untyped_msgpack

from .errors import WireError, shown
from .references import OutOfBandValue, Ref, RefKind

MAX_NESTED: Final = 8
"""How deep tuples may lie in tuples: each level costs the decoder 40 KiB of the C stack."""

msgpack: Final[Any] = untyped_msgpack
UNPACKABLE: Final = (TypeError, ValueError, OverflowError)
"""What `packed` raises for what is no plain data. For text that is no UTF-8 it is UnicodeEncodeError, a ValueError."""

_VALUE: Final = 5
_TUPLE: Final = 6
_BYTES_AS_TEXT: Final = 7
_ESCAPES: Final = "surrogateescape"
_ID: Final = struct.Struct("!Q")
_ID_LENGTH: Final = struct.Struct("!QQ")
_REF_KINDS: Final = {kind.value: kind for kind in RefKind}


def is_array(found: object) -> TypeGuard[list[Any]]:
    """Return whether it came as an array."""
    return type(found) is list


def is_map(found: object) -> TypeGuard[dict[Any, Any]]:
    """Return whether it came as a map."""
    return type(found) is dict


# What goes. A packer is no reentrant thing, and a tuple is packed in the midst of what holds it: so they are taken from
# a pile.

_packers: Final[list[Any]] = []


def packed(data: Any) -> bytes:
    """Pack plain data and references that are packed already. Raises `UNPACKABLE`."""
    packer = _packers.pop() if _packers else msgpack.Packer(default=_default, strict_types=True, buf_size=4096)
    try:
        found: bytes = packer.pack(data)
    except BaseException:
        packer.reset()
        raise
    finally:
        _packers.append(packer)
    return found


def _default(found: Any) -> Any:
    """Convert what msgpack has no exact type for: tuples, and subclasses of what it knows (an enum's member)."""
    if isinstance(found, tuple):
        return msgpack.ExtType(_TUPLE, packed(list(cast("tuple[Any, ...]", found))))
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
    raise TypeError(f"{type(found).__name__} is not plain data")


def packed_ref(ref: Ref | None) -> Any:
    """Pack a reference; None stays None."""
    return None if ref is None else msgpack.ExtType(ref.kind, _ID.pack(ref.id))


def packed_value(value: OutOfBandValue) -> Any:
    """Pack the reference to a value that travels out of band."""
    return msgpack.ExtType(_VALUE, _ID_LENGTH.pack(value.id, value.length))


def as_map(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `packed` takes for a map."""
    return given if is_map(given) else dict(given)


def with_bytes(value: Any) -> Any:
    """Pack text in the values of parameters that is no UTF-8 as the bytes that it stands for."""
    if isinstance(value, str):
        return msgpack.ExtType(_BYTES_AS_TEXT, value.encode(errors=_ESCAPES)) if _is_no_utf8(value) else value
    if isinstance(value, tuple):
        return tuple(map(with_bytes, cast("tuple[Any, ...]", value)))
    if isinstance(value, list):
        return list(map(with_bytes, cast("list[Any]", value)))
    if isinstance(value, Mapping):
        return {name: with_bytes(each) for name, each in cast("Mapping[Any, Any]", value).items()}
    return value


def _is_no_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


# What comes.


class TooDeep:
    """Stands for tuples that lie over `MAX_NESTED` deep in each other."""


_TOO_DEEP: Final = TooDeep()
_MALFORMED: Final = (msgpack.UnpackException, ValueError, TypeError)
Found: TypeAlias = list[Ref | OutOfBandValue]


def unpacked(data: bytes | memoryview, found: Found, depth: int = 0, *, escapes: bool = False) -> Any:
    """Unpack one msgpack object; the references in it are also put into `found`.

    escapes: whether text may stand for bytes.

    Raises:
        WireError: these bytes are not exactly one msgpack object, or hold an extension type that is unknown.
    """

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
        raise WireError(f"{len(exc.extra)} bytes after the end of a msgpack object") from exc
    except _MALFORMED as exc:
        raise WireError(f"invalid msgpack: {exc or type(exc).__name__}") from exc


def _bytes_as_text(data: bytes) -> str:
    text = data.decode(errors=_ESCAPES)
    if not _is_no_utf8(text):
        raise WireError("invalid extension type 7: UTF-8 must be sent as text")
    return text


def _unpacked_tuple(data: bytes, found: Found, depth: int, *, escapes: bool) -> Any:
    if depth > MAX_NESTED:
        return _TOO_DEEP
    items = unpacked(data, found, depth, escapes=escapes)
    if not is_array(items):
        raise WireError(f"invalid tuple: expected an array, got {shown(items)}")
    return tuple(items)


def _unpacked_ref(code: int, data: bytes) -> Ref | OutOfBandValue:
    if code == _VALUE and len(data) == _ID_LENGTH.size:
        return OutOfBandValue(*_ID_LENGTH.unpack(data))
    kind = _REF_KINDS.get(code)
    if kind is None or len(data) != _ID.size:
        raise WireError(f"unknown extension type {code} with {len(data)} bytes")
    return Ref(kind, _ID.unpack(data)[0])
