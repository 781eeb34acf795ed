"""One stage of a build as it goes on: its image so far, its configuration, its ARGs, and what is cached."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from ...dockerapi.nullable import list_of
from ...dockerfile.arguments import BuildArgs
from ...enginekit.configs import NO_CONFIG
from ..image import Image
from ..images import ImageStore
from .configuration import Configuration

_NO_CHANGES: Final[Mapping[str, Any]] = MappingProxyType({})
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_COMPARED: Final = (
    *("AttachStdin", "AttachStdout", "AttachStderr", "User", "Tty", "OpenStdin", "Cmd", "Env", "Labels"),
    *("ExposedPorts", "Entrypoint", "Volumes"),
)
"""What makes two configurations the same step, in the words of an engine's cache."""


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
