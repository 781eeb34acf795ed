"""The fields of a message that came: each is checked for its type before anything is made of it. Imports no trio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, cast

from ..operation import Meta
from ..trace_context import TraceContext
from ..verbs import Verb
from .errors import WireError, shown
from .plain_data import is_array, is_map, unpacked
from .references import OutOfBandValue, Ref, RefKind, Refs

TEXT: Final = frozenset({str})
_META_FORMS: Final = {(str, str, list), (str, str, list, str, str)}
_VERBS: Final = {verb.value: verb for verb in Verb}


def fields_of(
    data: bytes | memoryview, count: int, what: str, *, escapes: bool
) -> tuple[list[Any], list[Ref | OutOfBandValue]]:
    """Read the fields of a message, and the references among them.

    escapes: whether text may stand for bytes.

    Raises:
        WireError: these bytes are not exactly one array of `count` fields. Likewise all below, of their field.
    """
    found: list[Ref | OutOfBandValue] = []
    fields = unpacked(data, found, escapes=escapes)
    if not is_array(fields) or len(fields) != count:
        raise WireError(f"invalid {what}: expected an array of {count} fields, got {shown(fields)}")
    return fields, found


def check_places(refs: Refs, found: Sequence[Ref | OutOfBandValue]) -> None:
    """Check that no reference stands elsewhere than in the fields for them."""
    if len(found) != len(refs) - refs.count(None):
        raise WireError("unexpected reference")


def value_of(given: object) -> tuple[OutOfBandValue | None, bytes | None]:
    """Read a body or value: the reference to it, or its bytes."""
    if given is None or type(given) is bytes:
        return None, given
    if isinstance(given, OutOfBandValue):
        return given, None
    raise WireError(f"invalid value: expected nil, bytes or a reference to them, got {shown(given)}")


def ref_of(field: object, name: str, allowed: frozenset[RefKind]) -> Ref | None:
    """Read a reference."""
    if field is None:
        return None
    if not isinstance(field, Ref) or field.kind not in allowed:
        raise WireError(
            f"invalid {name}: expected nil or a reference of type {sorted(map(int, allowed))}, got {shown(field)}"
        )
    return field


def verb_of(field: object) -> Verb:
    """Read a verb."""
    known = _VERBS.get(field) if type(field) is str else None
    if known is None:
        raise WireError(f"unknown verb {shown(field)}: expected one of {', '.join(_VERBS)}")
    return known


def path_of(field: object) -> tuple[str, ...]:
    """Read a path."""
    if not is_array(field) or not set(map(type, field)) <= TEXT:
        raise WireError(f"invalid path: expected an array of text, got {shown(field)}")
    return tuple(field)


def map_of(field: object) -> dict[str, Any]:
    """Read parameters or details."""
    if not is_map(field):
        raise WireError(f"invalid parameters or details: expected a map, got {shown(field)}")
    return field


def meta_of(field: object) -> Meta:
    """Read a request's meta."""
    if not is_array(field) or tuple(map(type, field)) not in _META_FORMS:
        expected = "nil, or caller, version and an array of headers, perhaps with traceparent and tracestate"
        raise WireError(f"invalid meta: expected {expected}, got {shown(field)}")
    caller, version, headers, *trace = field
    for header in headers:
        if not is_array(header) or list(map(type, header)) != [str, str]:
            raise WireError(f"invalid header: expected an array of two texts, got {shown(header)}")
    context = TraceContext.read(trace[:1], trace[1:]) if trace else None
    return Meta(caller, version, tuple((name, value) for name, value in headers), context)


def time_left_of(field: object) -> float:
    """Read how many seconds are left until the deadline."""
    if type(field) not in (int, float) or not 0 <= (seconds := cast("float", field)) < math.inf:
        raise WireError(f"invalid time left: expected nil or a number of seconds from 0 on, got {shown(field)}")
    return seconds
