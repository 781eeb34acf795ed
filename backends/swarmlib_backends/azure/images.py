"""Images of machines: short names, the marketplace's URNs, and the ids of own images and of galleries' images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from swarmlib import Denied, Invalid, NotFound

from .client import Arm
from .sizes import Size
from .spec import Body, Security, part, parts

_BY_ID: Final[Mapping[str, re.Pattern[str]]] = {
    "id": re.compile(
        r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/"
        r"(images/[^/]+|galleries/[^/]+/images/[^/]+(/versions/[^/]+)?)",
        re.IGNORECASE,
    ),
    "communityGalleryImageId": re.compile(r"/CommunityGalleries/[^/]+/Images/[^/]+(/Versions/[^/]+)?", re.IGNORECASE),
    "sharedGalleryImageId": re.compile(r"/SharedGalleries/[^/]+/Images/[^/]+(/Versions/[^/]+)?", re.IGNORECASE),
}
_FORMS: Final = "PUBLISHER:OFFER:SKU:VERSION, the id of an image or of a gallery's image"


@dataclass(frozen=True)
class Image:
    """An image as Azure refers to it, its plan, and what it needs.

    architecture, generation: x64 or Arm64, and V1 or V2; "" if that is not known. confidential, trusted: whether it
    supports these security types; None if that is not known.
    """

    reference: Body
    architecture: str = ""
    generation: str = ""
    confidential: bool | None = None
    trusted: bool | None = None
    plan: Body | None = None

    def misfit(self, size: Size, security: Security) -> str:
        """Return why the image can't be used with a size and a security type; "" if it can, as far as is known."""
        if self.architecture and self.architecture != size.architecture:
            return f"its architecture is {size.architecture}, and the image's is {self.architecture}"
        if self.generation and self.generation not in size.generations:
            return f"it has no machines of generation {self.generation[-1]}, as the image needs"
        if security == "confidential" and self.confidential is False:
            return "the image can't be confidential"
        if security == "trusted" and (self.trusted is False or self.generation == "V1"):
            return "the image does not support the security type trusted"
        return ""


_URN: Final[tuple[str, ...]] = ("publisher", "offer", "sku", "version")
_PLAN: Final[tuple[str, ...]] = ("publisher", "product", "name")


def _of_urn(urn: str, architecture: str, generation: str, *, confidential: bool = False) -> Image:
    reference: Body = dict(zip(_URN, urn.split(":"), strict=True))
    return Image(reference, architecture, generation, confidential, trusted=generation == "V2")


_UBUNTU: Final = "Canonical:ubuntu-24_04-lts"
_UBUNTU_CONFIDENTIAL: Final = _of_urn(f"{_UBUNTU}:cvm:latest", "x64", "V2", confidential=True)
_DEBIAN: Final = "Debian:debian-12"
IMAGES: Final[Mapping[str, tuple[Image, ...]]] = {
    "ubuntu": (
        _of_urn(f"{_UBUNTU}:server:latest", "x64", "V2"),
        _of_urn(f"{_UBUNTU}:server-arm64:latest", "Arm64", "V2"),
        _of_urn(f"{_UBUNTU}:server-gen1:latest", "x64", "V1"),
        _UBUNTU_CONFIDENTIAL,
    ),
    "ubuntu-confidential": (_UBUNTU_CONFIDENTIAL,),
    "debian": (
        _of_urn(f"{_DEBIAN}:12-gen2:latest", "x64", "V2"),
        _of_urn(f"{_DEBIAN}:12-arm64:latest", "Arm64", "V2"),
        _of_urn(f"{_DEBIAN}:12:latest", "x64", "V1"),
    ),
}
"""The images that have short names, each with its variants; the first one that fits is taken."""


def check_image(text: str) -> None:
    """Check how an image is named.

    Raises:
        Invalid: it is neither a short name, nor a URN, nor an id.
    """
    urn = text.count(":") == 3 and all(text.split(":"))
    if text not in IMAGES and not urn and not any(each.fullmatch(text) for each in _BY_ID.values()):
        raise Invalid(f"invalid image {text!r}: expected {_FORMS}, or one of {', '.join(IMAGES)}")


def short_name(image: str) -> str:
    """Return the short name of an image that is given by its URN, if it has one."""
    for name, variants in IMAGES.items():
        if any(":".join(each.reference.values()) == image for each in variants):
            return name
    return image


async def variants(arm: Arm, text: str, location: str, plan: str) -> tuple[Image, ...]:
    """Return what an image may be: of a short name the variants, else one.

    plan: PUBLISHER:PRODUCT:NAME; "" for the one that the marketplace has for the image, if any.

    Raises:
        Invalid: the image is named in no such way.
        NotFound: the marketplace has no such image.
    """
    check_image(text)
    if text in IMAGES:
        return IMAGES[text]
    given: Body | None = dict(zip(_PLAN, plan.split(":"), strict=True)) if plan else None
    for name, pattern in _BY_ID.items():
        if pattern.fullmatch(text):
            return (Image({name: text}, plan=given),)
    reference: dict[str, str] = dict(zip(_URN, text.split(":"), strict=True))
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
    security = {value for each in parts(found, "features") if each.get("name") == "SecurityType"
                for value in str(each.get("value")).split(",")}  # fmt: skip
    return Image(
        dict(reference),
        str(found.get("architecture") or ""),
        str(found.get("hyperVGeneration") or ""),
        confidential=any("Confidential" in each for each in security),
        trusted=any("TrustedLaunch" in each for each in security),
        plan=plan or found.get("plan"),
    )
