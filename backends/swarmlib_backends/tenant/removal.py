"""The removal of everything that a tenant has on the engine."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import trio

from swarmlib import NotFound, Path, Request, Sender, SwarmError, Verb
from swarmlib.asking import call

from ..dockerapi.filters import encode
from . import amounts
from .names import LABEL, Names

_log = logging.getLogger(__name__)

_ATTEMPTS: Final = 10
_PAUSE_SECONDS: Final = 1.0
"""Seconds before what could not be removed is tried again."""
_CONCURRENT: Final = 8
_FORCE: Final = {"force": "1"}
_PARAMS: Final[Mapping[str, Mapping[str, str]]] = {
    "containers": {**_FORCE, "v": "1"},
    "networks": {},
    "volumes": _FORCE,
    "images": _FORCE,
}
"""The kinds of objects, in the order in which they can be removed, and the parameters of their removal."""


async def remove_all(sender: Sender, tenant: str) -> None:
    """Remove what a tenant has, until nothing is found. What is left after some attempts is named in the log."""
    failed: Mapping[Path, str] = {}
    for _ in range(_ATTEMPTS):
        try:
            found = await _found(sender, tenant)
            if not found:
                return
            failed = await _remove(sender, found)
        except SwarmError as exc:
            failed = {(): exc.message}
        if failed:
            await trio.sleep(_PAUSE_SECONDS)
    for path, reason in failed.items():
        _log.error("tenant: %s of the ended lease %s is left: %s", "/".join(path) or "everything", tenant, reason)


async def _found(sender: Sender, tenant: str) -> list[Path]:
    names = Names(tenant)
    return [path for path, owner in await owned(sender, names.label) if owner == tenant]


async def owned(sender: Sender, label: str = LABEL) -> list[tuple[Path, str]]:
    """List the objects of tenants, each with its owner, in the order in which they can be removed.

    label: the filter for those that have labels.

    Raises:
        SwarmError: the engine does not answer, or gives a malformed answer.
    """
    found: list[tuple[Path, str]] = []
    for kind in ("containers", "networks", "volumes"):
        params = {"filters": encode({"label": [label]})} | ({"all": "1"} if kind == "containers" else {})
        value = (await call(sender, Request(Verb.LS, (kind,), params))).value
        found += [((kind, id), owner) for id, owner in amounts.listed(kind, value) if owner is not None]
    value = (await call(sender, Request(Verb.LS, ("images",)))).value
    return found + [(("images", tag), owner) for tag, owner in amounts.tags(value)]


async def _remove(sender: Sender, found: list[Path]) -> Mapping[Path, str]:
    """Remove objects; return why some could not be."""
    failed: dict[Path, str] = {}

    async def remove(path: Path) -> None:
        async with limit:
            try:
                await call(sender, Request(Verb.RM, path, _PARAMS[path[0]]))
            except NotFound:
                return
            except SwarmError as exc:
                failed[path] = exc.message

    for kind in _PARAMS:
        limit = trio.CapacityLimiter(_CONCURRENT)
        async with trio.open_nursery() as nursery:
            for path in found:
                if path[0] == kind:
                    nursery.start_soon(remove, path)
    return failed
