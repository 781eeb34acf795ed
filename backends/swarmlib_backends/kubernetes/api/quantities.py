"""Amounts of CPUs and memory, as the cluster writes them: `4`, `500m`, `64Mi`, `1e3`."""

from __future__ import annotations

import re
from typing import Final

_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?[0-9]{1,30}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,2})?)(?P<unit>[a-zA-Z]{0,2})"
)
_UNITS: Final = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    **{unit: 1000.0**power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{unit: 1024.0**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}


def quantity(text: str) -> float | None:
    """Return an amount: CPUs, or bytes; None for a text that is none.

    Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    found = _QUANTITY.fullmatch(text)
    if found is None or found["unit"] not in _UNITS:
        return None
    return float(found["number"]) * _UNITS[found["unit"]]
