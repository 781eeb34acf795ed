"""Creating containers: choose an engine, copy the image there if it is missing, and try another if it refuses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from swarmlib import (
    UNSENT,
    Conflict,
    Json,
    NotFound,
    Request,
    SwarmError,
    Unavailable,
    Unsupported,
)
from swarmlib.asking import Answer

from ..dockerapi.nullable import dict_of
from ..dockerapi.operations import ContainerCreate
from ..keyed_locks import KeyedLocks
from . import merge
from .fanout import settle
from .images import Images
from .labels import group_of
from .member import Member
from .members import Members
from .mirror import CLAIMS
from .node import Node
from .objects import Container, Item
from .overlays import may_spread, spanning
from .owners import manager, may_exist
from .placement import request as requests
from .placement.placement import NoRoom, Placement
from .placement.request import PlacementRequest
from .provisioner import Provisioner
from .swarm_mode import SCOPE

NO_CONTAINER: Final = PlacementRequest()
"""The placement request for objects that are not containers."""


class Spawner:
    """Creates containers, and other objects that go to one member of many."""

    def __init__(self, members: Members, placement: Placement, images: Images, provisioner: Provisioner | None) -> None:
        self._members = members
        self._placement = placement
        self._images = images
        self._provisioner = provisioner
        self._names = KeyedLocks[tuple[str, str]]()
        """(kind, name) of what is being created or renamed: a name is given once in the whole cluster."""

    def choose(self, asked: PlacementRequest = NO_CONTAINER, tried: Mapping[Node, str] | None = None) -> Member:
        """Choose a member. Raise NoRoom if none fits; `tried`: those that refused the container, and why."""
        return self._members.of(self._placement.choose(asked, self._members.all, tried or {}))

    async def create(self, request: Request, *, instead_of: Container | None = None) -> Answer:
        """Create a container where it fits; return its engine's answer.

        instead_of: a container that has the same name but does not count, as its engine died.

        Raises:
            Conflict: an engine has a container of that name.
            Unavailable: no engine fits, or the engine went down meanwhile, and the container may or may not exist.
            SwarmError: the engine answers with an error.
        """
        name = ContainerCreate.of(request).name.removeprefix("/")
        asked, body = requests.read(name, request.json)
        if instead_of is not None:
            asked = replace(asked, origins=())
        if self._provisioner is not None:
            asked = replace(asked, constraints=[rule for rule in asked.constraints if rule.key != "node"])
        if any(kind == "networks" for kind, _ in asked.beside):
            await settle(self._members.all, "networks")  # an event does not say on which engines a network can be used
        if self._members.overlay and may_spread(asked, self._members.index):
            asked = replace(asked, group="")
        if body is not None:
            request = request.replace(body=Json.from_data(body))
        async with self._names.of(*self._new_names(asked)):
            await self._check_free(name, but=[] if instead_of is None else [instead_of])
            return await self._create(asked, request)

    def _new_names(self, asked: PlacementRequest) -> Iterator[tuple[str, str]]:
        """Yield the names that a create gives: the container's, and those of volumes that are created with it."""
        if asked.name:
            yield "containers", asked.name
        yield from (each for each in asked.beside if each[0] == "volumes" and not self._members.index.find(*each))

    async def _check_free(self, name: str, but: Collection[Item]) -> None:
        """Refuse a container name that is already in use, in an engine's own words.

        but: containers that may have the name.

        Raises:
            Conflict: another container has the name, or may have it.
        """
        for other in self._members.index.containers.find(name):
            if name in other.names and other not in but and await may_exist(self._members, "containers", other):
                raise Conflict(
                    f'Conflict. The container name "/{name}" is already in use by container "{other.id}". '
                    "You have to remove (or rename) that container to be able to reuse that name."
                    + ("" if other.node.up else f" It is on {other.node.name}, which is down.")
                )

    @asynccontextmanager
    async def renaming(self, name: str, owner: Member) -> AsyncGenerator[None]:
        """Hold a new name while a container gets it. Refuse one that another engine has; `owner` checks its own.

        Raises:
            Conflict: another engine has the name, or may have it.
        """
        async with self._names.of(("containers", name)):
            try:
                await self._check_free(name, but=owner.mirror.containers.values())
            except Conflict as exc:
                raise Conflict(f"Error when allocating new name: {exc.message}") from None
            yield

    async def make_part(self, kind: str, request: Request) -> Answer:
        """Create a network or a volume; return its engine's answer. Calls for one name take turns and so meet.

        Raises:
            Unavailable: no engine is up.
            SwarmError: the engine answers with an error.
        """
        body: Mapping[str, Any] = dict_of(request.json)
        if kind == "networks" and self._members.overlay and (spans := spanning(body)) is not body:
            body, request = spans, request.replace(body=Json.from_data(spans))
        name = str(body.get("Name") or "")
        async with self._names.of(*([(kind, name)] if name else [])):
            member = await self._for_part(kind, name, body)
            answer = await member.ask(request, float("inf"))
            if id := dict_of(answer.value).get("Id") or dict_of(answer.value).get("Name"):
                group, shared = group_of(body.get("Labels")), _of_swarm(kind, body)
                member.mirror.learn(kind, id, (name or id,), group, shared=shared)
        return _says_node(answer, member) if kind == "volumes" else answer

    async def _for_part(self, kind: str, name: str, body: Mapping[str, Any]) -> Member:
        """Choose where a network or volume goes: to the engine that has one of that name, else to that of its group."""
        if _of_swarm(kind, body):
            return await manager(self._members.all)
        await settle(self._members.all, "containers", "networks", "volumes")
        if items := [item for item in self._members.index.find(kind, name) if name in item.names]:
            return self._members.of(items[0].node)
        return self.choose(PlacementRequest(group="" if self._members.overlay else group_of(body.get("Labels"))))

    async def _create(self, asked: PlacementRequest, request: Request) -> Answer:
        try:
            return await self._create_somewhere(asked, request)
        except Unavailable as exc:
            if self._provisioner is None or not (isinstance(exc, NoRoom) or exc.details.get(UNSENT)):
                raise
        await self._provisioner.make_room(asked, lambda: self._unfit(asked))
        return await self._create_somewhere(asked, request)

    def _unfit(self, asked: PlacementRequest) -> Unavailable | None:
        try:
            self.choose(asked)
        except NoRoom as exc:
            return exc
        return None

    async def _create_somewhere(self, asked: PlacementRequest, request: Request) -> Answer:
        """Create a container on the first fitting node that does not refuse it."""
        if asked.compares:
            await settle(self._members.all, "containers", CLAIMS)
        refused: dict[Node, SwarmError] = {}
        while True:
            try:
                member = self.choose(asked, {node: exc.message for node, exc in refused.items()})
            except NoRoom:
                if len(refused) == 1 and (asked.service or len(self._members.all) == 1):
                    raise next(iter(refused.values())) from None  # its own words, and status
                raise
            try:
                with member.holding(asked.claim):
                    return await self._create_on(member, asked, request)
            except (Unavailable, Unsupported) as exc:
                if isinstance(exc, Unavailable) and not exc.details.get(UNSENT):
                    raise  # the container may have been created
                refused[member] = exc

    async def _create_on(self, member: Member, asked: PlacementRequest, request: Request) -> Answer:
        await self._images.renew(asked.image, member)
        try:
            answer = await member.ask(request, float("inf"))
        except NotFound as exc:
            if "image" not in exc.message or not await self._images.bring(asked.image, member):
                raise
            answer = await member.ask(request, float("inf"))
        made: dict[str, Any] = answer.value or {}
        if "Id" in made:
            member.mirror.spawned(made["Id"], asked.name, asked.claim)
        for name in [name for kind, name in asked.beside if kind == "volumes"]:
            member.mirror.learn("volumes", name, (name,))
        return answer


def _of_swarm(kind: str, body: Mapping[str, Any]) -> bool:
    """Return whether a network or a volume is to be one of a whole swarm, which only a manager creates."""
    if kind == "volumes":
        return bool(body.get("ClusterVolumeSpec"))
    return body.get("Driver") == "overlay" or body.get("Scope") == SCOPE


def _says_node(answer: Answer, member: Member) -> Answer:
    """Add its engine to the answer to the creation of a volume, which is the volume's inspection."""
    said = merge.inspected(answer.value, member)
    return replace(answer, ack=answer.ack.replace(value=Json.from_data(said)))
