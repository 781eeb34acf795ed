"""A volume of a Pod, as what is made of it needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Volume:
    """A volume of a Pod, and where its container mounts it.

    fill: whether it gets what the image has there. bind: the folder or file of the gateway's machine that is copied
    into it; "" for none.
    """

    name: str
    source: dict[str, Any]
    mount: dict[str, Any]
    fill: bool = False
    bind: str = ""
