"""Containers that ask for it are made anew on another engine when theirs dies: `reschedule:on-node-failure`.

Two things are never done. A container with a mount is left alone: what it has written is on the dead engine, and an
empty volume elsewhere would pass for it. And the old container is removed (its volumes are not) before an engine
that comes back counts as up, so that nobody sees two. An engine that was only cut off does run its containers until
then: `--reschedule-after` is how long that must have lasted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import trio

from swarmlib import Json, Message, SwarmError, Verb

from ..dockerapi.nulls import fields
from .index import LABEL, Container
from .members import CHANGE_SECONDS, Member
from .mirror import MOVED
from .roster import Roster
from .spawning import Spawner
from .wish import reschedules

_log = logging.getLogger("swarmlib.balance")

_AGAIN_SECONDS: Final = 10.0
_CONTAINERS: Final = ("containers",)


class Rescheduler:
    """Watches the engines, and moves what may be moved."""

    def __init__(self, roster: Roster, spawner: Spawner, after: float) -> None:
        self._roster = roster
        self._spawner = spawner
        self._after = after
        self._waiting: set[Member] = set()

    async def run(self) -> None:
        """Follow what becomes of the engines, for ever."""
        async with trio.open_nursery() as nursery, self._roster.listening() as news:
            async for event in news:
                member = self._roster.named(event["Actor"]["ID"])
                if member is not None and not member.up and member not in self._waiting:
                    self._waiting.add(member)
                    nursery.start_soon(self._when_dead, member)

    async def _when_dead(self, member: Member) -> None:
        try:
            with trio.move_on_after(self._after):
                await member.wait_up()
            while not member.up and await self._move_all(member):
                with trio.move_on_after(_AGAIN_SECONDS):
                    await member.wait_up()
        finally:
            self._waiting.discard(member)

    async def _move_all(self, member: Member) -> bool:
        """Make the containers of a dead engine anew; says whether some must be tried again."""
        failed = False
        for id, inspected in list(member.mirror.inspected.items()):
            container = member.mirror.containers.get(id)
            if container is None or not _may_move(container, inspected):
                continue
            try:
                await self._move(container, inspected)
            except SwarmError as exc:
                failed = True
                _log.error("%s can't be made anew: %s", container.label, exc.message)
        return failed

    async def _move(self, container: Container, inspected: Mapping[str, Any]) -> None:
        request = Message(Verb.SPAWN, _CONTAINERS, {"name": container.names[0]}, Json.of(_body(container, inspected)))
        made = (await self._spawner.create(request, instead_of=container)).value["Id"]
        old = container.member
        self._roster.index.moved.add(container.id)
        old.mirror.removed("containers", container.id)
        new = self._roster.index.containers.find(made)[0]
        await new.member.ask(Message(Verb.START, (*_CONTAINERS, made)), CHANGE_SECONDS)
        _log.warning("%s was made anew on %s: %s is down", container.names[0], new.member.name, old.name)


def _may_move(container: Container, inspected: Mapping[str, Any]) -> bool:
    labels: Mapping[str, str] = inspected["Config"].get("Labels") or {}
    if not inspected["State"].get("Running") or not container.names or not reschedules(labels):
        return False
    if inspected.get("Mounts"):
        _log.warning("%s stays on its dead engine: it has mounts, whose data is there", container.label)
        return False
    return True


def _body(container: Container, inspected: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a create that makes a container like the one that was inspected."""
    config: dict[str, Any] = inspected["Config"]
    labels = {name: value for name, value in fields(config.get("Labels")).items() if name != LABEL}
    body = {name: value for name, value in config.items() if name not in ("Hostname", "MacAddress")}
    if config.get("Hostname") != container.id[:12]:
        body["Hostname"] = config.get("Hostname")
    networks: dict[str, Any] = inspected.get("NetworkSettings", {}).get("Networks") or {}
    endpoints = {
        name: {"Aliases": each.get("Aliases"), "IPAMConfig": each.get("IPAMConfig")} for name, each in networks.items()
    }
    return body | {
        "Labels": labels | {MOVED: container.id},
        "HostConfig": inspected.get("HostConfig"),
        "NetworkingConfig": {"EndpointsConfig": {} if set(networks) <= {"bridge", "host", "none"} else endpoints},
    }
