"""What a crashed run has left behind: resources with swarmlib's tags whose machine doesn't exist."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from .client import Arm, parts
from .objects import seconds
from .resources import ADDRESSES, INTERFACES, MACHINES, NETWORKS, SECURITY_GROUPS
from .spec import MADE, TAG, VM, Body, tags_of

_OWN: Final = frozenset({INTERFACES.lower(), ADDRESSES.lower()})
_SHARED: Final = frozenset({NETWORKS.lower(), SECURITY_GROUPS.lower()})


async def orphans(arm: Arm, group: str, older_than: float) -> Mapping[str, list[str]]:
    """Return the ids of unused resources, by group; a group's own name is included if nothing in it is needed.

    group: "" for every group. older_than: seconds; newer resources may belong to a machine that is being created.
    """
    by_group = defaultdict[str, list[Body]](list)
    for each in await arm.tagged(group, TAG):
        by_group[parts(each["id"])[0]].append(each)
    for each in await arm.tagged_groups(TAG):
        if group in ("", each["name"]):
            by_group[str(each["name"])].append(each)
    found = {name: await _orphans_of(arm, name, tagged, time.time() - older_than) for name, tagged in by_group.items()}
    return {name: ids for name, ids in found.items() if ids}


async def _orphans_of(arm: Arm, group: str, tagged: Sequence[Body], before: float) -> list[str]:
    machines = await arm.listed(arm.compute.virtual_machines.list(group))
    failed = [
        each for each in machines if each["properties"].get("provisioningState") == "Failed" and TAG in tags_of(each)
    ]
    there = {str(each["name"]).lower() for each in machines if each not in failed}
    old = [each for each in tagged if seconds(tags_of(each).get(MADE, "")) < before]
    own = [each for each in old if _type(each) in _OWN and tags_of(each).get(VM, "").lower() not in there]
    own += [each for each in old if _type(each) == MACHINES.lower() and str(each["name"]).lower() not in there]
    users = [each for each in tagged if _type(each) in _OWN and each not in own]
    ids = [str(each["id"]) for each in own]
    if not there and not users:
        ids += [str(each["id"]) for each in old if _type(each) in _SHARED]
        ids += [group for each in old if _type(each).endswith("/resourcegroups")]
    return ids


def _type(resource: Body) -> str:
    return str(resource["type"]).lower()
