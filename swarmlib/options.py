"""A backend's arguments: declared once, as the fields of its dataclass; usage, binding and errors come from there.

@dataclass
class Balance(Server):
    members: list[Chain] = argument("a chain for each engine")
    strategy: Literal["spread", "round-robin"] = option("where new workloads go", default="spread")

The same declaration reads the words of a chain's text, the tables of a TOML file, and calls in Python:
`Balance("docker unix:///a.sock", Exec(), strategy="spread")`.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, Union, cast, get_args, get_origin, get_type_hints

from .errors import Invalid, SwarmError
from .grammar import ChainSyntaxError, ChainText, Word
from .registry import nearest
from .service import Backend

_META: Final = "swarmlib"


def argument(help: str, *, default: Any = dataclasses.MISSING) -> Any:
    """A field given by position; a list takes all the positions that are left, at least one unless it has a default."""
    return _field(help, positional=True, default=default)


def option(help: str, *, default: Any, name: str = "") -> Any:
    """A field given as `--name VALUE`; a bool (False by default) as the flag `--name`; a list as often as wanted.

    name: what users write, where the field can't be called so.
    """
    return _field(help, positional=False, default=default, name=name)


def _field(help: str, *, positional: bool, default: Any, name: str = "") -> Any:
    metadata = {_META: (help, positional, name)}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(cast("list[Any]", default)), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Parameter:
    """One declared argument, as usage and binding see it."""

    name: str
    field: str
    help: str
    positional: bool
    required: bool
    many: bool
    optional: bool
    kind: Any
    default: Any

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return "--" + self.name.replace("_", "-")

    @property
    def label(self) -> str:
        """What stands for a value of it in usage."""
        if get_origin(self.kind) is Literal:
            return "|".join(map(str, get_args(self.kind)))
        word = re.sub("(?<=ss)es$|s$", "", self.name) if self.many else self.name
        return word.upper().replace("_", "-")

    @property
    def usage(self) -> str:
        """Its part of the usage line."""
        if self.positional:
            shown = self.label + ("…" if self.many else "")
        else:
            shown = self.flag if self.kind is bool else f"{self.flag} {self.label}"
        return shown if self.required else f"[{shown}]"


def parameters(backend: type[Backend]) -> list[Parameter]:
    """The declared arguments of a backend, in order."""
    if not dataclasses.is_dataclass(backend):
        return []
    declared = [f for f in dataclasses.fields(backend) if _META in f.metadata]
    hints = get_type_hints(backend) if declared else {}
    return [_parameter(f, hints[f.name]) for f in declared]


def _parameter(field: dataclasses.Field[Any], hint: Any) -> Parameter:
    help, positional, name = field.metadata[_META]
    many = get_origin(hint) is list
    kind = _not_none(get_args(hint)[0] if many else hint)
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    optional = kind is not hint and not many
    return Parameter(name or field.name, field.name, help, positional, required, many, optional, kind, default)


def _not_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        return next(part for part in get_args(hint) if part is not type(None))
    return hint


def usage(name: str, backend: type[Backend]) -> str:
    """The usage line of a backend, such as `balance [--strategy spread|round-robin] MEMBER…`."""
    declared = sorted(parameters(backend), key=lambda p: p.positional)
    return " ".join([name, *(p.usage for p in declared)])


def bind(name: Word, backend: type[Backend], words: Sequence[Word | ChainText], source: str) -> Backend:
    """A backend made from the words of its stage.

    Raises:
        ChainSyntaxError: an argument is unknown, missing, repeated or of the wrong kind; it points at the word.
    """
    return _Binder(name, backend, source).bind(words)


def build(name: str, backend: type[Backend], values: Mapping[str, Any]) -> Backend:
    """A backend made from a mapping, such as a table of a TOML file; keys are the fields' names.

    Raises:
        Invalid: as for `bind`; it names the key.
    """
    known = {p.name: p for p in parameters(backend)}
    fields: dict[str, Any] = {}
    for key, value in values.items():
        found = known.get(key.replace("-", "_"))
        if found is None:
            raise Invalid(f"{name} has no option {key!r}; {nearest(key, list(known))}")
        fields[found.field] = _read(name, key, found, value)
    missing = [p.name for p in known.values() if p.required and p.field not in fields]
    if missing:
        raise Invalid(f"{name} needs {', '.join(missing)}; usage: {usage(name, backend)}")
    return backend(**fields)


def called(backend: type[Backend], positions: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a call in Python gives a backend: positions go by the fields' order, and to a list all that are
    left; values are converted as those of a chain's text are.

    Raises:
        Invalid: a value is of the wrong kind; it names the field.
        TypeError: a position is one too many, or its field is given by name too.
    """
    declared = {p.field: p for p in parameters(backend)}
    fields = _by_position(backend, declared, list(positions))
    if twice := fields.keys() & named.keys():
        raise TypeError(f"{backend.__name__}: {', '.join(twice)} is given by position and by name")
    fields |= named
    return {
        key: _read(backend.__name__, key, declared[key], fields[key]) if key in declared else fields[key]
        for key in fields
    }


