"""What is checked of a new machine before anything is made for it: `swarmd azure create --dry-run` checks just that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swarmlib import Conflict, Invalid

from . import subnets
from .access import Access
from .choice import Choice
from .choices import choices
from .client import Arm
from .image_lookup import variants
from .resources import NETWORKS, SECURITY_GROUPS
from .sizes import Sizes
from .spec import NETWORK, TAG, Body, Spec, tags_of


@dataclass(frozen=True)
class Checked:
    """What the checks have found out.

    choices: the machines that are possible, in the order in which they are tried. allowed: as `Access.allowed`. subnet:
    the id of the machine's subnet. security_group: the one that the machines of the group share; None if it does not
    exist, or is not complete. unchecked: what the caller's role does not let him check.
    """

    choices: Sequence[Choice]
    allowed: list[str] | None
    subnet: str
    security_group: Body | None
    unchecked: Sequence[str]


async def checked(arm: Arm, group: str, access: Access, sizes: Sizes, spec: Spec) -> Checked:
    """Check whether a machine can be made in a resource group.

    Raises:
        Invalid: a size, a zone, the image, the region or the subnet is not possible, or does not fit the others.
        NotFound: there is no such image or subnet.
        Conflict: the name of what the machines share is in use by others.
        SwarmError: as `Access.allowed`; or Azure can't be asked.
    """
    if spec.private and not (spec.network or spec.nat):
        why = "machines without a public address can't leave swarmlib's own network by themselves"
        raise Invalid(f"--private requires --nat or --network: {why}")
    known = await sizes.of(spec.location)
    if known is not None and not known:
        text = f"Azure has no region {spec.location}, or no machines there for this subscription"
        raise Invalid(f"{text}: `az account list-locations --output table` lists the regions")
    images = await variants(arm, spec.image, spec.location, spec.plan)
    possible = choices(spec, known, images)
    unchecked = ["the sizes of the region"] if known is None else []
    unchecked += [] if all(each.is_known for each in images) else [f"the image {spec.image}"]
    allowed = await access.allowed(private=spec.private)
    subnet = f"{arm.id(group, NETWORKS, NETWORK)}/subnets/{subnets.NAME}"
    if spec.network:
        subnet = subnets.named(arm, group, spec.network)
        await subnets.check(arm, subnet, spec)
    shared = await find_shared(arm, arm.id(group, SECURITY_GROUPS, NETWORK), spec)
    return Checked(possible, allowed, subnet, shared, unchecked)


async def find_shared(arm: Arm, id: str, spec: Spec) -> Body | None:
    """Return what the machines of a group share; None if it doesn't exist, or isn't complete.

    Raises:
        Conflict: it is not swarmlib's. Invalid: it is in another region than the machine.
    """
    found = await arm.find(id)
    if found is None:
        return None
    check_made_here(id, found)
    _check_region(found, spec)
    return found if found["properties"].get("provisioningState") == "Succeeded" else None


def check_made_here(id: str, found: Body) -> None:
    """Raise Conflict if a resource was not made by swarmlib."""
    if TAG not in tags_of(found):
        raise Conflict(f"{id} exists and was not made by swarmlib: choose another name for the machine, or --network")


def _check_region(shared: Body, spec: Spec) -> None:
    """Raise Invalid if what the machines of the group share is in another region than a new one."""
    there = str(shared.get("location", ""))
    if there != spec.region:
        text = f"{shared['id']} is in {there}, not in {spec.location}: all machines of a group are in one region"
        raise Invalid(f"{text}; use --location {there}, or another --group")
