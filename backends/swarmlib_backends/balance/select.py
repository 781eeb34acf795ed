"""The engines that a list, a prune or a watch concerns, and the parameters and filters that each of them gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from swarmlib import Request

from ..dockerapi.filters import decode, encode
from ..dockerapi.matching import glob
from ..dockerapi.operations import ContainerList
from ..dockerapi.parameters import Params
from .labels import LABEL
from .member import Member

_RELATIVE: Final = ("before", "since")
"""Filters that name an object, which only its own engine knows."""


@dataclass(frozen=True)
class Selection:
    """A request's parameters, split into those for balance and those for the engines."""

    params: Mapping[str, Any]
    """As they came, without the filters that choose nodes."""
    filters: Mapping[str, list[str]]
    nodes: Sequence[str] | None = None
    """Patterns of the nodes' names; None for all."""
    limit: int | None = None
    """How many containers the list may hold, including exited ones; None for all, as for 0 and less."""

    @classmethod
    def of(cls, request: Request) -> Self:
        """Take the `node` filter, and the label that stands for it, out of a canonical request's parameters."""
        asked = request.params
        if not isinstance(asked, Params) or "filters" not in asked.declared:  # for the engines to refuse
            return cls(asked, {})
        limit = asked.limit if "limit" in asked and isinstance(asked, ContainerList) else None
        limit = limit if (limit or 0) > 0 else None
        if "filters" not in asked:
            return cls(asked, {}, limit=limit)
        filters = decode(asked)
        labels = filters.get("label", [])
        nodes = [*filters.pop("node", []), *(each.partition("=")[2] or "*" for each in labels if _is_node(each))]
        if not nodes:
            return cls(asked, filters, limit=limit)
        rest = [each for each in labels if not _is_node(each)]
        filters = {name: values for name, values in filters.items() if name != "label"}
        filters |= {"label": rest} if rest else {}
        return cls(with_filters(asked, filters), filters, nodes, limit)

    def chosen(self, members: Sequence[Member]) -> list[Member]:
        """Return the engines that are selected. Raise Invalid if a pattern that names them is too long."""
        patterns = self.nodes
        if patterns is None:
            return list(members)
        fits = [glob(pattern) for pattern in patterns]
        return [member for member in members if any(each(member.name) for each in fits)]

    @property
    def relative(self) -> dict[str, str]:
        """The objects that bound the list."""
        return {name: self.filters[name][0] for name in _RELATIVE if self.filters.get(name)}

    def without_relative(self) -> Mapping[str, Any]:
        """Return the parameters for an engine that doesn't know those objects; without the limit."""
        kept = {name: value for name, value in self.params.items() if name != "limit"}
        filters = {name: values for name, values in self.filters.items() if name not in _RELATIVE}
        if self.limit is not None:
            kept["all"] = "1"
        return with_filters(kept, filters)

    @property
    def plain(self) -> bool:
        """Whether it asks for nothing but what the index holds: labels with their values, if any."""
        asked = {name for name, value in self.params.items() if value != "0"}
        known = not self.filters or (self.filters.keys() <= {"label"} and all("=" in each for each in self.labels))
        return known and asked <= {"all", "filters"}

    @property
    def labels(self) -> Sequence[str]:
        """The labels that each object must have, as `NAME` or `NAME=VALUE`."""
        return self.filters.get("label", ())


def _is_node(label: str) -> bool:
    return label == LABEL or label.startswith(f"{LABEL}=")


def with_filters(args: Mapping[str, Any], filters: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the args with other filters."""
    rest = {name: value for name, value in args.items() if name != "filters"}
    return rest | ({"filters": encode(filters)} if filters else {})
