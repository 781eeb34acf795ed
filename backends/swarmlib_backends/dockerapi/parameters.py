"""Query parameters: their kinds, each of which reads texts as an engine does, and `Params`, which are typed by them.

A class of `operations` declares the parameters of one operation. Its instances hold the parameters of one request in
canonical form: a mapping of texts, as the next engine gets them, whose attributes are the values that an engine reads.

    asked = ContainerList.of(request)
    asked["limit"] == "5"    # the canonical text
    asked.limit == 5         # its value; None where it is not given

A parameter that is not given (absent, Python's None, or "" where an engine ignores that) is left out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Final, Generic, Self, TypeVar, cast, overload

import orjson

from swarmlib import Invalid, Request

from . import schema, strictjson, times
from .numbers import INT64, integer
from .schema import Wrong

T = TypeVar("T")

FALSE: Final = frozenset({"", "0", "no", "false", "none"})
"""The texts that an engine reads as false, in lower case and without spaces around them; anything else is true."""
_SHORT: Final = 1024
"""The length of filters up to which their canonical form is cached."""
PARSE_BOOL: Final = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), "1"),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), "0"),
}
"""The texts that Go's `strconv.ParseBool` accepts, with their canonical forms."""


class Params(dict[str, Any]):
    """The parameters of one request in canonical form. A dict that is made of them is plain, and so no longer typed;
    `having` makes a typed copy with changes.
    """

    __slots__ = ()
    declared: ClassVar[Mapping[str, Parameter[Any]]] = {}
    """The parameters that the operation has, by their names in a query."""

    def __init_subclass__(cls) -> None:
        fields: list[Parameter[Any]] = [each for each in vars(cls).values() if isinstance(each, Parameter)]
        own = {each.name: each for each in fields}
        cls.declared = {**cls.declared, **own}

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return the parameters of a request of this operation. Raises as `read` if they are not canonical yet."""
        params = request.params
        return params if type(params) is cls else cls.read(params)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Return these parameters in canonical form. Those that the operation does not have stay as they are.

        Raises:
            Invalid: one of them is not of its kind; the error names it, and says what would be right.
        """
        return cls()._reading(given)

    def having(self, changes: Mapping[str, Any]) -> Self:
        """Return a copy with other values of some parameters, which alone are read. One that counts as not given is
        left out, which must not be one that the operation requires.

        Raises:
            Invalid: as `read`.
        """
        return type(self)(self)._reading(changes)

    def _reading(self, given: Mapping[str, Any]) -> Self:
        for name, value in given.items():
            if type(name) is not str:
                raise Invalid(f"a parameter's name must be text, not {name!r:.40}")
            try:
                text = self.declared.get(name, _UNDECLARED).canonical(value)
            except Wrong as wrong:
                wrong.place.append(name)
                raise Invalid(str(wrong)) from None
            if text is not None:
                self[name] = text
            else:
                self.pop(name, None)
        return self


