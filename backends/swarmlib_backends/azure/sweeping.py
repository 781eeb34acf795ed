"""What a crashed run has left behind: resources with swarmlib's tags whose machine doesn't exist, or isn't complete."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from . import stamps
from .client import Arm
from .resources import ADDRESSES, INTERFACES, SCHEDULES, is_shared
from .spec import MADE, MAKING, TAG, VM, Body, tags_of

_OWN: Final = frozenset({INTERFACES.lower(), ADDRESSES.lower(), SCHEDULES.lower()})


async def orphans(arm: Arm, group: str, older_than: float) -> Mapping[str, list[str]]:
    """Return the ids of unused resources, by group; a group's own name is included if nothing in it is needed.

    group: "" for every group. older_than: seconds; newer resources may belong to a machine that is being created. What
    has no tag that tells its age is never unused.
    """
    groups = [group] if group else await arm.groups_with(TAG)
    found = {name: await _orphans_in(arm, name, time.time() - older_than) for name in groups}
    return {name: ids for name, ids in found.items() if ids}


async def _orphans_in(arm: Arm, group: str, before: float) -> list[str]:
    tagged = [each for each in await arm.resources_in(group) if TAG in tags_of(each)]
    machines = await arm.listed_in(arm.compute.virtual_machines, group)  # this list, unlike the other, never lags
    unfinished = [each for each in machines if {TAG, MAKING} <= tags_of(each).keys() and _is_older(each, before)]
    there = {str(each["name"]).lower() for each in machines if each not in unfinished}
    old = [each for each in tagged if _is_older(each, before)]
    own = [each for each in old if _is_own(each) and tags_of(each).get(VM, "").lower() not in there]
    users = [each for each in tagged if _is_own(each) and each not in own]
    ids = [str(each["id"]) for each in (*unfinished, *own)]
    if not there and not users:
        ids += [str(each["id"]) for each in old if is_shared(str(each["id"]))]
        itself = await arm.group(group)
        if itself is not None and TAG in tags_of(itself) and _is_older(itself, before):
            ids.append(group)
    return ids


def _is_older(resource: Body, before: float) -> bool:
    made = stamps.read(tags_of(resource).get(MADE, ""))
    return made is not None and made < before


def _is_own(resource: Body) -> bool:
    return str(resource["type"]).lower() in _OWN and not is_shared(str(resource["id"]))
