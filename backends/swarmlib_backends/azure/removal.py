"""Removal of a group's resources, in an order that works. What could not be removed is named, with the reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from swarmlib import NotFound, SwarmError

from .client import Arm
from .resources import MACHINES, is_in_use, kind_of, removal_rank
from .spec import ATTEMPT, TAG, tags_of

Say = Callable[[str, str], None]
"""Is told an id and its progress: making, made, removing, removed."""


class Remover:
    """Removes resources of one resource group, and the group itself."""

    def __init__(self, arm: Arm, group: str, say: Say) -> None:
        self._arm = arm
        self._group = group
        self._say = say

    async def remove(self, ids: Sequence[str], attempt: str = "") -> list[str]:
        """Remove resources in an order that works; return those that could not be removed, with the reasons. What is
        in use stays.
        """
        left: list[str] = []
        for id in sorted((each for each in ids if "/" in each), key=removal_rank):
            try:
                await self._remove_one(id, attempt)
            except SwarmError as exc:
                if not is_in_use(exc):
                    left.append(f"{id}: {exc.message}")
        if self._group in ids:
            left += await self._remove_group()
        return left

    async def _remove_one(self, id: str, attempt: str) -> None:
        if attempt and kind_of(id) == MACHINES:
            found = await self._arm.find(id)
            if found is None or tags_of(found).get(ATTEMPT) != attempt:
                return
        self._say(id, "removing")
        await self._arm.delete(id)
        self._say(id, "removed")

    async def _remove_group(self) -> list[str]:
        """Delete the group, if swarmlib created it and it is empty."""
        try:
            found = await self._arm.group(self._group)
            if found is None or tags_of(found).get(TAG) != "shared":
                return []
            if not await self._arm.listed(self._arm.resources.resources.list_by_resource_group(self._group)):
                await self._arm.finished(partial(self._arm.resources.resource_groups.begin_delete, self._group))
        except NotFound:
            return []
        except SwarmError as exc:
            return [] if is_in_use(exc) else [f"{self._group}: {exc.message}"]
        return []
