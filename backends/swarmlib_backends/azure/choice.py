"""One of the possible machines that a description leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """A size with a zone ("" for any), as a spot machine or not; the reference to its image, and the image's plan."""

    size: str
    zone: str
    spot: bool
    image: dict[str, Any]
    plan: dict[str, Any] | None

    def __str__(self) -> str:
        return f"{self.size}{f' in zone {self.zone}' if self.zone else ''}{', spot' if self.spot else ''}"
