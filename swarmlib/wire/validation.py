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
from ..message import Json, Message, Verb
from ..names import check_path
from .codec import MAX_NESTED, TooDeep

MAX_DEPTH: Final = 16
"""How deep lists and maps may lie in an argument."""
MAX_NAME: Final = 256
"""Characters of an argument's name."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ABOUT_THE_CALL: Final = re.compile(r":[a-z0-9-]+").fullmatch
_HEADER_TEXT: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
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
        if message.args:
            _check_args(message.args, most)
        if isinstance(value, SwarmError):
            _check_args(value.details, most)
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


def _check_arg(name: object, value: Any) -> None:
    if type(name) is not str or len(name) > MAX_NAME:
        raise Invalid(f"{_shown(name)} is no argument's name: that is text of {MAX_NAME} characters at most")
    if name[:1] == ":":
        _check_about_the_call(name, value)
    elif _CONTROL.search(name):
        raise Invalid(f"{_shown(name)} is no argument's name: it holds a control character")
    elif type(value) not in _PLAIN:
        _check_plain(name, value, MAX_DEPTH)


def _check_about_the_call(name: str, value: Any) -> None:
    """Check what sources say of a call beside its parameters: a version, headers that are kept."""
    if not _ABOUT_THE_CALL(name):
        raise Invalid(f"{name!r} is no argument's name: after a colon stand small letters, digits and hyphens")
    if not (_HEADER_TEXT(value) if type(value) is str else _are_headers(value)):
        raise Invalid(f"the argument {name!r} should be text (or headers) without control characters")


def _are_headers(value: object) -> bool:
    """Whether it is a map of headers, each of which has a list of values."""
    if not isinstance(value, dict):
        return False
    texts: list[object] = []
    for name, values in cast("dict[object, object]", value).items():
        texts += [name, *(cast("list[object]", values) if isinstance(values, list) else [None])]
    return all(type(text) is str and _HEADER_TEXT(text) for text in texts)


def _check_plain(name: str, value: Any, depth: int) -> None:
    """Check a value that is no scalar of `_PLAIN`."""
    kind = cast("type[Any]", type(value))
    if kind is float:
        if not math.isfinite(value):
            raise Invalid(f"the argument {name!r} holds {value}, which is no finite number")
    elif not depth or kind is TooDeep:
        raise Invalid(f"the argument {name!r} is nested too deep (lists and maps {MAX_DEPTH}, tuples {MAX_NESTED})")
    elif kind is dict:
        if not all(type(key) is str for key in value):
            raise Invalid(f"the argument {name!r} holds a map whose keys are not all text")
        _check_all_plain(name, value.values(), depth - 1)
    elif kind is list or kind is tuple:
        _check_all_plain(name, value, depth - 1)
    else:
        raise Invalid(f"the argument {name!r} holds a {kind.__name__}, which is no plain data")


def _check_all_plain(name: str, values: Iterable[Any], depth: int) -> None:
    for each in values:
        if type(each) not in _PLAIN:
            _check_plain(name, each, depth)


def _shown(found: object) -> str:
    return repr(found[:60]) if isinstance(found, str | bytes) else f"a {type(found).__name__}"
