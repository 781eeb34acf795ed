"""The ARGs of a build: those that were given, and those that a Dockerfile declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Self

PREDEFINED: Final = frozenset(
    spelt for name in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY") for spelt in (name, name.lower())
)
"""Those that need no ARG."""


class BuildArgs:
    """The ARGs of one stage; a None is one without a value."""

    def __init__(self, given: Mapping[str, str | None]) -> None:
        self._given = given
        self._allowed: dict[str, str | None] = {}
        self._global: dict[str, str | None] = {}
        self._named: set[str] = set()

    def of_stage(self) -> Self:
        """Return those that a new stage begins with: none, but it can name those before the first FROM."""
        made = type(self)(self._given)
        made._global, made._named = self._global, self._named
        return made

    def add(self, name: str, value: str | None) -> None:
        """Say that there is one."""
        self._allowed[name] = value
        self._named.add(name)

    def add_global(self, name: str, value: str | None) -> None:
        """Say that there is one before the first FROM."""
        self.add(name, value)
        self._global[name] = value

    def values(self, environment: Iterable[str] = ()) -> list[str]:
        """Return all that have a value, as NAME=VALUE, sorted; without those that an environment sets."""
        return self._values(self._allowed, {entry.partition("=")[0] for entry in environment})

    def global_values(self) -> list[str]:
        """Return them as `values` does, of those before the first FROM."""
        return self._values(self._global, set())

    def _values(self, of: Mapping[str, str | None], hidden: set[str]) -> list[str]:
        found = {name: self._value(name, of) for name in {*of, *PREDEFINED} - hidden}
        return sorted(f"{name}={value}" for name, value in found.items() if value is not None)

    def _value(self, name: str, of: Mapping[str, str | None]) -> str | None:
        for each in (self._given, of, self._global):
            if (value := each.get(name)) is not None:
                return value
        return None

    def shown(self, values: Iterable[str]) -> list[str]:
        """Return those of some values that history tells: not the predefined ones that the Dockerfile doesn't name."""
        return [each for each in values if (name := each.partition("=")[0]) in self._allowed or name not in PREDEFINED]

    def unused(self) -> list[str]:
        """Return what was given in vain, sorted."""
        return sorted(set(self._given) - self._named - PREDEFINED)
