"""The types of the Engine API's bodies, as readers: each takes a value and returns its canonical form.

The types are data (`schema.json`), compiled from the official OpenAPI documents (moby/moby, Apache-2.0); the readers
apply the rules of Go's `encoding/json`, with which engines read. `tests/support/apischema.py` describes the form of the
data.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import orjson

from .numbers import INT64, UINT64

DATA: Final = Path(__file__).with_name("schema.json")

Reader: TypeAlias = Callable[[Any], Any]
"""Returns the canonical form of a value. Raises `Wrong` if the value is not of the reader's type."""

MAX_DEPTH: Final = 100
"""How deep a field that the schema does not know may nest."""
INTEGERS: Final[Mapping[str, range]] = {
    "int64": INT64,
    "int32": range(-(2**31), 2**31),
    "uint64": UINT64,
    "uint32": range(2**32),
    "uint16": range(2**16),
}
_ANY_INTEGER: Final = range(INT64.start, 2**64)
_NAMES: Final[dict[type, str]] = {
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
    type(None): "null",
}
_PLAIN: Final[Mapping[str, type]] = {"string": str, "boolean": bool, "int64": int}
"""The Python types of these types' values; an integer must also fit into 63 bits."""
_ZERO: Final[Mapping[str, Any]] = {"string": "", "boolean": False} | dict.fromkeys(INTEGERS, 0)
"""What Go substitutes for null in a list or a map. In a list of objects, null is refused: it crashes some engines."""


class Wrong(Exception):
    """A value is not what its type says.

    Attributes:
        what: what is wrong and what would be right, to follow the value's place in a sentence.
        place: the fields and indexes that lead to the value, the innermost first.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.place: list[str] = []

    def __str__(self) -> str:
        path = "".join(step if step.startswith("[") else f".{step}" for step in reversed(self.place))
        return f"{path.lstrip('.')} {self.what}".lstrip()


@cache
def body_reader(row: str) -> Reader | None:
    """Return the reader of the body of the row with this name; None if the row takes no body.

    A body that is null is read as empty, because Go leaves the empty value unchanged.
    """
    type_ = _data()["rows"].get(row)
    if type_ is None:
        return None
    read = reader(type_)
    empty: Any = [] if isinstance(type_, list) else {}
    return lambda value: read(empty if value is None else value)


@cache
def top_level_host_fields() -> frozenset[str]:
    """Return the fields of HostConfig that engines up to 26 also took at the top level of a container's creation."""
    types = _data()["types"]
    return frozenset(types["HostConfig"].keys() - types["ContainerConfig"].keys() | {"Cpuset"})


@cache
def _data() -> Any:
    return orjson.loads(DATA.read_bytes())


def empty(name: str, *without: str) -> dict[str, Any]:
    """Return the fields of a struct of the schema, but for some, with the values that they have in Go at first."""
    return {field: _zero(type_) for field, type_ in _data()["types"][name].items() if field not in without}


def reader(type_: Any) -> Reader:
    """Return the reader of a type of the schema."""
    if isinstance(type_, str):
        return _named(type_)
    if isinstance(type_, list):
        item, *length = cast("list[Any]", type_)
        items = _list(reader(item), _zero(item))
        return _array(items, length[0], _zero(item)) if length else items
    struct = cast("dict[str, Any]", type_)
    if "*" in struct:
        return _map(reader(struct["*"]), _zero(struct["*"]))
    return _struct(struct)


@cache
def _named(name: str) -> Reader:
    if name.startswith("#"):
        return reader(_data()["types"][name[1:]])
    return _integer(INTEGERS[name]) if name in INTEGERS else _SCALARS[name]


def _zero(type_: Any) -> Any:
    return _ZERO.get(type_) if isinstance(type_, str) else None


def _not(wanted: str, value: Any) -> Wrong:
    return Wrong(f"must be {wanted}, not {_NAMES[type(value)]}")


def _string(value: Any) -> str:
    if type(value) is str:
        return value
    raise _not("a string", value)


def _base64(value: Any) -> str:
    """Check bytes in base64, as Go reads it: in full groups, and with line ends anywhere."""
    text = _string(value)
    try:
        b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except ValueError as exc:
        raise Wrong("must be bytes in base64") from exc
    return text


def _nullable_string(value: Any) -> str | None:
    return None if value is None else _string(value)


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise _not("a boolean", value)


