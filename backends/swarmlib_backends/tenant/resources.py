"""The resources that a tenant's quota can limit, and amounts of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from swarmlib import Invalid
from swarmlib.quantities import number_of_bytes, shown_bytes
from swarmlib.suggestions import nearest

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


def check(resource: str) -> None:
    """Raise Invalid if there is no such resource."""
    if resource not in RESOURCES:
        raise Invalid(f"unknown resource {resource!r:.80}; {nearest(resource, sorted(RESOURCES))}")


def read(resource: str, text: str) -> int:
    """Read an amount as people write it.

    Raises:
        Invalid: there is no such resource, or it is no amount of it.
    """
    check(resource)
    try:
        if resource == "memory":
            return number_of_bytes(text)
        return round(float(text) * 10**9) if resource == "cpus" else int(text)
    except (ValueError, OverflowError) as exc:
        raise Invalid(f"invalid amount {text!r:.80} of {resource}: {exc}") from exc


def largest(first: Amounts, second: Amounts) -> Amounts:
    """Return the larger amount of each resource."""
    if not first or not second:
        return first or second
    return {name: max(first.get(name, 0), second.get(name, 0)) for name in first.keys() | second.keys()}
