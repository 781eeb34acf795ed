"""The language in which a viewer says which calls to show: `op:Container* -outcome:ok ms>100 web`.

A call is shown if every term fits it. A term is FIELD:PATTERN (with `*` and `?`), FIELD>NUMBER or FIELD<NUMBER, or a
text that the operation, the path or the caller contains; a `-` before it means the opposite. `outcome:error` is every
outcome but `ok`. Letters' case does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

from swarmlib import Invalid
from swarmlib.suggestions import nearest

from ..observe.call import OK, Call
from ..observe.observation import Observation, operation_of
from .calls import verdict

MAX_FILTER: Final = 500
"""The most characters of a filter."""
Fits: TypeAlias = Callable[[Call], bool]
"""Tells whether a call is to be shown."""
_TERM: Final = re.compile(r"(?P<field>[a-z]+)(?P<sign>[:<>])(?P<value>.*)")
_NUMBERS: Final[dict[str, Callable[[Call], float]]] = {
    "ms": lambda call: (call.answered or call.seconds) * 1000,
    "in": lambda call: call.received,
    "out": lambda call: call.sent,
}


def read(text: str, observation: Observation) -> Fits:
    """Read a filter; an empty one fits every call.

    Raises:
        Invalid: it is too long, names an unknown field, or compares with what is no number.
    """
    if len(text) > MAX_FILTER:
        raise Invalid(f"a filter has {MAX_FILTER} characters at most")
    terms = [_term(each.casefold(), observation) for each in text.split()]
    return lambda call: all(fits(call) for fits in terms)


def _term(text: str, observation: Observation) -> Fits:
    if text[:1] == "-" and len(text) > 1:
        fits = _term(text[1:], observation)
        return lambda call: not fits(call)
    texts = _texts(observation)
    found = _TERM.fullmatch(text)
    if found is None:
        read = [texts[name] for name in ("op", "path", "caller")]
        return lambda call: any(text in each(call).casefold() for each in read)
    field, sign, value = found["field"], found["sign"], found["value"]
    if sign == ":":
        return _pattern(field, value, texts)
    return _comparison(field, sign, value)


def _texts(observation: Observation) -> dict[str, Callable[[Call], str]]:
    return {
        "op": operation_of,
        "verb": lambda call: str(call.verb),
        "path": lambda call: "/".join(call.path),
        "caller": lambda call: call.meta.caller,
        "engine": observation.engine_of,
        "outcome": lambda call: call.outcome,
        "verdict": verdict,
        "stage": lambda call: call.error.backend if call.error else "",
    }


def _pattern(field: str, value: str, texts: dict[str, Callable[[Call], str]]) -> Fits:
    if field not in texts:
        raise Invalid(f"no field {field!r} with a text; {nearest(field, list(texts))}")
    if (field, value) == ("outcome", "error"):
        return lambda call: call.outcome != OK
    read = texts[field]
    return lambda call: fnmatchcase(read(call).casefold(), value)


def _comparison(field: str, sign: str, value: str) -> Fits:
    if field not in _NUMBERS:
        raise Invalid(f"no field {field!r} with a number; {nearest(field, list(_NUMBERS))}")
    try:
        limit = float(value)
    except ValueError:
        raise Invalid(f"invalid number {value!r} after {field}{sign}") from None
    read = _NUMBERS[field]
    return (lambda call: read(call) > limit) if sign == ">" else (lambda call: read(call) < limit)
