"""What a message that came may hold: it is checked before any stage sees it. Imports no trio.

The codec has read the message's form. A fault in what it holds ends that call only: a peer may serve many clients, and
what one of them sends must not end the calls of the others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from ..errors import BadAnswer, Invalid, SwarmError
from ..message import CALLER, Json, Message, Verb
from ..names import check_path
from .codec import MAX_NESTED, TooDeep

MAX_DEPTH: Final = 16
"""How deep lists and maps may lie in an argument."""
MAX_NAME: Final = 256
"""Characters of an argument's name."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ABOUT_THE_CALL: Final = re.compile(r":[a-z0-9-]+")
_HEADER_TEXT: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""What may stand in a field of an HTTP head (RFC 9110, section 5.5), each byte as a character."""
_PLAIN: Final = frozenset({type(None), bool, int, str, bytes})


def check_request(message: Message, most: int) -> None:
    """Check a request that a peer sent.

    most: how many arguments it may have.

    Raises:
        Invalid, TooLarge: its path is not one, an argument is no plain data, or its value is an error.
    """
    if message.path:
        check_path(message.path)
    if message.args:
        _check_args(message.args, most)
    if isinstance(message.value, SwarmError):
        raise Invalid(f"the value of a {message.verb} request is an error, which only an error reply holds")


def check_reply(message: Message, most: int) -> None:
    """Check a reply that a peer sent. Its JSON, once somebody looks at it, is the peer's fault where it is none.

    Raises:
        BadAnswer: it is not what its verb allows, or an argument is no plain data.
    """
    verb, value = message.verb, message.value
    if type(value) is Json:
        message.value = Json(value.raw, BadAnswer)
    if not isinstance(value, _VALUES[verb]):
        raise BadAnswer(f"it answered with {verb} and {_kind(value)}, where that verb has another value")
    try:
        _check_args(message.args, most)
        if isinstance(value, SwarmError):
            _check_plain("the details of an error", value.details, MAX_DEPTH)
    except Invalid as exc:
        raise BadAnswer(f"it answered with {verb}, and {exc.message}") from exc


_VALUES: Final[Mapping[Verb, tuple[type, ...]]] = {
    Verb.ACK: (Json, type(None)),
    Verb.SET: (Json, type(None)),
    Verb.LOG: (bytes,),
    Verb.ERROR: (SwarmError,),
}


def _kind(value: object) -> str:
    return "no value" if value is None else f"a value of type {type(value).__name__}"


def _check_args(args: Mapping[Any, Any], most: int) -> None:
    if len(args) > most:
        raise Invalid(f"there are {len(args)} arguments: there may be {most}")
    for name, value in args.items():
        # What nearly all are. A name's first character tells what is about the call itself.
        if not (type(value) is str and type(name) is str and name.isalnum() and len(name) <= MAX_NAME):
            _check_arg(name, value)


def _check_arg(name: object, value: object) -> None:
    if type(name) is not str or len(name) > MAX_NAME or _CONTROL.search(name):
        raise Invalid(f"{_shown(name)} is no argument's name: that is text of {MAX_NAME} characters at most")
    if not name.startswith(":"):
        _check_plain(f"the argument {name!r}", value, MAX_DEPTH)
    elif name != CALLER:  # which this side has set itself
        _check_about_the_call(name, value)


def _check_about_the_call(name: str, value: object) -> None:
    """Check what sources say of a call beside its parameters: a version, headers that are kept."""
    if not _ABOUT_THE_CALL.fullmatch(name):
        raise Invalid(f"{name!r} is no argument's name: after a colon stand small letters, digits and hyphens")
    if not all(type(text) is str and _HEADER_TEXT.fullmatch(text) for text in _texts(value)):
        raise Invalid(f"the argument {name!r} should be text (or headers) without control characters")


def _texts(value: object) -> Iterable[object]:
    """The texts of an argument about the call: it is one itself, or a map of headers, each with a list of values."""
    if not isinstance(value, dict):
        return (value,)
    headers = cast("dict[object, object]", value)
    given = [cast("list[object]", each) if type(each) is list else [None] for each in headers.values()]
    return [*headers, *(text for texts in given for text in texts)]


def _check_plain(what: str, value: Any, depth: int) -> None:
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind is float:
        if not math.isfinite(value):
            raise Invalid(f"{what} holds {value}, which is no finite number")
    elif not depth or kind is TooDeep:
        raise Invalid(f"{what} is nested too deep: {MAX_DEPTH} lists and maps, of tuples {MAX_NESTED}, is the most")
    elif kind is dict:
        if not all(type(name) is str for name in value):
            raise Invalid(f"{what} holds a map whose keys are not all text")
        for each in value.values():
            _check_plain(what, each, depth - 1)
    elif kind is list or kind is tuple:
        for each in value:
            _check_plain(what, each, depth - 1)
    else:
        raise Invalid(f"{what} holds a {kind.__name__}, which is no plain data")


def _shown(found: object) -> str:
    return repr(found[:60]) if isinstance(found, str | bytes) else f"a {type(found).__name__}"
