"""Image transfer: images are streamed from a node that has them to one that lacks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from swarmlib import Conflict, Internal, Request, Verb

from ..keyed_locks import KeyedLocks
from .fanout import settle
from .index import placed
from .member import Member
from .members import Members
from .node import Node
from .owners import find, first_up

_IMAGES: Final = ("images",)


class Images:
    """Copies images to members."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._bringing = KeyedLocks[tuple[str, str]]()
        """(node, image) of each copy in progress."""

    async def renew(self, image: str, target: Member) -> None:
        """Bring the image that was given a name last to a member that has an older image of that name."""
        await settle(self._members.all, "images")
        if self._members.index.newer_image(image, target) is not None:
            await self.bring(image, target)

    async def gathered(self, images: Sequence[str]) -> Member:
        """Return an engine that has all of these images: the one that has most of them, to which the others are copied.

        Raises:
            Conflict: an image can't be copied; the error says where it is.
            SwarmError: as in `owners.find`, if no engine has any of them.
        """
        held = await self._holders(images)
        if not any(held.values()):
            return (await find(self._members, ("images", images[0]))).member
        return await self._gather(held, self._with_most(held))

    async def builder(self, images: Sequence[str], fixed: Node | None) -> Member:
        """Return the engine for a build that starts from these images: `fixed`, or the first that has most of them.

        Images that only other engines have are copied to it.

        Raises:
            Conflict: an image can't be copied; the error says where it is.
            Unavailable: no engine is up.
        """
        if not images:
            return self._members.of(fixed) if fixed else first_up(self._members.all)
        held = await self._holders(images)
        return await self._gather(held, self._members.of(fixed) if fixed else self._with_most(held))

    async def _holders(self, images: Sequence[str]) -> dict[str, set[Node]]:
        await settle(self._members.all, "images")
        index = self._members.index
        return {name: {item.node for item in index.find("images", name) if item.node.up} for name in images}

    def _with_most(self, held: Mapping[str, set[Node]]) -> Member:
        up = [member for member in self._members.all if member.up] or [first_up(self._members.all)]
        return max(up, key=lambda member: sum(member in holders for holders in held.values()))

    async def _gather(self, held: Mapping[str, set[Node]], target: Member) -> Member:
        for name, holders in held.items():
            if holders and not await self.bring(name, target):
                there = placed("images", name, holders)
                raise Conflict(f"{there}, and has another platform than {target.name}, where it is needed")
        return target

    async def bring(self, image: str, target: Member) -> bool:
        """Bring an image to an engine: the image that was given the name last on any engine.

        It is streamed from an engine that has it; concurrent requests share one transfer. Return whether the engine
        then has an image of that name.
        """
        async with self._bringing.of((target.name, image)):
            await settle(self._members.all, "images")
            holders = [item.node for item in self._members.index.find("images", image) if item.node.up]
            newer = self._members.index.newer_image(image, target)
            wanted = holders if target not in holders else [newer.node] if newer is not None else []
            source = next((node for node in wanted if _same_platform(node, target)), None)
            if source is not None:
                await _stream(image, self._members.of(source), target)
            return source is not None or target in holders


def _same_platform(one: Node, other: Node) -> bool:
    return all(one.about.get(key) == other.about.get(key) for key in ("OSType", "Architecture"))


async def _stream(image: str, source: Member, target: Member) -> None:
    saved = await source.ask(Request(Verb.FILE, (*_IMAGES, image)), float("inf"))
    if saved.ack.stream is None:
        raise Internal(f"{source.name} returned no stream for the image {image}")
    async with saved.ack.stream as tar:
        await target.ask(Request(Verb.FILE, _IMAGES, {"quiet": "1"}, upload=tar), float("inf"))
    target.mirror.touch_kind("images")