def _number(value: Any) -> float:
    if type(value) is float or (type(value) is int and value in _ANY_INTEGER):
        return value
    raise _not("a number", value)


def _words(value: Any) -> list[str]:
    return [value] if type(value) is str else cast("list[str]", _STRINGS(value))


def _integer(allowed: range) -> Reader:
    def read(value: Any) -> int:
        if type(value) is int and value in allowed:
            return value
        if type(value) is not int and type(value) is not float:
            raise _not("an integer", value)
        raise Wrong(f"must be an integer from {allowed.start} to {allowed.stop - 1}, not {value!r:.40}")

    return read


def _list(item: Reader, zero: Any) -> Reader:
    def read(value: Any) -> list[Any]:
        if type(value) is not list:
            raise _not("an array", value)
        made: list[Any] = []
        for each in cast("list[Any]", value):
            try:
                made.append(zero if each is None and zero is not None else item(each))
            except Wrong as wrong:
                wrong.place.append(f"[{len(made)}]")
                raise
        return made

    return read


def _array(items: Reader, length: int, zero: Any) -> Reader:
    """Return the reader of a Go array: missing items are zero, and surplus ones are dropped."""

    def read(value: Any) -> list[Any]:
        return [*items(value), *[zero] * length][:length]

    return read


def _map(item: Reader, zero: Any) -> Reader:
    def read(value: Any) -> dict[str, Any]:
        made = dict(_object(value))
        for key, each in made.items():
            try:
                made[key] = zero if each is None else item(each)
            except Wrong as wrong:
                wrong.place.append(key)
                raise
        return made

    return read


def _struct(types: Mapping[str, Any]) -> Reader:
    fields = {name: reader(type_) for name, type_ in types.items()}
    plain = {name: _PLAIN[type_] for name, type_ in types.items() if isinstance(type_, str) and type_ in _PLAIN}
    names = {fold(name): name for name in types}

    def read(value: Any) -> dict[str, Any]:
        made: dict[str, Any] = {}
        strange: set[str] = set()
        for key, each in _object(value).items():
            kind = each.__class__
            if kind is plain.get(key) and (kind is not int or each.bit_length() < 64):  # most fields: saves them a call
                made[key] = each
                continue
            field = fields.get(key)
            if field is None:
                key = _spelt(key, names, value, strange)
                field = fields.get(key, _any)
            if each is None:  # counts as not set; Go leaves the field unchanged
                continue
            try:
                made[key] = field(each)
            except Wrong as wrong:
                wrong.place.append(key)
                raise
        return made

    return read


def _spelt(key: str, names: Mapping[str, str], value: Mapping[str, Any], strange: set[str]) -> str:
    """Return the field that Go finds for a key without an exact match; the key itself if there is none."""
    folded = fold(key)
    name = names.get(folded, key)
    if folded in strange or (name != key and name in value):
        raise Wrong(f"holds the field {name!r} more than once, in different spellings")
    strange.add(folded)
    return name


def fold(key: str) -> str:
    """Return the form in which Go compares a key with a field's name: two non-ASCII letters count as k and s.

    >>> fold("\N{KELVIN SIGN}ernelMemory") == fold("KERNELMEMORY")
    True
    """
    return key.replace("\N{LATIN SMALL LETTER LONG S}", "s").lower()


def _object(value: Any) -> dict[str, Any]:
    if type(value) is dict:
        return cast("dict[str, Any]", value)
    raise _not("an object", value)


def _any(value: Any, depth: int = 0) -> Any:
    """Return a value unknown to the schema as it is, provided that it can be written again."""
    if depth > MAX_DEPTH:
        raise Wrong(f"nests deeper than {MAX_DEPTH} levels")
    if type(value) is int and value not in _ANY_INTEGER:
        raise Wrong("must be a number that 64 bits can hold")
    if isinstance(value, list):
        for each in cast("list[Any]", value):
            _any(each, depth + 1)
    elif isinstance(value, dict):
        for each in cast("dict[str, Any]", value).values():
            _any(each, depth + 1)
    return cast("Any", value)


_SCALARS: Final[dict[str, Reader]] = {
    "string": _string,
    "string?": _nullable_string,
    "base64": _base64,
    "boolean": _boolean,
    "float64": _number,
    "words": _words,
    "any": _any,
}
_STRINGS: Final = _list(_string, "")
