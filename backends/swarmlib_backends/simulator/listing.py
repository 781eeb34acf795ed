"""Which containers a list shows, and the list; kept as long as it is true."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson

from swarmlib import Request, SwarmError

from ..dockerapi.filters import flag
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import ContainerList
from ..dockerapi.status import refusal
from ..enginekit.filters import FILTERS, Filter, by_exit, by_health, chosen, one_of
from . import views
from .addresses import LAST_PORT
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
        "ancestor": lambda values: _ancestor(engine, values),
        "before": lambda values: _bounded(engine, values, lambda each, bound: each.created < bound.created),
        "exited": by_exit,
        "expose": lambda values: _port(values, lambda each: dict_of(each.config.get("ExposedPorts"))),
        "health": by_health(lambda each: each.health),
        "is-task": lambda values: lambda each: not flag({"is-task": values}, "is-task", ["true"], ["false"]),
        "isolation": lambda values: lambda each: True,
        "network": one_of(_is_in),
        "publish": lambda values: _port(values, lambda each: {k: v for k, v in each.ports.items() if v}),
        "since": lambda values: _bounded(engine, values, lambda each, bound: each.created > bound.created),
        "volume": one_of(_mounts),
    }


_Test = Callable[[Container], bool]


def _bounded(engine: Engine, values: list[str], fits: Callable[[Container, Container], bool]) -> _Test:
    """Return the test of the containers before, or after, those that are named."""
    bounds: list[Container] = []
    for ref in values:
        try:
            bounds.append(engine.find(ref))
        except SwarmError as exc:
            raise refusal(500, f"no such container {ref}") from exc
    return lambda each: all(fits(each, bound) for bound in bounds)


def _ancestor(engine: Engine, values: list[str]) -> _Test:
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


def _is_in(container: Container, network: str) -> bool:
    return any(
        network == name or (endpoint.network_id and endpoint.network_id.startswith(network))
        for name, endpoint in container.networks.items()
    )


def _mounts(container: Container, place: str) -> bool:
    return any(place in (mount.name, mount.target, mount.source) for mount in container.mounts)


def _port(values: list[str], of: Callable[[Container], Mapping[str, Any]]) -> _Test:
    wanted: set[str] = set()
    for value in values:
        ports, _, protocol = value.partition("/")
        first, _, last = ports.partition("-")
        for bound in (first, last or first):
            if not re.fullmatch("[0-9]{1,5}", bound) or int(bound) > LAST_PORT:
                kind = (
                    f'error while looking up for publish {value}: strconv.ParseUint: parsing "{bound}": invalid syntax'
                )
                raise refusal(500, kind)
        wanted |= {f"{port}/{protocol or 'tcp'}" for port in range(int(first), int(last or first) + 1)}

    def fits(each: Container) -> bool:
        numbers = {
            f"{bound['HostPort']}/{port.partition('/')[2]}"
            for port, all in of(each).items()
            for bound in list_of(all or None)
        }
        return not values or bool(wanted & (numbers | set(of(each))))

    return fits
