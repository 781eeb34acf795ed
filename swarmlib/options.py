"""A backend's arguments: declared once, as the fields of its dataclass. Usage, conversion and errors come from there.

@dataclass
class Balance(Server):
    members: Sequence[Stages] = argument("a chain for each engine")
    strategy: Literal["spread", "round-robin"] = option("where new workloads go", default="spread")
    deadline: Duration = option("how long one engine may take", default=5.0)

The same declaration reads the words of a chain's text, the tables of a TOML file, and calls in Python:
`Balance(["docker unix:///a.sock", Exec()], deadline="500ms")`.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal, Union, cast, get_args, get_origin, get_type_hints

from .errors import Invalid, SwarmError
from .grammar import ChainText

_META: Final = "swarmlib"
_EXPECTED: Final[dict[Any, str]] = {int: "an integer", float: "a number", str: "text"}


def argument(help: str, *, default: Any = dataclasses.MISSING) -> Any:
    """Declare a field given by position. A sequence takes all remaining positions, at least one unless it has a
    default.
    """
    return _field(help, positional=True, default=default, metavar="")


def option(help: str, *, default: Any, metavar: str = "") -> Any:
    """Declare a field given as `--name VALUE`; a bool (False by default) is the flag `--name`; a sequence may be
    repeated.

    metavar: the placeholder of the value in usage; by default that of the type, or else the option's name.
    """
    return _field(help, positional=False, default=default, metavar=metavar)


def _field(help: str, *, positional: bool, default: Any, metavar: str) -> Any:
    metadata = {_META: (help, positional, metavar)}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(cast("list[Any]", default)), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Reader:
    """How values of a type are read and shown, set by an annotation: `Annotated[float, Reader(seconds, "DURATION")]`.

    A class may have a class method `read` instead.
    """

    read: Callable[[Any], Any]
    """Takes a text, or a value that has been read already. Raises ValueError or SwarmError, which say what is wrong."""
    metavar: str = ""
    """The placeholder of a value in usage; by default the option's name."""
    show: Callable[[Any], str] = str
    """Returns the text of a value."""


@dataclass(frozen=True)
class Parameter:
    """One declared argument, as usage and conversion see it. Its name is the field's."""

    name: str
    help: str
    positional: bool
    required: bool
    many: bool
    optional: bool
    kind: Any
    default: Any
    metavar: str = ""

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return "--" + self.name.replace("_", "-")

    @property
    def label(self) -> str:
        """The placeholder of its value in usage."""
        if get_origin(self.kind) is Literal:
            return "|".join(map(str, get_args(self.kind)))
        reader = _reader(self.kind)
        if declared := self.metavar or (reader.metavar if reader else ""):
            return declared
        if self.kind is int and not self.positional:
            return "N"
        word = re.sub("(?<=ss)es$|s$", "", self.name) if self.many else self.name
        return word.upper().replace("_", "-")

    @property
    def word(self) -> str:
        """What errors call it: an option as it is typed, another argument by its placeholder."""
        return self.label if self.positional else self.flag

    @property
    def usage(self) -> str:
        """Its part of the usage line."""
        if self.positional:
            shown = self.label + ("…" if self.many else "")
        else:
            shown = self.flag if self.kind is bool else f"{self.flag} {self.label}"
        return shown if self.required else f"[{shown}]"

    def shown(self, value: Any) -> Any:
        """Return a value as people read it: as text if its type has a reader, else unchanged."""
        if value is None or (reader := _reader(self.kind)) is None:
            return value
        return [reader.show(each) for each in value] if self.many else reader.show(value)

    def read(self, value: Any, backend: str, key: str) -> Any:
        """Convert a value that a program gives, or its list of values, to the declared kind.

        Raises:
            Invalid: it is of the wrong kind; the error names the backend and the key.
        """
        try:
            return self._read(value)
        except (ValueError, SwarmError) as exc:
            raise Invalid(f"{backend}: {key}: {exc}") from exc

    def _read(self, value: Any) -> Any:
        if self.many:
            if not isinstance(value, list | tuple):
                raise ValueError(f"invalid value {value!r}: expected a list")
            return [self.item(each) for each in cast("Sequence[Any]", value)]
        return None if value is None and self.optional else self.item(value)

    def item(self, value: Any) -> Any:
        """Return one value of the declared kind from a word, a sub-chain, or a value that has the kind already.

        Raises:
            ValueError, SwarmError: it is of another kind.
        """
        kind = self.kind
        if isinstance(kind, type) and isinstance(value, kind):
            return value
        if (reader := _reader(kind)) is not None:
            return reader.read(value)
        if get_origin(kind) is Literal:
            choices = list(map(str, get_args(kind)))
            if str(value) not in choices:
                raise ValueError(f"invalid value {str(value)!r}: expected one of {', '.join(choices)}")
            return get_args(kind)[choices.index(str(value))]
        if kind is bool:
            raise ValueError(f"invalid value {value!r}: expected true or false")
        return _plain(kind, value)


def _plain(kind: Any, value: Any) -> Any:
    if isinstance(value, ChainText):
        raise ValueError("invalid value: expected a word, not a chain")
    try:
        if not isinstance(value, str | int | float) or isinstance(value, bool):  # `str` would take it for text
            raise ValueError
        return kind(value)
    except (TypeError, ValueError):
        raise ValueError(f"invalid value {value!r}: expected {_EXPECTED.get(kind, kind.__name__)}") from None


def _reader(kind: Any) -> Reader | None:
    if get_origin(kind) is Annotated:
        return next((each for each in get_args(kind) if isinstance(each, Reader)), None)
    read: Callable[[Any], Any] | None = getattr(kind, "read", None)
    return None if read is None else Reader(read)


@cache
def parameters(backend: type) -> Sequence[Parameter]:
    """Return the declared arguments of a backend, in order."""
    if not dataclasses.is_dataclass(backend):
        return []
    declared = [each for each in dataclasses.fields(backend) if _META in each.metadata]
    hints = get_type_hints(backend, include_extras=True) if declared else {}
    return [_parameter(each, hints[each.name]) for each in declared]


def _parameter(field: dataclasses.Field[Any], hint: Any) -> Parameter:
    help, positional, metavar = field.metadata[_META]
    many = get_origin(hint) in (list, Sequence)
    kind = _not_none(get_args(hint)[0] if many else hint)
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    optional = kind is not hint and not many
    return Parameter(field.name, help, positional, required, many, optional, kind, default, metavar)


def _not_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        return next(part for part in get_args(hint) if part is not type(None))
    return hint


def read_all(backend: object) -> None:
    """Read each declared argument of a backend that was just made, so that it has the declared kind.

    Raises:
        Invalid: one is of another kind; the error names the class and the field.
    """
    kind = type(backend)
    for each in parameters(kind):  # type: ignore[arg-type]  # mypy takes the hash of objects for that of their class
        setattr(backend, each.name, each.read(getattr(backend, each.name), kind.__name__, each.name))


def usage(name: str, backend: type) -> str:
    """Return the usage line of a backend, such as `balance [--strategy spread|round-robin] MEMBER…`."""
    declared = sorted(parameters(backend), key=lambda p: p.positional)
    return " ".join([name, *(p.usage for p in declared)])
