"""Which objects a list or a prune is about: filters, as an engine reads them.

A filter is a function that takes the values of a request, and returns the test of one container. To have another filter
is to put another function beside those of `FILTERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from typing import Final, Protocol, TypeAlias, TypeVar

from swarmlib import Invalid, Request, Unsupported

from ..dockerapi.matching import named
from ..dockerapi.numbers import integer
from ..dockerapi.operations import ContainerList
from ..dockerapi.status import refusal
from ..dockerapi.times import filter_moment
from ..dockerapi.values import labels_fit
from .played import Played

ENGINES: Final = frozenset(
    {
        *("ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network"),
        *("publish", "since", "status", "volume"),
    }
)
"""The filters of containers that an engine knows."""
IMAGES: Final = frozenset({"before", "dangling", "label", "reference", "since"})
"""The filters of images that an engine knows."""
PRUNE_FILTERS: Final = frozenset({"label", "label!", "until"})
"""The filters that every prune of objects with a time has."""
_STATUSES: Final = frozenset({"created", "restarting", "running", "removing", "paused", "exited", "dead"})
_OF_STOPPED: Final = frozenset({"status"})
"""Filters with which a list also holds containers that don't run."""


class Listed(Protocol):
    """What lists need of a container."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        ...

    @property
    def status(self) -> str:
        """Its state in the engine's word."""
        ...

    @property
    def running(self) -> bool:
        """Whether it runs, or is paused."""
        ...


Wanted: TypeAlias = dict[str, list[str]]
"""Filters with their values."""
C = TypeVar("C")
L = TypeVar("L", bound=Listed)
Filter: TypeAlias = Callable[[list[str]], Callable[[C], bool]]


def chosen(newest: Iterable[L], request: Request, filters: Mapping[str, Filter[L]]) -> list[L]:
    """Return the containers that a request for a list asks for, in the order in which they are given.

    newest: all containers, the newest first. filters: those that there are, by their names.

    Raises:
        SwarmError: a filter is not among them, or wrong.
    """
    asked = ContainerList.of(request)
    wanted, limit = checked(asked.filters, filters, ENGINES), asked.limit or 0
    everything = asked.all or limit > 0 or not _OF_STOPPED.isdisjoint(wanted)
    shown = iter(newest) if everything else (each for each in newest if each.running)
    for name, values in wanted.items():
        shown = filter(filters[name](values), shown)
    return list(islice(shown, limit if limit > 0 else None))


def checked(wanted: Wanted, known: Collection[str], engines: Collection[str] = ()) -> Wanted:
    """Return the filters of a request, each with its values, if all are `known`.

    engines: those that an engine would know besides.

    Raises:
        Invalid: an engine doesn't know one of them either.
        Unsupported: an engine would know it; the error names those that there are here.
    """
    for name in wanted:
        if name in known:
            continue
        if name in engines:
            raise Unsupported(f"the filter {name} is not supported; expected one of {', '.join(sorted(known))}")
        raise Invalid(f"Invalid filter '{name}'")
    return wanted


def one_of(fits: Callable[[C, str], bool]) -> Filter[C]:
    """Return the filter that a container passes if it fits one of the values; without values, all pass."""
    return lambda values: lambda each: not values or any(fits(each, value) for value in values)


def by_name(values: list[str]) -> Callable[[Listed], bool]:
    """Return the test of the filter `name`, whose values are regular expressions. Raises `Invalid`."""
    fits = named(values)
    return lambda each: fits(each.name, f"/{each.name}")


def by_status(values: list[str]) -> Callable[[Listed], bool]:
    """Return the test of the filter `status`. Raises `SwarmError` if the status is unknown."""
    for value in values:
        if value not in _STATUSES:
            raise refusal(400, f"Invalid filter 'status={value}'")
    return lambda each: not values or each.status in values


def by_exit(values: list[str]) -> Callable[[Played], bool]:
    """Return the test of the filter `exited`, whose values are exit codes. Raises `SwarmError` for other values."""
    for value in values:
        if integer(value) is None:
            raise refusal(500, f'strconv.Atoi: parsing "{value}": invalid syntax')
    codes = set(map(int, values))
    return lambda each: not codes or (each.status == "exited" and each.exit_code in codes)


FILTERS: Final[Mapping[str, Filter[Listed]]] = {
    "id": one_of(lambda each, value: value in each.id),
    "label": lambda values: lambda each: labels_fit(each.labels, values),
    "name": by_name,
    "status": by_status,
}
"""The filters that need nothing more of a container than every list does."""


def labels_wanted(labels: Mapping[str, str], wanted: Mapping[str, list[str]]) -> bool:
    """Return whether labels pass the filters `label` and `label!`: one leaves out what has all of its labels."""
    excluded = "label!" in wanted and labels_fit(labels, wanted["label!"])
    return labels_fit(labels, wanted.get("label", [])) and not excluded


def pruned(
    wanted: Wanted, now: float, known: Collection[str] = PRUNE_FILTERS
) -> Callable[[Mapping[str, str] | None, float], bool]:
    """Return the test of what a prune with these filters is about, by its labels and the time at which it was made.

    Raises:
        SwarmError: a filter is not known, or wrong.
    """
    until = _until_of(checked(wanted, known), now)
    return lambda labels, created: created <= until and labels_wanted(labels or {}, wanted)


def _until_of(wanted: Mapping[str, list[str]], now: float) -> float:
    """Return the moment that the `until` filter of a prune names, in seconds since the epoch.

    Raises:
        SwarmError: it is not a time, or there are several.
    """
    values = set(wanted.get("until", []))
    if len(values) > 1:
        raise refusal(500, "more than one until filter specified")
    for value in values:
        if (found := filter_moment(value, now)) is None:
            raise refusal(500, f'failed to parse value as time or duration: "{value}"')
        return found
    return math.inf
