"""The order of a list by nanoseconds, as an engine orders it, although lists only contain whole seconds.

The index knows when a container was created. For images, and for containers that the index does not know yet, the
engine is asked if the whole second does not decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

from swarmlib import Json, NotFound, Path, Request, Set, Verb
from swarmlib.asking import Answer

from ..dockerapi.ages import since
from ..dockerapi.nullable import list_of
from .fanout import settle
from .index import Index
from .member import Member
from .members import Members
from .mirror import CLAIMS
from .node import Node

_END_OF_SECOND: Final = 1 - 1e-6


async def settle_moments(found: list[dict[str, Any]], members: Sequence[Member], index: Index) -> None:
    """Inspect containers until it is known in which order they were created, wherever the second does not decide.

    Those of one engine come in its order.
    """
    if not all(index.containers.with_id(item["Id"]) for item in found):
        await settle(members, "containers")
    engines: dict[int, set[Node]] = {}
    unknown: dict[int, set[Node]] = {}
    for item in found:
        for each in index.containers.with_id(item["Id"]):
            engines.setdefault(_second(item), set()).add(each.node)
            if not each.dated:
                unknown.setdefault(_second(item), set()).add(each.node)
    asked = {node for second, nodes in unknown.items() if len(engines[second]) > 1 for node in nodes}
    await settle([member for member in members if member in asked], CLAIMS)


def newest_first(found: list[dict[str, Any]], index: Index) -> list[dict[str, Any]]:
    """Sort containers as an engine's list does. One that the index doesn't know yet is the newest of its second."""
    return sorted(found, key=partial(_moment_in, index), reverse=True)


def _moment_in(index: Index, item: dict[str, Any]) -> float:
    known = _known(index, item)
    return _second(item) + _END_OF_SECOND if known is None else known


def _second(item: dict[str, Any]) -> int:
    return item.get("Created") or 0


def _known(index: Index, item: dict[str, Any]) -> float | None:
    """Return when a listed container was created, if the index knows and agrees with the second in the list."""
    moments = [each.created for each in index.containers.with_id(item["Id"]) if each.dated]
    return next((moment for moment in moments if int(moment) == _second(item)), None)


@dataclass(frozen=True)
class Bounds:
    """When the objects that bound a list (`since`, `before`) were created, and which engines have all of them."""

    knowing: frozenset[Member]
    since: float
    before: float
    _index: Index

    @classmethod
    async def of(cls, path: Path, relative: dict[str, str], members: Members) -> Self:
        """Look up the objects. If no engine has one of them, every engine gets the filters unchanged, and refuses.

        Raises:
            SwarmError: an object's engine can't be asked.
        """
        everybody = frozenset(members.all)
        knowing, moments = everybody, {"since": float("-inf"), "before": float("inf")}
        for name, ref in relative.items():
            holders = [members.of(item.node) for item in members.index.find(path[0], ref)]
            if not holders:
                return cls(everybody, float("-inf"), float("inf"), members.index)
            knowing &= set(holders)
            moments[name] = await _inspected(path, ref, holders[0])
        return cls(knowing, moments["since"], moments["before"], members.index)

    async def cut(self, answer: Answer, path: Path, member: Member) -> Answer:
        """Return the part of a member's list between the bounds. Raise SwarmError if the member can't be asked."""
        before = [await self._cut(each, path, member) if isinstance(each, Set) else each for each in answer.before]
        return Answer(answer.ack, before)

    async def _cut(self, reply: Set, path: Path, member: Member) -> Set:
        found: list[dict[str, Any]] = list_of(reply.json)
        return reply.replace(value=Json.from_data([item for item in found if await self._holds(item, path, member)]))

    async def _holds(self, item: dict[str, Any], path: Path, member: Member) -> bool:
        try:
            return self.since < await self._moment(item, path, member) < self.before
        except NotFound:  # it was removed after it was listed
            return False

    async def _moment(self, item: dict[str, Any], path: Path, member: Member) -> float:
        second = _second(item)
        if all(int(bound) != second for bound in (self.since, self.before) if abs(bound) != float("inf")):
            return second
        known = _known(self._index, item)
        return await _inspected(path, item["Id"], member) if known is None else known


async def _inspected(path: Path, ref: str, member: Member) -> float:
    """Return when an object was created, according to its engine."""
    found = (await member.ask(Request(Verb.GET, (path[0], ref)))).value
    return since(str(found.get("Created") or ""))
