"""A container's place in a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Endpoint:
    """A container's place in a network; it has an id and an address only while the container runs."""

    given: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the user asked for: aliases, an address, links."""
    id: str = ""
    network_id: str = ""
    address: str = ""
    prefix: int = 0
    gateway: str = ""
    address6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    mac: str = ""
    aliases: list[str] | None = None

    def __post_init__(self) -> None:
        self.aliases = self.aliases or self.given.get("Aliases")
        self.mac = self.given.get("MacAddress") or ""  # which an engine shows until the start, and then forgets

    def clear(self) -> None:
        """Forget what it has only while the container runs."""
        self.id = self.address = self.gateway = self.address6 = self.gateway6 = self.mac = ""
        self.prefix = self.prefix6 = 0
