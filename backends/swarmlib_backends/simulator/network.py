"""A network, and the containers that are connected to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from .container import Container
from .ipam import Ipam

PREDEFINED: Final = {"bridge": "bridge", "host": "host", "none": "null"}
"""The networks that every engine has, with their drivers."""


@dataclass(eq=False)
class Network:
    """A network; `addresses` is None for host and none."""

    id: str
    name: str
    driver: str
    created: float
    addresses: Ipam | None
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    """As it was asked for."""
    members: dict[str, Container] = field(default_factory=dict[str, Container])
    """The running containers that are connected, by id."""

    @property
    def predefined(self) -> bool:
        """Whether it is one of the three that every engine has."""
        return self.name in PREDEFINED

    @property
    def config_only(self) -> bool:
        """Whether it is there for others that take their configuration from it, and nothing can be connected to it."""
        return bool(self.body.get("ConfigOnly"))
