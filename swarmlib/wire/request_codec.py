"""The form of requests: `[verb, path, params, body, reply, upload, meta, time left]`.

What is live in one (where the replies go, the upload) is a reference: who encodes chooses the numbers, who decodes maps
them. Imports no trio: the time is what the caller says it is.
"""

from __future__ import annotations

import math
from typing import Any, Final

from ..errors import Invalid
from ..operation import NO_META, Meta, Operation
from ..values import Json
from .errors import WireError
from .fields import check_places, fields_of, map_of, meta_of, path_of, ref_of, time_left_of, value_of, verb_of
from .plain_data import UNPACKABLE, as_map, packed, packed_ref, packed_value, with_bytes
from .references import RefKind, Refs

_PARAMS: Final = 2
_CHANNEL: Final = frozenset({RefKind.CHANNEL})
_STREAM: Final = frozenset({RefKind.STREAM})


def encode_request(request: Operation, body: bytes | None, refs: Refs, *, now: float) -> bytes:
    """Encode a request, `refs` in the place of what is live in it.

    body: its bytes, which go with it unless they are out of band (`refs.value`).
    now: the time on the clock of `Operation.deadline`; what is left until then goes over.

    Raises:
        Invalid: it holds what can't be carried, such as a parameter that is no plain data.
    """
    meta = request.meta
    fields: list[Any] = [
        request.verb._value_,
        list(request.path),
        as_map(request.params),
        body if refs.value is None else packed_value(refs.value),
        packed_ref(refs.reply),
        packed_ref(refs.stream),
        None if meta is NO_META else _packed_meta(meta),
        None if request.deadline == math.inf else max(0.0, request.deadline - now),
    ]
    try:
        try:
            return packed(fields)
        except UnicodeEncodeError:
            fields[_PARAMS] = with_bytes(fields[_PARAMS])
            return packed(fields)
    except UNPACKABLE as exc:
        raise Invalid(f"this {request.verb} request can't be carried: {exc}", path=request.path) from exc


def _packed_meta(meta: Meta) -> list[Any]:
    fields: list[Any] = [meta.caller, meta.version, [list(header) for header in meta.headers]]
    return fields if meta.trace is None else [*fields, meta.trace.parent, meta.trace.state]


def decode_request(data: bytes | memoryview, *, now: float) -> tuple[Operation, Refs]:
    """Decode a request and its references; the inverse of `encode_request`.

    Its body is None where it is out of band (`refs.value`). What its path, parameters and meta hold is not judged here,
    but by `validation`, which can answer.

    Raises:
        WireError: these bytes are not exactly one request.
    """
    fields, found = fields_of(data, 8, "request", escapes=True)
    verb, path, params, body, reply, upload, meta, left = fields
    out_of_band, body = value_of(body)
    refs = Refs(ref_of(reply, "reply", _CHANNEL), ref_of(upload, "upload", _STREAM), out_of_band)
    if refs.reply is None:
        raise WireError("invalid request: its field reply is missing")
    check_places(refs, found)
    request = Operation(verb_of(verb), (), map_of(params), None if body is None else Json(body))
    request.path = path_of(path)
    request.meta = NO_META if meta is None else meta_of(meta)
    request.deadline = math.inf if left is None else now + time_left_of(left)
    return request, refs
