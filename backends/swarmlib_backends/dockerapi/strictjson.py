"""Reads JSON strictly, and its strings as Go reads them, so that a stage sees all that an engine can see of a body.

It refuses what readers disagree on (RFC 8259, sections 4 and 6): duplicate keys in an object, text after the value,
numbers that a double can't hold, and NUL characters. As in Go's `encoding/json`, U+FFFD replaces each byte that is not
UTF-8 and each half of a surrogate pair.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any, Final, NoReturn, cast

import orjson

from swarmlib import Invalid

from . import jsonerrors

_REPLACED: Final = "\ufffd"
_GO: Final = "swarmlib-go"
_NUL: Final = b"\\u0000"
_HALF_OF_A_PAIR: Final = re.compile("[\ud800-\udfff]")


class _Unclear(Exception):
    """The JSON holds something that readers disagree on; the text continues a sentence about the body."""


def read(raw: bytes, what: str) -> Any:
    """Return the value of JSON bytes, in Python's own types; `what` begins the errors: "the body" is not JSON.

    Raises:
        Invalid: the bytes are not JSON, or readers disagree on it; the error says what is wrong, and where.
    """
    if (usual := _read_usual(raw)) is not None:
        return usual
    text = raw.decode("utf-8", _GO)
    try:
        value = _DECODER.decode(text)
        return _clean(value) if "\\u" in text else value
    except _Unclear as exc:
        raise Invalid(f"{what} {exc}") from None
    except RecursionError:
        raise Invalid(f"{what} nests too deeply") from None
    except json.JSONDecodeError as exc:
        raise Invalid(f"{what} is not JSON: {jsonerrors.explain(raw) or exc}") from exc
    except ValueError:
        raise Invalid(f"{what} contains a number with too many digits") from None


def _read_usual(raw: bytes) -> Any:
    """Return the value if writing it again gives the same bytes, as then no reader can find anything else in it.

    The docker CLI writes JSON like this, and reading it so costs a third. None if the bytes need the careful reader.
    """
    try:
        value = orjson.loads(raw)
        return value if _NUL not in raw and orjson.dumps(value) == raw.rstrip() else None
    except (orjson.JSONDecodeError, TypeError):
        return None


def _one_for_each_byte(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _REPLACED * (error.end - error.start), error.end


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Unclear(f"has the duplicate key {twice[:80]!r} in one object")
    return made


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Unclear(f"holds the number {text[:40]}, which is too large")
    return number


def _constant(text: str) -> NoReturn:
    raise _Unclear(f"contains {text}, which is not JSON")


def _clean(value: Any) -> Any:
    """Return the value with halves of surrogate pairs replaced. These and NUL come from escapes."""
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, list):
        return [_clean(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return _object([(_clean_text(key), _clean(each)) for key, each in pairs])
    return value


def _clean_text(text: str) -> str:
    if "\0" in text:
        raise _Unclear(f"contains a NUL character, in {text[:40]!r}")
    return _HALF_OF_A_PAIR.sub(_REPLACED, text)


codecs.register_error(_GO, _one_for_each_byte)
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
