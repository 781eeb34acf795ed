"""Query parameters in canonical form: read as an engine reads them, written in one way.

    string      the first value of several
    boolean     "1" or "0", by the words that Go's `httputils.BoolValue` knows
    strict      "1" or "0" of what Go's `strconv.ParseBool` takes
    integers    decimal digits
    lenient     an integer; what is none is 0
    time        seconds since the epoch, with nanoseconds where there are any
    event-time  the same, but -1 counts as not given
    tail        "all", or how many lines; what is no number of lines means all of them
    task-tail   the same of a service or a task, for which only a number or "all" will do
    filters     JSON: an object of lists; the older form of objects becomes this one
    {"json": T} JSON of that type
    ["string"]  all values

A parameter that is not given (nothing at all, Python's None, or "" where an engine takes that for nothing) is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias, cast

import orjson

from swarmlib import Invalid

from . import schema, strictjson, times
from .numbers import integer
from .schema import INTEGERS, Wrong

TextReader: TypeAlias = Callable[[str], str | None]
"""Returns the canonical text of a parameter, or None where it counts as not given. Raises `Wrong`, `Invalid`."""

FALSE: Final = frozenset({"", "0", "no", "false", "none"})
"""What an engine takes for false, in lower case and without spaces around it; anything else is true."""
_SHORT: Final = 1024
"""Characters of filters whose canonical form is kept for the next request."""
PARSE_BOOL: Final = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), "1"),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), "0"),
}
"""What Go's `strconv.ParseBool` takes, and what it is."""


@cache
def text_reader(kind: str) -> TextReader:
    """The reader of a kind of parameter that is one text."""
    return _integer(INTEGERS[kind]) if kind in INTEGERS else _KINDS[kind]


def read(kind: Any, given: Any) -> str | list[str] | None:
    """The canonical form of a parameter's value or values.

    Raises:
        Wrong: it is not of that kind.
        Invalid: it should be JSON, and is none.
    """
    if type(given) is str and type(kind) is str:  # the usual case
        return text_reader(kind)(_checked(given))
    texts = texts_of(given)
    if isinstance(kind, list) or kind is None:
        return texts if len(texts) > 1 else next(iter(texts), None)
    if not texts:
        return None
    if isinstance(given, bool) and kind in INTEGERS:
        raise Wrong(f"should be an integer, not {given}")
    return _json(kind["json"], texts[0]) if isinstance(kind, dict) else text_reader(kind)(texts[0])


def texts_of(given: Any) -> list[str]:
    """The texts that a parameter's value is in a query.

    Raises:
        Wrong: it is nothing that a query can express.
    """
    if isinstance(given, list | tuple):
        return [text for each in cast("list[Any]", given) for text in texts_of(each)]
    if given is None:
        return []
    if isinstance(given, bool):
        return ["1" if given else "0"]
    if isinstance(given, str | int | float):
        return [_checked(str(given))]
    raise Wrong(f"should be text, not {type(given).__name__}")


def _checked(text: str) -> str:
    """A text that is what bytes say (see `targets`), and the only one that says those bytes."""
    if "\0" in text:
        raise Wrong("should hold no NUL character")
    if not text.isascii() and not text.isprintable() and not _is_of_bytes(text):
        raise Wrong("should hold no half of a surrogate pair")
    return text


def _is_of_bytes(text: str) -> bool:
    try:
        return text.encode(errors="surrogateescape").decode(errors="surrogateescape") == text
    except UnicodeEncodeError:
        return False


def _same(text: str) -> str:
    return text


def _boolean(text: str) -> str:
    return "0" if text.strip().lower() in FALSE else "1"


def _default_true(text: str) -> str | None:
    return _boolean(text) if text else None


def _strict(text: str) -> str | None:
    if text not in PARSE_BOOL and text:
        raise Wrong(f"should be true or false, not {text[:40]!r}")
    return PARSE_BOOL.get(text)


def _integer(allowed: range) -> TextReader:
    def read(text: str) -> str | None:
        number = integer(text, allowed)
        if number is None and text:
            raise Wrong(f"should be an integer from {allowed.start} to {allowed.stop - 1}, not {text[:40]!r}")
        return None if number is None else str(number)

    return read


def _lenient(text: str) -> str | None:
    return str(integer(text) or 0) if text else None


def _time(text: str) -> str | None:
    found = times.timestamp(text)
    if found is None and text:
        raise Wrong(f"should be seconds since the epoch, such as 1136073600.000000001, not {text[:40]!r}")
    return found


def _event_time(text: str) -> str | None:
    found = _time(text)
    return None if found is not None and found.partition(".")[0] == "-1" else found


def _tail(text: str) -> str | None:
    number = integer(text)
    return str(number) if number is not None and number >= 0 else "all" if text else None


def _task_tail(text: str) -> str | None:
    found = _tail(text)
    if found == "all" != text:
        raise Wrong(f'should be "all" or a number of lines, not {text[:40]!r}')
    return found


def _json(type_: Any, text: str) -> str | None:
    """JSON in a query, of that type."""
    value = _value(text) if text else None
    return None if value is None else orjson.dumps(schema.reader(type_)(value)).decode()


def _value(text: str) -> Any:
    try:
        return strictjson.read(text.encode(errors="surrogateescape"), "")
    except Invalid as exc:
        raise Wrong(exc.message.strip()) from exc


def _filters(text: str) -> str | None:
    return (_short_filters(text) if len(text) < _SHORT else _read_filters(text)) if text else None


def _read_filters(text: str) -> str | None:
    value = _value(text)
    if value is None or value == {}:
        return None
    older = type(value) is dict and dict in map(type, cast("dict[str, Any]", value).values())
    found = cast("dict[str, list[str] | None]", _older_filters(value) if older else _FILTERS(value))
    return orjson.dumps({name: each or [] for name, each in found.items()}).decode()


def _older_filters(value: Any) -> dict[str, list[str] | None]:
    found = cast("dict[str, dict[str, bool] | None]", _OLDER_FILTERS(value))
    if not all(on for each in found.values() if each for on in each.values()):
        raise Wrong("should have true as the value of each object's fields")
    return {name: None if each is None else list(each) for name, each in found.items()}


_FILTERS: Final = schema.reader({"*": ["string"]})
_OLDER_FILTERS: Final = schema.reader({"*": {"*": "boolean"}})
_short_filters: Final = lru_cache(maxsize=256)(_read_filters)


_KINDS: Final[dict[str, TextReader]] = {
    "string": _same,
    "boolean": _boolean,
    "default-true": _default_true,
    "strict": _strict,
    "lenient": _lenient,
    "time": _time,
    "event-time": _event_time,
    "tail": _tail,
    "task-tail": _task_tail,
    "filters": _filters,
}
