"""Making containers: the engine is chosen, the image brought there if it lacks it, and another tried if it refuses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from swarmlib import (
    UNSENT,
    Conflict,
    Internal,
    Json,
    NotFound,
    Request,
    SwarmError,
    Unavailable,
    Unsupported,
    Verb,
)
from swarmlib.asking import Answer

from ..dockerapi.nulls import fields
from . import merge
from . import wish as wishes
from .index import NOTHING, Container, Item, placed
from .lists import settle
from .members import Member
from .mirror import group_of
from .owners import find, first_up, manager, may_exist
from .placement import Placement, placing
from .roster import Roster
from .turns import Turns
from .wish import Wish

_IMAGES: Final = ("images",)
NO_WISH: Final = Wish("", "", NOTHING)


class Spawner:
    """Makes containers."""

    def __init__(self, roster: Roster, placement: Placement) -> None:
        self._roster = roster
        self._placement = placement
        self._names = Turns[tuple[str, str]]()
        """(kind, name) of what is being made or renamed: a name is given once in the whole cluster."""
        self._bringing = Turns[tuple[str, str]]()
        """(engine, image) of what is being brought to an engine."""

    def choose(self, wish: Wish = NO_WISH) -> Member:
        """The engine for something that is no container. Raises Unavailable if there is none."""
        return self._placement.choose(wish, self._roster.members, {})

    async def create(self, request: Request, *, instead_of: Container | None = None) -> Answer:
        """Make a container where it fits; gives what its engine answered.

        instead_of: one that has its name and doesn't count, as its engine died.

        Raises:
            Conflict: an engine has a container of that name. Unavailable: no engine fits, or it went down in the
            middle, and nobody knows whether it was made. SwarmError: what the engine says.
        """
        name = str(request.params.get("name") or "").removeprefix("/")
        wish, body = wishes.read(name, request.json)
        if instead_of is not None:
            wish = replace(wish, origins=())
        if body is not None:
            request = request.replace(body=Json.from_data(body))
        async with self._names.of(*self._new_names(wish)):
            await self._check_free(name, but=[] if instead_of is None else [instead_of])
            return await self._create(wish, request)

    def _new_names(self, wish: Wish) -> Iterator[tuple[str, str]]:
        """What a container gives a name to: itself, and volumes that are made with it."""
        if wish.name:
            yield "containers", wish.name
        yield from (each for each in wish.beside if each[0] == "volumes" and not self._roster.index.find(*each))

    async def _check_free(self, name: str, but: Collection[Item]) -> None:
        """Refuse a container's name that an engine has already, in an engine's own words.

        but: containers that may have it.

        Raises:
            Conflict: another container has it, or may have it.
        """
        for other in self._roster.index.containers.find(name):
            if name in other.names and other not in but and await may_exist("containers", other):
                raise Conflict(
                    f'Conflict. The container name "/{name}" is already in use by container "{other.id}". '
                    "You have to remove (or rename) that container to be able to reuse that name."
                    + ("" if other.member.up else f" It is on {other.member.name}, which is down.")
                )

    @asynccontextmanager
    async def renaming(self, name: str, owner: Member) -> AsyncGenerator[None]:
        """While a container is given another name: refuse one that another engine has; `owner` knows its own.

        Raises:
            Conflict: another engine has it, or may have it.
        """
        async with self._names.of(("containers", name)):
            try:
                await self._check_free(name, but=owner.mirror.containers.values())
            except Conflict as exc:
                raise Conflict(f"Error when allocating new name: {exc.message}") from None
            yield

    async def make_part(self, kind: str, request: Request) -> Answer:
        """Make a network or a volume; gives what its engine answered. Calls for one name take turns, so that they meet.

        Raises:
            Unavailable: no engine is up. SwarmError: what the engine says.
        """
        body = fields(request.json)
        name = str(body.get("Name") or "")
        async with self._names.of(*([(kind, name)] if name else [])):
            member = await self._for_part(kind, name, body)
            answer = await member.ask(request, float("inf"))
            if id := fields(answer.value).get("Id") or fields(answer.value).get("Name"):
                member.mirror.learn(kind, id, (name or id,), group_of(body.get("Labels")))
        return _says_node(answer, member) if kind == "volumes" else answer

    async def _for_part(self, kind: str, name: str, body: Mapping[str, Any]) -> Member:
        """Where a network or volume goes: to its like of that name, which may refuse it; else beside its group."""
        if kind == "networks" and (body.get("Driver") == "overlay" or body.get("Scope") == "swarm"):
            return await manager(self._roster)
        await settle(self._roster.members, "containers", "networks", "volumes")
        if items := [item for item in self._roster.index.find(kind, name) if name in item.names]:
            return items[0].member
        return self.choose(replace(NO_WISH, group=group_of(body.get("Labels"))))

    async def _create(self, wish: Wish, request: Request) -> Answer:
        if wish.compares:
            await settle(self._roster.members, "containers")
        refused: dict[Member, SwarmError] = {}
        while True:
            try:
                member = self._placement.choose(wish, self._roster.members, {m: e.message for m, e in refused.items()})
            except Unavailable:
                if len(refused) == len(self._roster.members) == 1:
                    raise next(iter(refused.values())) from None  # its own words, and status
                raise
            try:
                with placing(member, wish):
                    return await self._create_on(member, wish, request)
            except (Unavailable, Unsupported) as exc:
                if isinstance(exc, Unavailable) and not exc.details.get(UNSENT):
                    raise  # it may have happened
                refused[member] = exc

    async def _create_on(self, member: Member, wish: Wish, request: Request) -> Answer:
        await settle(self._roster.members, "images")
        if self._roster.index.newer_image(wish.image, member) is not None:
            await self._bring(wish.image, member)
        try:
            answer = await member.ask(request, float("inf"))
        except NotFound as exc:
            if "image" not in exc.message or not await self._bring(wish.image, member):
                raise
            answer = await member.ask(request, float("inf"))
        made: dict[str, Any] = answer.value or {}
        if "Id" in made:
            member.mirror.spawned(made["Id"], wish.name, wish.claim)
        for name in [name for kind, name in wish.beside if kind == "volumes"]:
            member.mirror.learn("volumes", name, (name,))
        return answer

    async def gathered(self, images: Sequence[str]) -> Member:
        """An engine that has all of these images: the one that has most of them, to which the others are brought.

        Raises:
            Conflict: one can't be brought; says where it is. SwarmError: as `owners.find`, where no engine has any.
        """
        held = await self._holders(images)
        if not any(held.values()):
            return (await find(self._roster, ("images", images[0]))).member
        return await self._gather(held, self._with_most(held))

    async def builder(self, images: Sequence[str], fixed: Member | None) -> Member:
        """The engine for a build that starts from these images, to which those that only others have are brought: the
        `fixed` one, or the first that has most of them.

        Raises:
            Conflict: one can't be brought; says where it is. Unavailable: no engine is up.
        """
        if not images:
            return fixed or first_up(self._roster.members)
        held = await self._holders(images)
        return await self._gather(held, fixed or self._with_most(held))

    async def _holders(self, images: Sequence[str]) -> dict[str, set[Member]]:
        await settle(self._roster.members, "images")
        index = self._roster.index
        return {name: {item.member for item in index.find("images", name) if item.member.up} for name in images}

    def _with_most(self, held: Mapping[str, set[Member]]) -> Member:
        up = [member for member in self._roster.members if member.up] or [first_up(self._roster.members)]
        return max(up, key=lambda member: sum(member in holders for holders in held.values()))

    async def _gather(self, held: Mapping[str, set[Member]], target: Member) -> Member:
        for name, holders in held.items():
            if holders and not await self._bring(name, target):
                there = placed("images", name, holders)
                raise Conflict(f"{there}, and is of another platform than {target.name}, where it is needed")
        return target

    async def _bring(self, image: str, target: Member) -> bool:
        """Have an engine hold what an image's name means: the image that got it last on any engine. It is streamed from
        one that has it, once however many want it. Says whether the engine has an image of the name then.
        """
        async with self._bringing.of((target.name, image)):
            await settle(self._roster.members, "images")
            holders = [item.member for item in self._roster.index.find("images", image) if item.member.up]
            newer = self._roster.index.newer_image(image, target)
            wanted = holders if target not in holders else [newer.member] if newer is not None else []
            source = next((member for member in wanted if _same_platform(member, target)), None)
            if source is not None:
                await _stream(image, source, target)
            return source is not None or target in holders


def _same_platform(one: Member, other: Member) -> bool:
    return all(one.about.get(key) == other.about.get(key) for key in ("OSType", "Architecture"))


async def _stream(image: str, source: Member, target: Member) -> None:
    saved = await source.ask(Request(Verb.FILE, (*_IMAGES, image)), float("inf"))
    if saved.ack.stream is None:
        raise Internal(f"{source.name} gave no stream of the image {image}")
    async with saved.ack.stream as tar:
        await target.ask(Request(Verb.FILE, _IMAGES, {"quiet": "1"}, upload=tar), float("inf"))
    target.mirror.touch_kind("images")


def _says_node(answer: Answer, member: Member) -> Answer:
    """The answer to the creation of a volume, which is its inspection and says what that says."""
    said = merge.inspected(answer.value, member.node)
    return replace(answer, ack=answer.ack.replace(value=Json.from_data(said)))
