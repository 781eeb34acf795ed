"""Which containers a list shows, and the list; kept as long as it is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import orjson

from swarmlib import Request, SwarmError

from ..dockerapi.nullable import dict_of
from ..dockerapi.operations import ContainerList
from ..enginekit.filters import FILTERS, Filter, by_exit, chosen
from ..enginekit.relations import FILTERS as RELATIONS
from ..enginekit.relations import by_age, by_health, by_mount, by_network, by_port, published
from . import views
from .container import Container
from .engine import Engine
from .image import Image

_KEPT_LISTS: Final = 16


def listed(engine: Engine, request: Request) -> bytes:
    """Return the list that a request asks for, the newest first, as JSON; kept as long as it is true.

    Raises:
        SwarmError: its filters are wrong.
    """
    asked = ContainerList.of(request)
    key = tuple(map(asked.get, ContainerList.declared))
    kept = engine.listed.get(key)
    if kept is not None and engine.clock.now() < kept[0]:
        return kept[1]
    shown = chosen(reversed(engine.containers), request, _filters(engine))
    now = engine.clock.now()
    parts = [views.summary(engine, each, now) for each in shown]
    if asked.size:
        parts = [orjson.dumps(orjson.loads(part) | views.sizes(each)) for part, each in zip(parts, shown, strict=True)]
    whole = b"[" + b",".join(parts) + b"]\n"
    if len(engine.listed) >= _KEPT_LISTS:
        engine.listed.clear()
    engine.listed[key] = min((each.fresh_until for each in shown), default=float("inf")), whole
    return whole


def _filters(engine: Engine) -> Mapping[str, Filter[Container]]:
    return {
        **FILTERS,
        **RELATIONS,
        "ancestor": lambda values: _ancestor(engine, values),
        "before": by_age(engine.find, before=True),
        "exited": by_exit,
        "expose": by_port(lambda each: dict_of(each.config.get("ExposedPorts"))),
        "health": by_health(lambda each: each.health.status if each.health else "none"),
        "network": by_network(_networks),
        "publish": by_port(lambda each: published(each.ports)),
        "since": by_age(engine.find, before=False),
        "volume": by_mount(_mounts),
    }


def _ancestor(engine: Engine, values: list[str]) -> Callable[[Container], bool]:
    wanted: set[str] = set()
    for value in values:
        try:
            wanted.add(engine.images.find(value).id)
        except SwarmError:  # what is no reference names no image either
            continue
    return lambda each: not values or any(image.id in wanted for image in _images(each))


def _images(container: Container) -> Iterator[Image]:
    """Give the image of a container, and those that it was made of."""
    image: Image | None = container.image
    while image is not None:
        yield image
        image = image.parent


def _networks(container: Container) -> Mapping[str, str]:
    return {name: endpoint.network_id for name, endpoint in container.networks.items()}


def _mounts(container: Container) -> set[str]:
    return {word for mount in container.mounts for word in (mount.name, mount.target, mount.source)}
