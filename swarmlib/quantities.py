"""Amounts as people write them: `50ms`, `64KiB`, `10/s`; and the types of options that take them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Self, TypeAlias

from .options import Reader

_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "b": 1,
    "k": 2**10,
    "m": 2**20,
    "g": 2**30,
    "t": 2**40,
}
_AMOUNT: Final = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


def seconds(given: object) -> float:
    """Return the seconds of a duration such as `1.5s`; a bare number is seconds.

    Raises:
        ValueError: it is not a duration.
    """
    return _amount(given, _SECONDS, "s")


def shown_seconds(seconds: float) -> str:
    """Return the text of a duration, in the largest unit of which it is a whole number."""
    amounts = ((seconds / _SECONDS[unit], unit) for unit in ("d", "h", "m", "s", "ms"))
    whole = (f"{amount:.0f}{unit}" for amount, unit in amounts if amount.is_integer())
    return next(whole, f"{seconds:.15g}s") if seconds else "0s"


def number_of_bytes(given: object) -> int:
    """Return the bytes of a size such as `64MiB`; a bare number is bytes, and `64m` is as `docker run --memory` has it.

    Raises:
        ValueError: it is not a size.
    """
    return int(_amount(given, _BYTES, "B"))


def shown_bytes(size: int) -> str:
    """Return the text of a size, in the largest unit of which it is a whole number."""
    unit = next((unit for unit in ("GiB", "MiB", "KiB") if size and not size % _BYTES[unit]), "B")
    return f"{size // _BYTES[unit]}{unit}"


Duration: TypeAlias = Annotated[float, Reader(seconds, "DURATION", shown_seconds)]
"""An option that takes a time in seconds, or a text such as `1.5s`, `10m`."""

Size: TypeAlias = Annotated[int, Reader(number_of_bytes, "SIZE", shown_bytes)]
"""An option that takes a number of bytes, or a text such as `64MiB`."""


def _amount(given: object, units: Mapping[str, float], usual: str) -> float:
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given < math.inf:
        return given
    number, unit = _parts(str(given))
    if (unit or usual) not in units:
        raise ValueError(f"invalid value {given!r}: expected a number with a unit ({', '.join(units)})")
    return number * units[unit or usual]


def _parts(text: str) -> tuple[float, str]:
    """Return the number and the unit of an amount; an unknown unit if the text is not an amount."""
    found = _AMOUNT.fullmatch(text)
    return (float(found[1]), found[2]) if found else (0.0, "?")


@dataclass(frozen=True)
class Rate:
    """A rate, such as `10/s`, `600/m`."""

    per_second: float
    text: str
    units: ClassVar[Mapping[str, float]] = {"": 1.0}
    example: ClassVar = "10/s"

    @classmethod
    def read(cls, text: object) -> Self:
        """Read a rate; without a time it is per second.

        Raises:
            ValueError: it is not a rate, or zero.
        """
        amount, _, time = str(text).partition("/")
        number, unit = _parts(amount)
        per_second = number * cls.units.get(unit, 0.0) / _SECONDS.get(time or "s", math.inf)
        if not per_second:
            raise ValueError(
                f"invalid value {str(text)!r}: expected a number above 0 per s, m or h, such as {cls.example}"
            )
        return cls(per_second, str(text))

    def __str__(self) -> str:
        return self.text


class ByteRate(Rate):
    """A rate in bytes, such as `64KiB/s`."""

    units: ClassVar = {"": 1.0, **_BYTES}
    example: ClassVar = "64KiB/s"
