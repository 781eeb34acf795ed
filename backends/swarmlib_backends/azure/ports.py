"""Ports of machines, such as those that `--open-port` opens to everybody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from swarmlib import Invalid

_FORM: Final = re.compile(r"([1-9]\d{0,4})(?:/(tcp|udp))?")
_LARGEST: Final = 65535


@dataclass(frozen=True, order=True)
class Port:
    """A port of TCP or UDP."""

    number: int
    protocol: str = "tcp"

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a port such as 80 or 53/udp.

        Raises:
            Invalid: the text is no port.
        """
        found = _FORM.fullmatch(text)
        if found is None or int(found[1]) > _LARGEST:
            raise Invalid(f"invalid --open-port {text!r}: expected PORT or PORT/udp")
        return cls(int(found[1]), found[2] or "tcp")

    def __str__(self) -> str:
        return str(self.number) if self.protocol == "tcp" else f"{self.number}/{self.protocol}"
