"""Making containers: the engine is chosen, the image brought there if it lacks it, and another tried if it refuses."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import trio

from swarmlib import (
    UNSENT,
    Conflict,
    Internal,
    Json,
    Message,
    NotFound,
    SwarmError,
    Unavailable,
    Unsupported,
    Verb,
)
from swarmlib.request import Answer

from . import wish as wishes
from .index import NOTHING, Container
from .lists import settle
from .members import Member
from .placement import Placement, placing
from .roster import Roster
from .wish import Wish

_IMAGES: Final = ("images",)
NO_WISH: Final = Wish("", "", NOTHING)


class Spawner:
    """Makes containers."""

    def __init__(self, roster: Roster, placement: Placement) -> None:
        self._roster = roster
        self._placement = placement
        self._names: set[str] = set()
        """Names of containers that are being made."""
        self._bringing: dict[tuple[Member, str], trio.Lock] = {}

    def choose(self, wish: Wish = NO_WISH) -> Member:
        """The engine for something that is no container. Raises Unavailable if there is none."""
        return self._placement.choose(wish, self._roster.members, {})

    async def create(self, message: Message, *, instead_of: Container | None = None) -> Answer:
        """Make a container where it fits; gives what its engine answered.

        instead_of: one that has its name and doesn't count, as its engine died.

        Raises:
            Conflict: an engine has a container of that name. Unavailable: no engine fits, or it went down in the
            middle, and nobody knows whether it was made. SwarmError: what the engine says.
        """
        name = str(message.args.get("name") or "")
        wish, body = wishes.read(name, message.json)
        if instead_of is not None:
            wish = replace(wish, origins=())
        if body is not None:
            message = message.but(value=Json.of(body))
        with self._reserved(name, instead_of):
            return await self._create(wish, message)

    @contextmanager
    def _reserved(self, name: str, instead_of: Container | None) -> Generator[None]:
        if not name:
            yield
            return
        self._refuse_taken(name, instead_of)
        self._names.add(name)
        try:
            yield
        finally:
            self._names.discard(name)

    def _refuse_taken(self, name: str, instead_of: Container | None) -> None:
        if name in self._names:
            raise Conflict(f'Conflict. The container name "/{name}" is in use by a container that is just being made.')
        for other in self._roster.index.containers.find(name):
            if name in other.names and other is not instead_of:
                raise Conflict(
                    f'Conflict. The container name "/{name}" is already in use by container '
                    f'"{other.id}" on {other.member.name}. You have to remove (or rename) that container '
                    "to be able to reuse that name."
                )

    async def _create(self, wish: Wish, message: Message) -> Answer:
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
                    return await self._create_on(member, wish, message)
            except (Unavailable, Unsupported) as exc:
                if isinstance(exc, Unavailable) and not exc.details.get(UNSENT):
                    raise  # it may have happened
                refused[member] = exc

    async def _create_on(self, member: Member, wish: Wish, message: Message) -> Answer:
        try:
            answer = await member.ask(message, float("inf"))
        except NotFound as exc:
            if "image" not in exc.message or not await self._bring(wish.image, member):
                raise
            answer = await member.ask(message, float("inf"))
        made: dict[str, Any] = answer.value or {}
        if "Id" in made:
            member.mirror.spawned(made["Id"], wish.name, wish.claim)
        return answer

    async def _bring(self, image: str, target: Member) -> bool:
        """Stream an image from an engine that has it, once however many want it; says whether there is one."""
        lock = self._bringing.setdefault((target, image), trio.Lock())
        try:
            async with lock:
                return await self._bring_once(image, target)
        finally:
            if not lock.statistics().tasks_waiting:
                self._bringing.pop((target, image), None)

    async def _bring_once(self, image: str, target: Member) -> bool:
        await settle(self._roster.members, "images")
        holders = [item.member for item in self._roster.index.find("images", image) if item.member.up]
        if target in holders:
            return True
        alike = [member for member in holders if _same_platform(member, target)]
        if not alike:
            return False
        await _stream(image, alike, target)
        target.mirror.touch_kind("images")
        return True


def _same_platform(one: Member, other: Member) -> bool:
    return all(one.about.get(key) == other.about.get(key) for key in ("OSType", "Architecture"))


async def _stream(image: str, sources: Sequence[Member], target: Member) -> None:
    saved = await sources[0].ask(Message(Verb.FILE, (*_IMAGES, image)), float("inf"))
    if saved.ack.att is None:
        raise Internal(f"{sources[0].name} gave no stream of the image {image}")
    async with saved.ack.att as tar:
        await target.ask(Message(Verb.FILE, _IMAGES, {"quiet": "1"}, att=tar), float("inf"))
