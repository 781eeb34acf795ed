"""The resources that a tenant's quota can limit, and amounts of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from swarmlib.quantities import shown_bytes

Amounts: TypeAlias = Mapping[str, int]
"""What is used of each resource: a number of objects, bytes of memory, billionths of a CPU."""
UNLIMITED: Final = 1 << 62
"""What a container without a limit may use: more than any quota."""


def _shown(number: int) -> str:
    return str(number)


def _shown_cpus(number: int) -> str:
    return f"{number / 1e9:g}"


RESOURCES: Final[Mapping[str, Callable[[int], str]]] = {
    **dict.fromkeys(("containers", "running"), _shown),
    "cpus": _shown_cpus,
    "memory": shown_bytes,
    **dict.fromkeys(("pids", "volumes", "networks", "images", "ports"), _shown),
}
"""The resources that a quota can limit, and how an amount of each is shown."""


def shown(resource: str, amount: int) -> str:
    """Return the text of an amount, for people."""
    return "no limit" if amount >= UNLIMITED >> 1 else RESOURCES[resource](amount)


def largest(first: Amounts, second: Amounts) -> Amounts:
    """Return the larger amount of each resource."""
    if not first or not second:
        return first or second
    return {name: max(first.get(name, 0), second.get(name, 0)) for name in first.keys() | second.keys()}
