"""Which containers of a cluster a list shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from swarmlib import Request

from ..dockerapi.nullable import dict_of
from ..dockerapi.references import normal_or_none
from ..enginekit.filters import FILTERS, Filter, by_exit, chosen
from ..enginekit.relations import FILTERS as RELATIONS
from ..enginekit.relations import by_age, by_health, by_mount, by_network, by_port, published
from . import views
from .container import PodContainer
from .mirror import Mirror
from .networking import Networking
from .pods.connections import connections
from .pods.volumes import mounts

_SHA: Final = "sha256:"


def listed(mirror: Mirror, networking: Networking, request: Request) -> list[PodContainer]:
    """Return the containers that a request for a list asks for, the newest first.

    Raises:
        SwarmError: its filters are wrong.
    """
    newest = sorted(mirror.containers, key=lambda each: each.created, reverse=True)
    return chosen(newest, request, _filters(mirror, networking))


def _filters(mirror: Mirror, networking: Networking) -> Mapping[str, Filter[PodContainer]]:
    find = mirror.containers.find
    return {
        **FILTERS,
        **RELATIONS,
        "ancestor": _by_image,
        "before": by_age(find, before=True),
        "exited": by_exit,
        "expose": by_port(lambda each: dict_of(each.config.get("ExposedPorts"))),
        "health": by_health(lambda each: each.state.health.status if each.state.health else "none"),
        "network": by_network(lambda each: {name: networking.id_of(name) for name in connections(each.record)}),
        "publish": by_port(lambda each: published(each.record.ports) if each.running else ()),
        "since": by_age(find, before=False),
        "volume": by_mount(lambda each: set(_mounted(each))),
    }


def _by_image(values: list[str]) -> Callable[[PodContainer], bool]:
    """Return the test of the filter `ancestor`: images by their references, or the beginnings of their ids."""
    names = {name for value in values if (name := normal_or_none(value)) is not None}
    ids = tuple(value.removeprefix(_SHA) for value in values if value)

    def fits(each: PodContainer) -> bool:
        by_name = normal_or_none(str(each.config.get("Image") or "")) in names
        return by_name or views.image_id(each).removeprefix(_SHA).startswith(ids)

    return lambda each: not values or fits(each)


def _mounted(container: PodContainer) -> Iterator[str]:
    for mount in mounts(container.record):
        yield from (mount.name, mount.source, mount.target)