class Parameter(ABC, Generic[T]):
    """One parameter of an operation: a field of its `Params`.

    name: its name in a query, if the field can't have that name.
    """

    default: Any
    """The canonical form of the default for a parameter that is not given; None if there is no default."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name

    @overload
    def __get__(self, params: None, owner: type) -> Self: ...
    @overload
    def __get__(self, params: Params, owner: type) -> T: ...
    def __get__(self, params: Params | None, owner: type) -> Self | T:
        return self if params is None else self.value(params.get(self.name, self.default))

    def canonical(self, given: Any) -> str | list[str] | None:
        """Return the canonical form of a value, or of the first of several values; None if it counts as not given.

        Raises:
            Wrong, Invalid: the value is not of this kind.
        """
        if type(given) is str:  # the usual case
            return self.text(_checked(given))
        texts = texts_of(given)
        return self.text(texts[0]) if texts else None

    @abstractmethod
    def text(self, given: str) -> str | None:
        """Return the canonical form of one text. Raises as `canonical`."""

    @abstractmethod
    def value(self, text: Any) -> T:
        """Return the value that a canonical form means to an engine."""


class Text(Parameter[str]):
    """Any text. An empty one means the default."""

    default = ""

    def __init__(self, name: str = "", *, default: str = "") -> None:
        super().__init__(name)
        self._instead = default

    def text(self, given: str) -> str:
        """See `Parameter`."""
        return given

    def value(self, text: str) -> str:
        """See `Parameter`."""
        return text or self._instead


class Flag(Parameter[bool]):
    """A boolean as Go's `httputils.BoolValue` reads it: any text is valid. The canonical forms are "1" and "0".

    empty: whether an empty text is false, rather than not given.
    """

    def __init__(self, name: str = "", *, default: bool = False, empty: bool = True) -> None:
        super().__init__(name)
        self.default = "1" if default else "0"
        self._empty = empty

    def text(self, given: str) -> str | None:
        """See `Parameter`."""
        if not given and not self._empty:
            return None
        return "0" if given.strip().lower() in FALSE else "1"

    def value(self, text: str) -> bool:
        """See `Parameter`."""
        return text == "1"


class StrictFlag(Flag):
    """A boolean as Go's `strconv.ParseBool` reads it, which refuses all other texts."""

    def text(self, given: str) -> str | None:
        """See `Parameter`."""
        if given not in PARSE_BOOL and given:
            raise Wrong(f"must be true or false, not {given[:40]!r}")
        return PARSE_BOOL.get(given)


class Integer(Parameter["int | None"]):
    """An integer in decimal digits, within a range."""

    default = None

    def __init__(self, name: str = "", *, allowed: range = INT64) -> None:
        super().__init__(name)
        self._allowed = allowed

    def canonical(self, given: Any) -> str | list[str] | None:
        """See `Parameter`. Booleans are refused, although Python counts them as integers."""
        if isinstance(given, bool):
            raise Wrong(f"must be an integer, not {given}")
        return super().canonical(given)

    def text(self, given: str) -> str | None:
        """See `Parameter`."""
        number = integer(given, self._allowed)
        if number is None and given:
            raise Wrong(
                f"must be an integer from {self._allowed.start} to {self._allowed.stop - 1}, not {given[:40]!r}"
            )
        return None if number is None else str(number)

    def value(self, text: str | None) -> int | None:
        """See `Parameter`."""
        return None if text is None else int(text)


class LenientInteger(Parameter[int]):
    """An integer; any other text is 0."""

    default = "0"

    def text(self, given: str) -> str | None:
        """See `Parameter`."""
        return str(integer(given) or 0) if given else None

    def value(self, text: str) -> int:
        """See `Parameter`."""
        return int(text)


class Time(Parameter["float | None"]):
    """Seconds since the epoch, with nanoseconds where there are any."""

    default = None

    def text(self, given: str) -> str | None:
        """See `Parameter`."""
        found = times.timestamp(given)
        if found is None and given:
            raise Wrong(f"must be seconds since the epoch, such as 1136073600.000000001, not {given[:40]!r}")
        return found

    def value(self, text: str | None) -> float | None:
        """See `Parameter`."""
        return None if text is None else times.moment(text)


class EventTime(Time):
    """A time; -1 counts as not given."""

    def text(self, given: str) -> str | None:
        """See `Parameter`."""
        found = super().text(given)
        return None if found is not None and found.partition(".")[0] == "-1" else found


class Tail(Parameter["int | None"]):
    """How many of the last lines; None for all, which every text means that is not a number of lines."""

    default = "all"

    def text(self, given: str) -> str | None:
        """See `Parameter`."""
        number = integer(given)
        return str(number) if number is not None and number >= 0 else "all" if given else None

    def value(self, text: str) -> int | None:
        """See `Parameter`."""
        return None if text == "all" else int(text)


class TaskTail(Tail):
    """The same for a service or a task, where only a number or "all" is valid."""

    def text(self, given: str) -> str | None:
        """See `Parameter`."""
        found = super().text(given)
        if found == "all" != given:
            raise Wrong(f'must be "all" or a number of lines, not {given[:40]!r}')
        return found