def _by_position(backend: type[Backend], declared: Mapping[str, Parameter], waiting: list[Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(backend):  # type: ignore[arg-type]  # what has parameters is a dataclass
        if not waiting:
            break
        found = declared.get(field.name)
        if found is not None and found.many and not (len(waiting) == 1 and isinstance(waiting[0], list)):
            fields[field.name], waiting = waiting, []
        elif field.init and not field.kw_only:
            fields[field.name] = waiting.pop(0)
    if waiting:
        raise TypeError(f"{backend.__name__} has no use for {waiting[0]!r}")
    return fields


def _read(name: str, key: str, parameter: Parameter, value: Any) -> Any:
    try:
        return _plain_value(parameter, value)
    except (ValueError, SwarmError) as exc:
        raise Invalid(f"{name}: {key}: {exc}") from exc


def _plain_value(parameter: Parameter, value: Any) -> Any:
    if parameter.many:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{value!r} should be a list")
        return [_converted(parameter.kind, item) for item in cast("Sequence[Any]", value)]
    return None if value is None and parameter.optional else _converted(parameter.kind, value)


def _converted(kind: Any, value: Any) -> Any:
    """A value of the declared kind from a word, a sub-chain, or a value that has the kind already."""
    if isinstance(kind, type) and isinstance(value, kind):
        return value
    read: Callable[[Any], Any] | None = getattr(kind, "read", None)
    if read is not None:
        return read(value)
    if get_origin(kind) is Literal:
        choices = list(map(str, get_args(kind)))
        if str(value) not in choices:
            raise ValueError(f"{str(value)!r} is none of {', '.join(choices)}")
        return get_args(kind)[choices.index(str(value))]
    if kind is bool:
        raise ValueError(f"{value!r} should be true or false")
    if isinstance(value, ChainText):
        raise ValueError("takes a word, no sub-chain")
    try:
        if value is None:  # which `str` would take for text
            raise ValueError
        return kind(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is no {kind.__name__}") from None


class _Binder:
    def __init__(self, name: Word, backend: type[Backend], source: str) -> None:
        self._name = name
        self._backend = backend
        self._source = source
        declared = parameters(backend)
        self._options = {p.flag: p for p in declared if not p.positional}
        self._positions = [p for p in declared if p.positional]
        self._fields: dict[str, Any] = {}

    def bind(self, words: Sequence[Word | ChainText]) -> Backend:
        waiting = list(words)
        while waiting:
            word = waiting.pop(0)
            if isinstance(word, Word) and word.text.startswith("--") and not word.quoted:
                self._take_option(word, waiting)
            else:
                self._take_position(word)
        missing = [p.label for p in self._positions if p.required and p.field not in self._fields]
        if missing:
            shown = usage(self._name.text, self._backend)
            self._fail(f"{self._name.text} needs {missing[0]}; usage: {shown}", self._name)
        try:
            return self._backend(**self._fields)
        except (ValueError, Invalid) as exc:
            self._fail(f"{self._name.text}: {exc}", self._name, exc)

    def _take_option(self, word: Word, waiting: list[Word | ChainText]) -> None:
        flag, has_value, value = word.text.partition("=")
        found = self._options.get(flag)
        if found is None:
            self._fail(f"{self._name.text} has no option {flag}; {nearest(flag, list(self._options))}", word)
        if found.kind is bool:
            if has_value:
                self._fail(f"{flag} is a flag, and takes no value", word)
            self._store(found, True, word)
        elif has_value:
            self._store(found, Word(value, True, word.start, word.end), word)
        elif waiting:
            self._store(found, waiting.pop(0), word)
        else:
            self._fail(f"{flag} needs a value: {flag} {found.label}", word)

    def _take_position(self, word: Word | ChainText) -> None:
        for found in self._positions:
            if found.many or found.field not in self._fields:
                self._store(found, word, word)
                return
        self._fail(f"{self._name.text} has no use for this; usage: {usage(self._name.text, self._backend)}", word)

    def _store(self, found: Parameter, value: Word | ChainText | bool, at: Word | ChainText) -> None:
        try:
            converted = _converted(found.kind, value.text if isinstance(value, Word) else value)
        except ChainSyntaxError as exc:
            if exc.text == self._source:
                raise  # it points at its place itself
            self._fail(f"{found.label}: {exc.problem}", at, exc)
        except (ValueError, SwarmError) as exc:
            self._fail(f"{self._name.text}: {found.label}: {exc}", at, exc)
        if found.many:
            self._fields.setdefault(found.field, []).append(converted)
        elif found.field in self._fields:
            self._fail(f"{found.label} is given twice", at)
        else:
            self._fields[found.field] = converted

    def _fail(self, problem: str, at: Word | ChainText, cause: Exception | None = None) -> NoReturn:
        raise ChainSyntaxError(problem, self._source, at.start, at.end) from cause
