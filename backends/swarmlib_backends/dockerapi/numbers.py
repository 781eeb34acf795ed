"""Integers in text, as Go's `strconv` reads them for an engine."""

from __future__ import annotations

import re
from typing import Final

INT64: Final = range(-(2**63), 2**63)
UINT64: Final = range(2**64)
_DECIMAL: Final = re.compile(r"([+-]?)(?=[0-9])0*+([0-9]{0,20})")


def integer(text: str, allowed: range = INT64) -> int | None:
    """Return the integer of a text in decimal digits, with or without a sign; unsigned integers must not have one.

    Return None if an engine would read no number, or if the number is not allowed.

    >>> integer("+005"), integer("0x5"), integer("-1", range(256))
    (5, None, None)
    """
    found = _DECIMAL.fullmatch(text)
    if found is None or (found[1] and allowed.start == 0):
        return None
    number = int(f"{found[1]}{found[2] or 0}")
    return number if number in allowed else None
