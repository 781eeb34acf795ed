"""The machines of a group, and the description of a new one according to the options."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import trio

from swarmlib import Denied, NotFound

from . import cloudinit
from .access import Access
from .client import Arm
from .objects import Machine
from .options import AzureOptions
from .spec import TAG, Body, Spec


async def machines(arm: Arm, group: str) -> list[Machine]:
    """List the machines of a group with their power states, by two requests however many machines there are.

    One list has the machines, the other their states. Both are requested at once, so a machine that has just come or
    gone may be in one of them only; it is shown if it is in the first.
    """
    bodies: list[Body] = []
    views: dict[str, Body] = {}
    operations = arm.compute.virtual_machines

    async def list_bodies() -> None:
        try:
            bodies.extend(await arm.listed(operations.list(group)))
        except NotFound:
            return  # without the group there are no machines

    async def list_views() -> None:
        for each in await arm.listed(operations.list_all(status_only="true")):
            views[each["id"].lower()] = each

    async with trio.open_nursery() as nursery:
        nursery.start_soon(list_bodies)
        nursery.start_soon(list_views)
    return [Machine.of(each, views.get(each["id"].lower())) for each in bodies]


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
        Invalid: there is no ssh key, or the file for cloud-init can't be read.
    """
    tls = engine and options.reach == "tls"
    docker = [cloudinit.docker(options.admin, _engine_labels(options), tls=tls)] if engine else []
    return Spec(
        name=name,
        location=options.location,
        size=options.size,
        image=options.image,
        disk=options.disk,
        zone=options.zone,
        spot=options.spot,
        network=options.network,
        private=options.private,
        identity=options.identity,
        security=options.security,
        admin=options.admin,
        key=access.public_key(),
        tls=tls,
        cloud_init=(*docker, *([cloudinit.read(Path(options.cloud_init))] if options.cloud_init else [])),
        role="engine" if engine else "workload",
        tags=dict(cast("tuple[str, str]", tuple(each.split("=", 1))) for each in options.tag),
    )


def _engine_labels(options: AzureOptions) -> list[str]:
    slots = [f"containerslots={options.slots}"] if options.slots else []
    return [f"location={options.location}", f"size={options.size}", *slots]
