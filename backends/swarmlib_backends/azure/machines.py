"""The machines of a group, and the description of a new one according to the options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import trio

from swarmlib import Denied

from . import cloudinit
from .access import Access
from .client import Arm
from .objects import Machine
from .options import AzureOptions
from .spec import TAG, Body, Spec

_FEW: Final = 10
"""Up to how many machines are asked for their states one by one; and how many at the same time."""


async def machines(arm: Arm, group: str) -> list[Machine]:
    """List the machines of a group with their power states.

    A few machines are asked for their states one by one. The states of many come by one list, of all machines of the
    subscription; who may not read that gets them one by one, too.
    """
    found = await arm.listed_in(arm.compute.virtual_machines, group)
    views = await (_each_view(arm, found) if len(found) <= _FEW else _all_views(arm, found))
    return [Machine.of(each, views.get(str(each["id"]).lower())) for each in found]


async def _all_views(arm: Arm, machines: Sequence[Body]) -> Mapping[str, Body]:
    try:
        found = await arm.listed(arm.compute.virtual_machines.list_all(status_only="true"))
    except Denied:
        return await _each_view(arm, machines)
    return {str(each["id"]).lower(): each for each in found}


async def _each_view(arm: Arm, machines: Sequence[Body]) -> Mapping[str, Body]:
    """Return the machines with their states; one that has gone meanwhile is left out."""
    views: dict[str, Body] = {}
    limiter = trio.CapacityLimiter(_FEW)

    async def ask(id: str) -> None:
        async with limiter:
            if (found := await arm.find(id, expand="instanceView")) is not None:
                views[id.lower()] = found

    async with trio.open_nursery() as nursery:
        for each in machines:
            nursery.start_soon(ask, str(each["id"]))
    return views


def check_ours(options: AzureOptions, machine: Machine) -> None:
    """Check that a machine may be removed, stopped or changed.

    Raises:
        Denied: swarmlib did not make it, and the options don't allow to touch such machines.
    """
    if TAG not in machine.tags and not options.not_ours:
        text = "only with --not-ours is such a machine removed, stopped or changed"
        raise Denied(f"{machine.name} was not made by swarmlib: {text}")


def default_spec(options: AzureOptions, name: str, access: Access, *, engine: bool) -> Spec:
    """Describe the machine that the options ask for.

    Raises:
        Invalid: an option is not valid; there is no ssh key, or the file for cloud-init can't be read.
    """
    tls = engine and options.reach == "tls"
    tags = dict(cast("tuple[str, str]", tuple(each.split("=", 1))) for each in options.tag)
    docker = [cloudinit.docker(options.admin, _engine_labels(options), tls=tls)] if engine else []
    return Spec(
        name=name,
        location=options.location,
        size=options.size,
        image=options.image,
        plan=options.plan,
        disk=options.disk,
        zone=options.zone,
        spot=options.spot,
        spot_fallback=options.spot_fallback,
        network=options.network,
        private=options.private,
        nat=options.nat,
        identity=options.identity,
        security=options.security,
        admin=options.admin,
        key=access.public_key(),
        tls=tls,
        max_hours=options.max_hours,
        cloud_init=(*docker, *([cloudinit.read(Path(options.cloud_init))] if options.cloud_init else [])),
        role="engine" if engine else "workload",
        tags=tags,
        shared_tags=tags,
    )


def _engine_labels(options: AzureOptions) -> list[str]:
    slots = [f"containerslots={options.slots}"] if options.slots else []
    size = [] if "," in options.size else [f"size={options.size}"]
    return [f"location={options.location}", *size, *slots]