class Filters(Parameter[dict[str, list[str]]]):
    """JSON, an object of lists; the older form, an object of objects, is converted to it."""

    default = "{}"

    def text(self, given: str) -> str | None:
        """See `Parameter`."""
        return (_short_filters(given) if len(given) < _SHORT else _read_filters(given)) if given else None

    def value(self, text: str) -> dict[str, list[str]]:
        """See `Parameter`."""
        return cast("dict[str, list[str]]", orjson.loads(text))


class Data(Parameter["T | None"], Generic[T]):
    """JSON of a type of `schema`; T is its type in Python."""

    default = None

    def __init__(self, type_: Any, name: str = "") -> None:
        super().__init__(name)
        self._type = type_

    @cached_property
    def _reader(self) -> schema.Reader:
        return schema.reader(self._type)

    def text(self, given: str) -> str | None:
        """See `Parameter`."""
        value = _json(given) if given else None
        return None if value is None else orjson.dumps(self._reader(value)).decode()

    def value(self, text: str | None) -> T | None:
        """See `Parameter`."""
        return None if text is None else cast("T", orjson.loads(text))


class Texts(Parameter[list[str]]):
    """All texts that are given."""

    default = ()

    def canonical(self, given: Any) -> str | list[str] | None:
        """See `Parameter`. One text stands for a list of it, as in a query."""
        texts = texts_of(given)
        return texts if len(texts) > 1 else next(iter(texts), None)

    def text(self, given: str) -> str:
        """See `Parameter`."""
        return given

    def value(self, text: str | Sequence[str]) -> list[str]:
        """See `Parameter`."""
        return [text] if isinstance(text, str) else list(text)


_UNDECLARED: Final = Texts()
"""Reads a parameter that the operation does not declare, but that an engine may know."""


def texts_of(given: Any) -> list[str]:
    """Return the texts that represent a parameter's value in a query.

    Raises:
        Wrong: a query can't express the value.
    """
    if isinstance(given, list | tuple):
        return [text for each in cast("list[Any]", given) for text in texts_of(each)]
    if given is None:
        return []
    if isinstance(given, bool):
        return ["1" if given else "0"]
    if isinstance(given, str | int | float):
        return [_checked(str(given))]
    raise Wrong(f"must be text, not {type(given).__name__}")


def _checked(text: str) -> str:
    """Return a text if bytes can express it (see `targets`), and no other text stands for the same bytes."""
    if "\0" in text:
        raise Wrong("must not contain a NUL character")
    if not text.isascii() and not text.isprintable() and not _is_of_bytes(text):
        raise Wrong("must not contain half of a surrogate pair")
    return text


def _is_of_bytes(text: str) -> bool:
    try:
        return text.encode(errors="surrogateescape").decode(errors="surrogateescape") == text
    except UnicodeEncodeError:
        return False


def _json(text: str) -> Any:
    try:
        return strictjson.read(text.encode(errors="surrogateescape"), "")
    except Invalid as exc:
        raise Wrong(exc.message.strip()) from exc


def _read_filters(text: str) -> str | None:
    value = _json(text)
    if value is None or value == {}:
        return None
    older = type(value) is dict and dict in map(type, cast("dict[str, Any]", value).values())
    found = cast("dict[str, list[str] | None]", _older_filters(value) if older else _FILTERS(value))
    return orjson.dumps({name: each or [] for name, each in found.items()}).decode()


def _older_filters(value: Any) -> dict[str, list[str] | None]:
    found = cast("dict[str, dict[str, bool] | None]", _OLDER_FILTERS(value))
    if not all(on for each in found.values() if each for on in each.values()):
        raise Wrong("must map each value to true")
    return {name: None if each is None else list(each) for name, each in found.items()}


_FILTERS: Final = schema.reader({"*": ["string"]})
_OLDER_FILTERS: Final = schema.reader({"*": {"*": "boolean"}})
_short_filters: Final = lru_cache(maxsize=256)(_read_filters)
