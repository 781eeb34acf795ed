"""What a request or reply that came may hold: it is checked before any stage sees it. Imports no trio.

The codec has read its form. A fault in what it holds ends that call only: a peer may serve many clients, and
what one of them sends must not end the calls of the others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from ..errors import BadAnswer, Invalid
from ..names import check_path
from ..operation import NO_META, Meta, Operation
from ..reply import Error, Reply
from .plain_data import MAX_NESTED, TooDeep

MAX_DEPTH: Final = 16
"""How deep lists and maps may lie in a parameter."""
MAX_NAME: Final = 256
"""Characters of a parameter's name."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of characters: only a value may be text that stands for bytes."""
_HEADER_NAME: Final = re.compile(r"[a-z0-9-]+").fullmatch
_HEADER_TEXT: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
"""What may stand in a field of an HTTP head (RFC 9110, section 5.5), each byte as a character."""
_PLAIN: Final = frozenset({type(None), bool, int, str, bytes})


def check_request(request: Operation, most: int) -> None:
    """Check a request that a peer sent.

    most: how many parameters it may have.

    Raises:
        Invalid, TooLarge: its path is not one, a parameter is no plain data, or a header could not stand in HTTP.
    """
    if request.path:
        check_path(request.path)
    if request.params:
        _check_plain_map("parameter", request.params, most)
    if request.meta is not NO_META:
        _check_meta(request.meta, most)


def check_reply(reply: Reply, most: int) -> None:
    """Check a reply that a peer sent.

    Raises:
        BadAnswer: one of its details is no plain data.
    """
    try:
        details = reply.error.details if isinstance(reply, Error) else reply.details
        if details:
            _check_plain_map("detail", details, most)
    except Invalid as exc:
        raise BadAnswer(f"invalid `{reply.kind}`: {exc.message}") from exc


def _check_meta(meta: Meta, most: int) -> None:
    """Check what the peer says of a call beside its parameters: it may end up in the head of an HTTP request."""
    if len(meta.headers) > most:
        raise Invalid(f"the request has {len(meta.headers)} headers: the maximum is {most}")
    if not _HEADER_TEXT(meta.version):
        raise Invalid("invalid version in meta: expected text without control characters")
    for name, value in meta.headers:
        if not _HEADER_NAME(name):
            raise Invalid(f"invalid header name {_shown(name)}: expected lower-case letters, digits and hyphens")
        if not _HEADER_TEXT(value):
            raise Invalid(f"invalid header {name!r}: expected text without control characters")


def _check_plain_map(kind: str, given: Mapping[Any, Any], most: int) -> None:
    """Check parameters or details. kind: what one of them is called."""
    if len(given) > most:
        raise Invalid(f"there are {len(given)} {kind}s: the maximum is {most}")
    for name, value in given.items():
        # What nearly all are.
        if not (type(value) is str and type(name) is str and name.isalnum() and len(name) <= MAX_NAME):
            _check_named(kind, name, value)


def _check_named(kind: str, name: object, value: Any) -> None:
    if type(name) is not str or len(name) > MAX_NAME:
        raise Invalid(f"invalid {kind} name {_shown(name)}: expected text of at most {MAX_NAME} characters")
    if _CONTROL.search(name):
        raise Invalid(f"invalid {kind} name {_shown(name)}: it contains a control character")
    if type(value) not in _PLAIN:
        _check_plain(f"{kind} {name!r}", value, MAX_DEPTH)


def _check_plain(what: str, value: Any, depth: int) -> None:
    """Check a value that is no scalar of `_PLAIN`."""
    kind = cast("type[Any]", type(value))
    if kind is float:
        if not math.isfinite(value):
            raise Invalid(f"invalid {what}: {value} is not a finite number")
    elif not depth or kind is TooDeep:
        raise Invalid(
            f"invalid {what}: nested too deep (the maximum is {MAX_DEPTH} for lists and maps, {MAX_NESTED} for tuples)"
        )
    elif kind is dict:
        if not all(type(key) is str for key in value):
            raise Invalid(f"invalid {what}: the keys of a map must be text")
        _check_all_plain(what, value.values(), depth - 1)
    elif kind is list or kind is tuple:
        _check_all_plain(what, value, depth - 1)
    else:
        raise Invalid(f"invalid {what}: {kind.__name__} is not plain data")


def _check_all_plain(what: str, values: Iterable[Any], depth: int) -> None:
    for each in values:
        if type(each) not in _PLAIN:
            _check_plain(what, each, depth)


def _shown(found: object) -> str:
    return repr(found[:60]) if isinstance(found, str | bytes) else f"a {type(found).__name__}"
