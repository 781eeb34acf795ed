"""Which containers a list shows: its filters, as an engine reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from swarmlib import Request, SwarmError

from ..dockerapi.filters import flag
from ..dockerapi.matching import named
from ..dockerapi.nulls import fields, items
from ..dockerapi.numbers import integer
from ..dockerapi.status import refusal
from ..dockerapi.values import is_true, labels_fit, number
from . import views
from .addresses import LAST_PORT
from .asked import filters_of
from .container import Container
from .engine import Engine

_STATUSES: Final = {"created", "restarting", "running", "removing", "paused", "exited", "dead"}
_HEALTHS: Final = {"starting", "healthy", "unhealthy", "none"}
_KEPT_LISTS: Final = 16
_FILTERS: Final = {
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
}


def listed(engine: Engine, request: Request) -> bytes:
    """The list that a request asks for, the newest first, as JSON; kept as long as it is true.

    Raises:
        SwarmError: its filters are wrong.
    """
    key = tuple(str(request.params.get(name, "")) for name in ("all", "limit", "size", "filters", "before", "since"))
    kept = engine.listed.get(key)
    if kept is not None and engine.clock.now() < kept[0]:
        return kept[1]
    chosen = _chosen(engine, request)
    now = engine.clock.now()
    parts = [views.summary(engine, each, now) for each in chosen]
    if is_true(request.params.get("size")):
        parts = [orjson.dumps(orjson.loads(part) | views.sizes(each)) for part, each in zip(parts, chosen, strict=True)]
    whole = b"[" + b",".join(parts) + b"]\n"
    if len(engine.listed) >= _KEPT_LISTS:
        engine.listed.clear()
    engine.listed[key] = min((each.fresh_until for each in chosen), default=float("inf")), whole
    return whole


def _chosen(engine: Engine, request: Request) -> list[Container]:
    wanted = filters_of(request, _FILTERS)
    limit = number(request.params, "limit", 0)
    _check(wanted)
    everything = (
        is_true(request.params.get("all")) or limit > 0 or bool({"status", "exited", "before", "since"} & set(wanted))
    )
    if "is-task" in wanted and flag(wanted, "is-task", ["true"], ["false"]):
        return []  # there are no services
    if not wanted:
        found = [each for each in reversed(engine.containers.values()) if everything or each.running]
    else:
        tests = _tests(engine, wanted)
        pool = _between(engine, wanted)
        found = [each for each in pool if (everything or each.running) and all(test(each) for test in tests)]
    return found[:limit] if limit > 0 else found


def _check(wanted: Mapping[str, list[str]]) -> None:
    for value in wanted.get("status", []):
        if value not in _STATUSES:
            raise refusal(400, f"Invalid filter 'status={value}'")
    for value in wanted.get("health", []):
        if value not in _HEALTHS:
            raise refusal(400, f"Unrecognised filter value for health: {value}")
    for value in wanted.get("exited", []):
        if integer(value) is None:
            raise refusal(500, f'strconv.Atoi: parsing "{value}": invalid syntax')


def _between(engine: Engine, wanted: Mapping[str, list[str]]) -> list[Container]:
    """The containers between those that `before` and `since` name."""
    newest = list(reversed(engine.containers.values()))
    for name in ("before", "since"):
        for ref in wanted.get(name, []):
            try:
                bound = engine.find(ref)
            except SwarmError as exc:
                raise refusal(500, f"no such container {ref}") from exc
            if name == "before":
                newest = [each for each in newest if each.created < bound.created]
            else:
                newest = [each for each in newest if each.created > bound.created]
    return newest


_Test = Callable[[Container], bool]


def _tests(engine: Engine, wanted: Mapping[str, list[str]]) -> list[_Test]:
    """A test for each filter; one that has several values fits if one of them does, `label` if all do."""
    makers: dict[str, Callable[[list[str]], _Test]] = {
        "ancestor": lambda values: _ancestor(engine, values),
        "exited": lambda values: lambda each: each.status == "exited" and each.exit_code in map(int, values),
        "expose": lambda values: _port(values, lambda each: fields(each.config.get("ExposedPorts"))),
        "health": lambda values: lambda each: (each.health.status if each.health else "none") in values,
        "id": lambda values: lambda each: any(value in each.id for value in values),
        "label": lambda values: lambda each: labels_fit(each.labels, values),
        "name": _named,
        "network": lambda values: _network(engine, values),
        "publish": lambda values: _port(values, lambda each: {k: v for k, v in each.ports.items() if v}),
        "status": lambda values: lambda each: each.status in values,
        "volume": _volume,
    }
    return [makers[name](values) for name, values in wanted.items() if values and name in makers]


def _ancestor(engine: Engine, values: list[str]) -> _Test:
    wanted: set[str] = set()
    for value in values:
        try:
            wanted.add(engine.images.find(value).id)
        except SwarmError:  # what is no reference names no image either
            continue
    return lambda each: (
        each.image.id in wanted
        or bool(each.image.parent is not None and any(parent in wanted for parent in _parents(each)))
    )


def _parents(container: Container) -> list[str]:
    found: list[str] = []
    image = container.image.parent
    while image is not None:
        found.append(image.id)
        image = image.parent
    return found


def _named(values: list[str]) -> _Test:
    fits = named(values)
    return lambda each: fits(each.name, f"/{each.name}")


def _network(engine: Engine, values: list[str]) -> _Test:
    def fits(each: Container) -> bool:
        return any(
            value == name or (endpoint.network_id and endpoint.network_id.startswith(value))
            for name, endpoint in each.networks.items()
            for value in values
        )

    return fits


def _volume(values: list[str]) -> _Test:
    return lambda each: any(
        value in (mount.name, mount.target, mount.source) for mount in each.mounts for value in values
    )


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
            for bound in items(all or None)
        }
        return bool(wanted & (numbers | set(of(each))))

    return fits
