"""Amounts as people write them: `50ms`, `64KiB`, `10/s`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Self

_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_AMOUNT: Final = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


def seconds(text: str) -> float:
    """A duration; a bare number is seconds.

    Raises:
        ValueError: it is none.
    """
    return _amount(text, _SECONDS, "s")


def _amount(text: str, units: Mapping[str, float], usual: str) -> float:
    number, unit = _parts(text)
    if (unit or usual) not in units:
        raise ValueError(f"{text!r} should be a number with a unit ({', '.join(units)})")
    return number * units[unit or usual]


def _parts(text: str) -> tuple[float, str]:
    """The number and the unit; a unit that nobody knows where it is not such."""
    found = _AMOUNT.fullmatch(text)
    return (float(found[1]), found[2]) if found else (0.0, "?")


@dataclass(frozen=True)
class Size:
    """A number of bytes, such as `64MiB`."""

    bytes: int
    text: str

    @classmethod
    def read(cls, text: object) -> Self:
        """Read it.

        Raises:
            ValueError: it is none.
        """
        return cls(int(_amount(str(text), _BYTES, "B")), str(text))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Rate:
    """So many a second, such as `10/s`, `600/m`."""

    per_second: float
    text: str
    units: ClassVar[Mapping[str, float]] = {"": 1.0}
    example: ClassVar = "10/s"

    @classmethod
    def read(cls, text: object) -> Self:
        """Read it; without a time it is per second.

        Raises:
            ValueError: it is none, or zero.
        """
        amount, _, time = str(text).partition("/")
        number, unit = _parts(amount)
        per_second = number * cls.units.get(unit, 0.0) / _SECONDS.get(time or "s", math.inf)
        if not per_second:
            raise ValueError(f"{str(text)!r} should be more than 0 per s, m or h, such as {cls.example}")
        return cls(per_second, str(text))

    def __str__(self) -> str:
        return self.text


class ByteRate(Rate):
    """So many bytes a second, such as `64KiB/s`."""

    units: ClassVar = {"": 1.0, **_BYTES}
    example: ClassVar = "64KiB/s"
