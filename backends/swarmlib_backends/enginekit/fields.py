"""What becomes of each field of a creation: it is mapped, asks for nothing, or is refused by its name, with the reason.

A backend that can't run everything that an engine runs has a table with every field of the Engine API's schema. A field
that the table does not have is refused as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from swarmlib import Unsupported

from .bodies import Allows, anything, only


@dataclass(frozen=True)
class Field:
    """A field: which values are accepted, and either what becomes of them, or why others are refused.

    empty: whether an empty value asks for nothing, as it does in most fields.
    """

    allows: Allows
    why: str
    empty: bool = True


@dataclass(frozen=True)
class Each:
    """A list, or an object whose keys are data, of which each item has these fields."""

    fields: Mapping[str, Entry]


Entry: TypeAlias = "Field | Each | Mapping[str, Entry]"


def mapped(what: str) -> Field:
    """Return a field that is honoured, whatever it says; `what` it becomes."""
    return Field(anything, what)


def ignored(why: str) -> Field:
    """Return a field that asks for nothing, whatever it says."""
    return Field(anything, why)


def unsupported(why: str, *but: Any) -> Field:
    """Return a field that is refused unless it has one of these values, which ask for nothing."""
    return Field(only(*but), why)


def check(table: Mapping[str, Entry], body: Mapping[str, Any], what: str) -> None:
    """Refuse a creation that sets what can't be had.

    body: in canonical form. what: a container of the backend in the words of errors, such as "a Pod".

    Raises:
        Unsupported: it does; the error names each such field, and says why.
    """
    if found := [*_refusals(table, body, "")]:
        raise refused(what, *found)


def refused(what: str, *refusals: tuple[str, str]) -> Unsupported:
    """Return the refusal of fields: each with its place and why it can't be had."""
    return Unsupported(f"{what} can't have {', '.join(f'{place} ({why})' for place, why in refusals)}")


def _refusals(table: Mapping[str, Entry], value: Mapping[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for name, each in value.items():
        place, entry = f"{before}{name}", table.get(name, _UNKNOWN)
        if isinstance(entry, Field):
            if not ((entry.empty and not each) or entry.allows(each)):
                yield place, entry.why
        elif isinstance(entry, Each):
            for key, item in _items(each):
                yield from _refusals(entry.fields, item, f"{place}{key}.")
        else:
            yield from _refusals(entry, each, f"{place}.")


def _items(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the items of a list or of an object, each with what leads to it."""
    if isinstance(value, dict):
        yield from ((f".{key}", item or {}) for key, item in cast("dict[str, Any]", value).items())
    else:
        yield from ((f"[{n}]", item) for n, item in enumerate(cast("list[Any]", value or [])))


_UNKNOWN: Final = unsupported("swarmlib does not know this field")
WINDOWS: Final = unsupported("it is for Windows")
"""What only Windows has."""
FILLED_IN: Final = ignored("an engine fills it in, and ignores what a client says")
"""What clients may send back of an inspection."""
MASKED_PATHS: Final = only(
    [
        *("/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"),
        *("/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"),
    ]
)
"""What an engine masks of itself, as its inspections show it."""
READONLY_PATHS: Final = only(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"])
"""What an engine makes read-only of itself."""
