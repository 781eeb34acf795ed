"""What Azure knows of an image, asked before anything is made: of the marketplace's, of managed ones, of galleries'."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from swarmlib import Denied, Invalid, NotFound

from .client import Arm
from .images import BY_ID, IMAGES, URN, Image, check_image
from .spec import Body, part, parts, region

_PLAN: Final[tuple[str, ...]] = ("publisher", "product", "name")
_MANAGED: Final = "2024-07-01"
_GALLERIES: Final = "2024-03-03"
"""The API versions of managed images, and of galleries."""
_VERSION: Final = re.compile("/versions/([^/]+)", re.IGNORECASE)


async def variants(arm: Arm, text: str, location: str, plan: str) -> tuple[Image, ...]:
    """Return what an image may be: of a short name the variants, else one.

    plan: PUBLISHER:PRODUCT:NAME; "" for the one that Azure has for the image, if any.

    Raises:
        Invalid: the image is named in no such way, is in another region, or has Windows.
        NotFound: there is no such image.
    """
    check_image(text)
    if text in IMAGES:
        return IMAGES[text]
    given: Body | None = dict(zip(_PLAN, plan.split(":"), strict=True)) if plan else None
    for name, pattern in BY_ID.items():
        if pattern.fullmatch(text):
            return (await _of_id(arm, name, text, location, given),)
    reference: dict[str, str] = dict(zip(URN, text.split(":"), strict=True))
    return (await _of_marketplace(arm, reference, location, given),)


async def _of_marketplace(arm: Arm, reference: Mapping[str, str], location: str, plan: Body | None) -> Image:
    """Return what the marketplace says of an image: only the version is not a part of how it is asked for."""
    names = (location, reference["publisher"], reference["offer"], reference["sku"])
    images, version = arm.compute.virtual_machine_images, reference["version"]
    try:
        if version == "latest":
            versions = await arm.called_list(images.list(*names, top=1, orderby="name desc"))
            if not versions:
                raise NotFound(
                    f"Azure has no image {':'.join(reference.values())}: `az vm image list` lists the images"
                )
            version = str(versions[0]["name"])
        found = part(await arm.called(images.get(*names, version)), "properties")
    except Denied:
        return Image(dict(reference), plan=plan)
    return _described(dict(reference), found, plan or found.get("plan"))


async def _of_id(arm: Arm, name: str, id: str, location: str, plan: Body | None) -> Image:
    """Return what Azure says of a managed image, or of the definition and the version of a gallery's image."""
    reference: Body = {name: id}
    try:
        if "/galleries/" not in id.lower() and name == "id":
            return _managed(reference, await arm.by_id(id, _MANAGED), location, plan)
        whole = _VERSION.sub("", id)
        place = "" if name == "id" else f"/subscriptions/{arm.subscription}/providers/Microsoft.Compute/locations/"
        prefix = f"{place}{region(location)}" if place else ""
        found = part(await arm.by_id(f"{prefix}{whole}", _GALLERIES), "properties")
        version = _VERSION.search(id)
        if version and version[1].lower() != "latest":
            _check_regions(id, await arm.by_id(f"{prefix}{id}", _GALLERIES), location)
    except Denied:
        return Image(reference, plan=plan)
    except NotFound as exc:
        raise NotFound(f"no such image: {id} ({exc.message})", details=exc.details) from exc
    _check_system(id, str(found.get("osType") or ""))
    return _described(reference, found, plan or found.get("purchasePlan"))


def _managed(reference: Body, found: Body, location: str, plan: Body | None) -> Image:
    """Return a managed image, which is for x64 and without security types.

    https://learn.microsoft.com/azure/virtual-machines/trusted-launch says what it does not support.
    """
    if (there := region(str(found.get("location")))) != region(location):
        raise Invalid(f"the image {reference['id']} is in {there}, not in {location}: use --location {there}")
    properties = part(found, "properties")
    _check_system(reference["id"], str(part(properties, "storageProfile", "osDisk").get("osType") or ""))
    generation = str(properties.get("hyperVGeneration") or "V1")
    return Image(reference, "x64", generation, confidential=False, trusted=False, plan=plan)


def _check_system(id: str, system: str) -> None:
    """Raise Invalid if an image has another system than Linux."""
    if system not in ("Linux", ""):
        raise Invalid(f"the image {id} has {system}: swarmlib makes machines with Linux only")


def _check_regions(id: str, version: Body, location: str) -> None:
    """Raise Invalid if a version of a gallery's image is in other regions only."""
    listed = parts(part(version, "properties", "publishingProfile"), "targetRegions")
    regions = [region(str(each.get("name"))) for each in listed]
    if regions and region(location) not in regions:
        raise Invalid(f"the image {id} is in {', '.join(regions)}, not in {location}: replicate it, or use another"
                      " --location")  # fmt: skip


def _described(reference: Body, found: Body, plan: Body | None) -> Image:
    """Return an image by its properties, which the marketplace and galleries write in the same way."""
    security = {value for each in parts(found, "features") if each.get("name") == "SecurityType"
                for value in str(each.get("value")).split(",")}  # fmt: skip
    return Image(
        reference,
        str(found.get("architecture") or ""),
        str(found.get("hyperVGeneration") or ""),
        confidential=any("Confidential" in each for each in security),
        trusted=any("TrustedLaunch" in each for each in security),
        plan=plan,
    )
