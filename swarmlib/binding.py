"""Make backends from the words of a chain's text, from the tables of a TOML file, and from a program's mappings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, cast

from . import registry
from .errors import Invalid, SwarmError
from .grammar import ChainSyntaxError, ChainText, Word
from .options import Parameter, parameters, usage
from .service import Backend
from .suggestions import nearest


@dataclass(frozen=True)
class Value:
    """A value in the text of a file: a text, number or truth value, a backend or chain, or a list of values."""

    value: Any
    start: int
    end: int

    @property
    def several(self) -> Sequence[Value] | None:
        """The values, if it is a list of them."""
        value: Any = self.value
        return cast("list[Value]", value) if type(value) is list else None


@dataclass(frozen=True)
class Named:
    """An argument that is given by its name, with `-` or `_`, as a key of a TOML table is."""

    name: Word
    value: Value


Argument: TypeAlias = Word | ChainText | Named


def stage(name: Word, arguments: Sequence[Argument], source: str) -> Backend:
    """Make the backend of a stage from its name and arguments.

    Raises:
        ChainSyntaxError: there is no such backend, or it can't be imported; otherwise as `bind`.
    """
    try:
        kind = registry.find(name.text)
    except SwarmError as exc:
        raise ChainSyntaxError(exc.message, source, name.start, name.end) from exc
    return bind(name, kind, arguments, source)


def bind(name: Word, backend: type[Backend], arguments: Sequence[Argument], source: str) -> Backend:
    """Make a backend from the arguments of its stage.

    Raises:
        ChainSyntaxError: an argument is unknown, missing, repeated or of the wrong kind; the error points at the word.
    """
    made = _Binder(name, backend, source).bind(arguments)
    made.written = (source, name.start, name.end)
    return made


def build(name: str, backend: type[Backend], values: Mapping[str, Any]) -> Backend:
    """Make a backend from a mapping, such as a table of a TOML file; keys are the options' names.

    Raises:
        Invalid: an argument is unknown, missing or of the wrong kind; the error names the key.
    """
    known = {p.name: p for p in parameters(backend)}
    fields: dict[str, Any] = {}
    for key, value in values.items():
        found = known.get(key.replace("-", "_"))
        if found is None:
            raise Invalid(f"unknown option {key!r} of {name}; {nearest(key, list(known))}")
        fields[found.name] = found.read(value, name, key)
    missing = [p.name for p in known.values() if p.required and p.name not in fields]
    if missing:
        raise Invalid(f"{name} requires {', '.join(missing)}; usage: {usage(name, backend)}")
    return backend(**fields)


class _Binder:
    def __init__(self, name: Word, backend: type[Backend], source: str) -> None:
        self._name = name
        self._backend = backend
        self._source = source
        declared = parameters(backend)
        self._names = {p.name: p for p in declared}
        self._options = {p.flag: p for p in declared if not p.positional}
        self._positions = [p for p in declared if p.positional]
        self._fields: dict[str, Any] = {}

    def bind(self, arguments: Sequence[Argument]) -> Backend:
        waiting = list(arguments)
        while waiting:
            word = waiting.pop(0)
            if isinstance(word, Named):
                self._take_named(word)
            elif isinstance(word, Word) and word.text.startswith("--") and not word.quoted:
                self._take_option(word, waiting)
            else:
                self._take_position(word)
        missing = [p.label for p in self._positions if p.required and p.name not in self._fields]
        if missing:
            shown = usage(self._name.text, self._backend)
            self._fail(f"{self._name.text} requires {missing[0]}; usage: {shown}", self._name)
        try:
            return self._backend(**self._fields)
        except (ValueError, Invalid) as exc:
            self._fail(f"{self._name.text}: {exc}", self._name, exc)

    def _take_option(self, word: Word, waiting: list[Argument]) -> None:
        flag, has_value, value = word.text.partition("=")
        found = self._options.get(flag)
        if found is None:
            self._fail(f"unknown option {flag} of {self._name.text}; {nearest(flag, list(self._options))}", word)
        if found.kind is bool:
            if has_value:
                self._fail(f"{flag} takes no value", word)
            self._store(found, True, word)
        elif has_value:
            self._store(found, Word(value, True, word.start, word.end), word)
        elif waiting and not isinstance(value_word := waiting.pop(0), Named):
            self._store(found, value_word, word)
        else:
            self._fail(f"{flag} requires a value: {flag} {found.label}", word)

    def _take_named(self, argument: Named) -> None:
        name = argument.name.text
        found = self._names.get(name.replace("-", "_"))
        if found is None:
            known = [each.replace("_", "-") for each in self._names]
            self._fail(f"unknown option {name!r} of {self._name.text}; {nearest(name, known)}", argument.name)
        value = argument.value
        several = value.several
        if several is not None and not found.many:
            self._fail(f"{self._name.text}: {name} takes one value, not a list", value)
        if found.many:
            self._fields[found.name] = []
        for each in [value] if several is None else several:
            self._store(found, each, each, called=name)

    def _take_position(self, word: Word | ChainText) -> None:
        for found in self._positions:
            if found.many or found.name not in self._fields:
                self._store(found, word, word)
                return
        expected = usage(self._name.text, self._backend)
        self._fail(f"unexpected argument '{word}' of {self._name.text}; usage: {expected}", word)

    def _store(
        self, found: Parameter, value: Word | ChainText | Value | bool, at: Word | ChainText | Value, called: str = ""
    ) -> None:
        called = called or found.word
        try:
            converted = found.item(_plain(value))
        except ChainSyntaxError as exc:
            if exc.text == self._source:
                raise  # the error already points at its place
            self._fail(f"{called}: {self._outside(found, value) or exc.problem}", at, exc)
        except (ValueError, SwarmError) as exc:
            self._fail(f"{self._name.text}: {called}: {exc}", at, exc)
        if found.many:
            self._fields.setdefault(found.name, []).append(converted)
        elif found.name in self._fields:
            self._fail(f"{called} is given more than once", at)
        else:
            self._fields[found.name] = converted

    def _outside(self, found: Parameter, value: Word | ChainText | Value | bool) -> str:
        """Return what is wrong if an address is taken for a chain since the words of its chain have no parentheses."""
        earlier = self._fields.get(found.name)
        if not (found.many and earlier and isinstance(value, Word) and "://" in value.text):
            return ""
        return f"write a chain of several words in parentheses: (docker {value})"

    def _fail(self, problem: str, at: Word | ChainText | Value, cause: Exception | None = None) -> NoReturn:
        raise ChainSyntaxError(problem, self._source, at.start, at.end) from cause


def _plain(value: Word | ChainText | Value | bool) -> Any:
    if isinstance(value, Word):
        return value.text
    return value.value if isinstance(value, Value) else value
