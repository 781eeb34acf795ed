"""The removal of everything that a tenant has on the engine."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import trio

from swarmlib import NotFound, Path, Request, Sender, SwarmError, Verb
from swarmlib.asking import call

from . import listing
from .names import Names

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
    return [ref for ref, owner in (await listing.owned(sender, Names(tenant).label)).items() if owner == tenant]


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
