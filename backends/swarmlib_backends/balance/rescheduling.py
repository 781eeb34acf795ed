"""Containers that ask for it are recreated on another engine when theirs dies: `reschedule:on-node-failure`.

A container with a mount is left alone: its data is on the dead engine, and an empty volume elsewhere would be taken for
it. The old container is removed (its volumes are not) before an engine that comes back counts as up, so that nobody
sees two. An engine that was only cut off runs its containers until then: `--reschedule-after` is how long the outage
must have lasted.

Moves are remembered in memory alone, as anybody can set a label. A swarmd that was restarted meanwhile therefore
removes nothing: it logs a warning for each container that may exist twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import trio

from swarmlib import Json, Request, SwarmError, Verb
from swarmlib.supervision import supervised

from ..dockerapi.nullable import dict_of
from .labels import LABEL, MOVED
from .lasting import lasting
from .member import Member
from .members import Members
from .objects import Container
from .placement.request import reschedules
from .spawning import Spawner

_log = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 10.0
_CONTAINERS: Final = ("containers",)


class Rescheduler:
    """Watches the engines, and moves the containers that may be moved."""

    def __init__(self, members: Members, spawner: Spawner, after: float) -> None:
        self._members = members
        self._spawner = spawner
        self._after = after
        self._waiting: set[Member] = set()

    async def run(self) -> None:
        """Follow the state of the engines forever."""
        await lasting("balance: rescheduling", self._follow)

    async def _follow(self) -> None:
        async with trio.open_nursery() as nursery, self._members.listening() as news:
            for member in self._members.all:
                self._look_at(member, nursery)
            async for event in news:
                member_named = self._members.named(event["Actor"]["ID"])
                if member_named is not None:
                    self._look_at(member_named, nursery)

    def _look_at(self, member: Member, nursery: trio.Nursery) -> None:
        if member.up:
            self._report_doubles(member)
        elif member.failure is not None and member not in self._waiting:
            self._waiting.add(member)
            nursery.start_soon(self._when_dead, member)

    async def _when_dead(self, member: Member) -> None:
        try:
            with trio.move_on_after(self._after):
                await member.wait_up()
            while not member.up and not await self._moved_all(member):
                with trio.move_on_after(_AGAIN_SECONDS):
                    await member.wait_up()
        finally:
            self._waiting.discard(member)

    async def _moved_all(self, member: Member) -> bool:
        """Recreate the containers of a dead engine; return whether none needs another attempt."""
        done = True
        for id, inspected in list(member.mirror.inspected.items()):
            container = member.mirror.containers.get(id)
            if container is not None:
                done = await self._moved(container, inspected) and done
        return done

    async def _moved(self, container: Container, inspected: Mapping[str, Any]) -> bool:
        """Recreate a container, if it may be moved; return whether it needs no other attempt."""
        done = False

        async def move() -> None:
            nonlocal done
            try:
                if _may_move(container, inspected):
                    await self._move(container, inspected)
                done = True
            except SwarmError as exc:
                _log.error("can't recreate %s: %s", container.label, exc.message)

        await supervised(f"balance: recreating {container.label}", move)
        return done

    def _report_doubles(self, member: Member) -> None:
        """Warn of containers that, by their labels, replace others which exist too."""
        for stand_in, original in self._members.index.replacing.items():
            for other in self._members.index.containers.with_id(original):
                if other.node is not stand_in.node and member in (stand_in.node, other.node):
                    _log.warning("%s seems to replace %s: remove one of them", stand_in.label, other.label)

    async def _move(self, container: Container, inspected: Mapping[str, Any]) -> None:
        request = Request(
            Verb.SPAWN, _CONTAINERS, {"name": container.names[0]}, Json.from_data(_body(container, inspected))
        )
        made = (await self._spawner.create(request, instead_of=container)).value["Id"]
        old = self._members.of(container.node)
        new = next(each for each in self._members.index.containers.with_id(made) if each.node is not old)
        old.stand_ins.note(container.id, new)
        old.mirror.removed("containers", container.id)
        await self._members.of(new.node).ask(Request(Verb.START, (*_CONTAINERS, made)))
        _log.warning("%s was recreated on %s: %s is down", container.names[0], new.node.name, old.name)


def _may_move(container: Container, inspected: Mapping[str, Any]) -> bool:
    labels: Mapping[str, str] = dict_of(dict_of(inspected.get("Config")).get("Labels"))
    if not dict_of(inspected.get("State")).get("Running") or not container.names or not reschedules(labels):
        return False
    host = dict_of(inspected.get("HostConfig"))
    if inspected.get("Mounts") or any(host.get(name) for name in ("Binds", "Mounts", "VolumesFrom")):
        _log.warning("%s is not rescheduled: it has mounts, and their data is on its dead engine", container.label)
        return False
    return True


def _body(container: Container, inspected: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a create that makes a container like the one that was inspected."""
    config: dict[str, Any] = inspected["Config"]
    labels = {name: value for name, value in dict_of(config.get("Labels")).items() if name != LABEL}
    body = {name: value for name, value in config.items() if name not in ("Hostname", "MacAddress")}
    if config.get("Hostname") != container.id[:12]:
        body["Hostname"] = config.get("Hostname")
    networks: dict[str, Any] = dict_of(dict_of(inspected.get("NetworkSettings")).get("Networks"))
    endpoints = {
        name: {key: dict_of(each).get(key) for key in ("Aliases", "IPAMConfig")} for name, each in networks.items()
    }
    return body | {
        "Labels": labels | {MOVED: container.id},
        "HostConfig": inspected.get("HostConfig"),
        "NetworkingConfig": {"EndpointsConfig": {} if set(networks) <= {"bridge", "host", "none"} else endpoints},
    }
