"""Images of machines: how they are named, and what they need. Names are short ones, the marketplace's URNs, and ids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from swarmlib import Invalid

from .sizes import Size
from .spec import Body, Security

BY_ID: Final[Mapping[str, re.Pattern[str]]] = {
    "id": re.compile(
        r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/"
        r"(images/[^/]+|galleries/[^/]+/images/[^/]+(/versions/[^/]+)?)",
        re.IGNORECASE,
    ),
    "communityGalleryImageId": re.compile(r"/CommunityGalleries/[^/]+/Images/[^/]+(/Versions/[^/]+)?", re.IGNORECASE),
    "sharedGalleryImageId": re.compile(r"/SharedGalleries/[^/]+/Images/[^/]+(/Versions/[^/]+)?", re.IGNORECASE),
}
"""The forms of ids, by the names that a reference to such an image has for them."""
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

    @property
    def is_known(self) -> bool:
        """Whether it is known what the image needs."""
        return bool(self.generation)

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


URN: Final[tuple[str, ...]] = ("publisher", "offer", "sku", "version")


def _of_urn(urn: str, architecture: str, generation: str, *, confidential: bool = False) -> Image:
    reference: Body = dict(zip(URN, urn.split(":"), strict=True))
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
    if text not in IMAGES and not urn and not any(each.fullmatch(text) for each in BY_ID.values()):
        raise Invalid(f"invalid image {text!r}: expected {_FORMS}, or one of {', '.join(IMAGES)}")


def short_name(image: str) -> str:
    """Return the short name of an image that is given by its URN, if it has one."""
    for name, variants in IMAGES.items():
        if any(":".join(each.reference.values()) == image for each in variants):
            return name
    return image
