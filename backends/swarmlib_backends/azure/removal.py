"""Removal of a group's resources, in an order that works. What could not be removed is named, with the reasons.

Only what has swarmlib's tag is ever removed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import trio

from swarmlib import Conflict, Denied, NotFound, SwarmError, Unavailable

from . import patience
from .client import Arm
from .resources import MACHINES, SHARED, is_in_use, is_shared, kind_of, removal_rank
from .spec import ATTEMPT, MAKING, NETWORK, TAG, Body, tags_of

Say: TypeAlias = Callable[[str, str], None]
"""Is told an id and its progress: making, made, removing, removed."""
Left: TypeAlias = Mapping[str, SwarmError]
"""What could not be removed, by its id, and why."""


class Remover:
    """Removes resources of one resource group, and the group itself."""

    def __init__(self, arm: Arm, group: str, say: Say) -> None:
        self._arm = arm
        self._group = group
        self._say = say

    async def remove(
        self, ids: Sequence[str], attempt: str = "", tried: Callable[[Left], None] = lambda _left: None
    ) -> Left:
        """Remove resources in an order that works; return those that could not be removed.

        What others share and use stays, and does not count as left. What Azure keeps for a while is tried again.

        ids: of resources, and perhaps the group's name. attempt: remove of a machine, and of what is its own, only what
        this attempt made and nobody completed. tried: is told what is left when it is going to be tried again.
        """
        if attempt and await self._was_completed(ids, attempt):
            return {}
        left = await self._try(ids, attempt)
        with trio.move_on_after(patience.RESERVED_SECONDS):
            while any(_passes(id, exc) for id, exc in left.items()):
                tried(left)
                await trio.sleep(patience.RETRY_SECONDS)
                left = await self._try([*left], attempt)
        return left

    async def collect(self) -> Left:
        """Remove the shared resources, if no machine uses them any more; return what could not be removed."""
        operations = (self._arm.compute.virtual_machines, self._arm.network.network_interfaces)
        for each in operations:  # the providers' own lists, which don't lag behind as ARM's does
            if any(TAG in tags_of(found) for found in await self._arm.listed_in(each, self._group)):
                return {}
        shared = [self._arm.id(self._group, kind, NETWORK) for kind in SHARED]
        return await self.remove([*shared, self._group])

    async def _was_completed(self, ids: Sequence[str], attempt: str) -> bool:
        """Return whether the machine that an attempt wanted to make is now another's."""
        for id in ids:
            if "/" in id and kind_of(id) == MACHINES:
                try:
                    found = await self._arm.find(id)
                except SwarmError:
                    return False  # the removal itself meets the same failure, and names it
                return found is not None and not _is_of(attempt, found)
        return False

    async def _try(self, ids: Sequence[str], attempt: str) -> Left:
        """Try to remove each resource once; return the failures."""
        failed: dict[str, SwarmError] = {}
        for id in sorted((each for each in ids if "/" in each), key=removal_rank):
            try:
                await self._remove_one(id, attempt)
            except SwarmError as exc:
                failed[id] = exc
        if all(is_shared(id) and is_in_use(exc) for id, exc in failed.items()):
            used_by_others, failed = bool(failed), {}
        else:
            used_by_others = True
        if self._group in ids and not used_by_others:
            return await self._remove_group()
        if self._group in ids and failed:
            failed[self._group] = Conflict("the group holds what could not be removed")
        return failed

    async def _remove_one(self, id: str, attempt: str) -> None:
        found = await self._arm.find(id)
        if found is None or (attempt and not is_shared(id) and not _is_of(attempt, found)):
            return
        if TAG not in tags_of(found):
            raise Denied(f"{id} was not made by swarmlib, so it is not removed")
        self._say(id, "removing")
        await self._arm.delete(id)
        self._say(id, "removed")

    async def _remove_group(self) -> Left:
        """Delete the group, if swarmlib created it and it is empty."""
        try:
            found = await self._arm.group(self._group)
            if found is not None and tags_of(found).get(TAG) == "shared" and await self._is_empty():
                await self._arm.finished(partial(self._arm.resources.resource_groups.begin_delete, self._group))
        except NotFound:
            return {}
        except SwarmError as exc:
            return {} if is_in_use(exc) else {self._group: exc}
        return {}

    async def _is_empty(self) -> bool:
        """Return whether the group is empty by two looks, with a pause between them.

        The deletion of a group deletes all that it holds, so what another has just made in it must be seen. ARM's list
        lags behind, and may still show what was removed: that is asked for by itself.
        """
        for look in range(2):
            await trio.sleep(look * patience.SETTLE_SECONDS)
            for each in await self._arm.resources_in(self._group):
                if await self._arm.exists(str(each["id"])):
                    return False
        return True


def _is_of(attempt: str, resource: Body) -> bool:
    """Return whether a resource was made by an attempt; a machine must not have been completed either."""
    tags = tags_of(resource)
    complete = kind_of(str(resource["id"])) == MACHINES and MAKING not in tags
    return tags.get(ATTEMPT) == attempt and not complete


def _passes(id: str, exc: SwarmError) -> bool:
    """Return whether the reason why something could not be removed is going to pass."""
    return isinstance(exc, Unavailable) or (is_in_use(exc) and "/" in id and not is_shared(id))


def named(left: Left) -> list[str]:
    """Return what is left as texts, each with its reason."""
    return [f"{id}: {exc.message}" for id, exc in left.items()]
