"""One stage of a build as it goes on: its image so far, its configuration, its ARGs, and what is cached."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Self

from ...dockerapi.nullable import list_of
from ...enginekit.configs import NO_CONFIG
from ..image import Image
from ..images import ImageStore
from .configuration import Configuration

PREDEFINED: Final = frozenset(
    spelt for name in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY") for spelt in (name, name.lower())
)
"""Those that need no ARG."""
_NO_CHANGES: Final[Mapping[str, Any]] = MappingProxyType({})
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_COMPARED: Final = (
    *("AttachStdin", "AttachStdout", "AttachStderr", "User", "Tty", "OpenStdin", "Cmd", "Env", "Labels"),
    *("ExposedPorts", "Entrypoint", "Volumes"),
)
"""What makes two configurations the same step, in the words of an engine's cache."""


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


@dataclass
class StageState:
    """A stage; `image` is None as long as there is nothing in it but `scratch`."""

    image: Image | None
    arguments: BuildArgs
    config: Configuration = field(init=False)
    author: str = ""
    missed: bool = False
    """Whether a step was not cached: then none after it is."""

    def __post_init__(self) -> None:
        config = NO_CONFIG | copy.deepcopy(self.image.config if self.image else {})
        config |= {"OpenStdin": False, "StdinOnce": False}
        if not any(entry.startswith("PATH=") for entry in list_of(config["Env"])):
            config["Env"] = [*list_of(config["Env"]), _PATH]
        self.config = Configuration(config)
        self.remember()

    @property
    def id(self) -> str:
        """Its image's id; empty if it has none."""
        return self.image.id if self.image else ""

    @property
    def short_id(self) -> str:
        """As progress shows it."""
        return self.id.removeprefix("sha256:")[:12]

    def remember(self) -> None:
        """Say in the configuration which image it stands on."""
        self.config.values["Image"] = self.id

    def container_config(self, changes: Mapping[str, Any] = _NO_CHANGES) -> dict[str, Any]:
        """Return the configuration of a step's container."""
        return {**copy.deepcopy(self.config.values), **changes}

    def of_comment(self, *words: str) -> dict[str, Any]:
        """Return the configuration of a container that runs nothing, but tells history what was done."""
        first, *rest = words
        return self.container_config({"Cmd": [*self.config.shell, f"#(nop) {first}", *rest]})


def cached(store: ImageStore, stage: StageState, config: dict[str, Any], among: Collection[str] | None) -> Image | None:
    """Return the newest image that the same step has made of the same image; `among` some ids, if that is not None."""
    fitting = [
        each
        for each in store.children(stage.image)
        if (among is None or each.id in among) and _same(each.origin.config, config)
    ]
    return max(fitting, key=lambda image: image.created, default=None)


def _same(one: Mapping[str, Any], other: dict[str, Any]) -> bool:
    return bool(one) and all((one.get(name) or None) == (other.get(name) or None) for name in _COMPARED)
