"""Images that are not the marketplace's: managed ones, and those of galleries, also of community and shared ones.

Microsoft's documents of galleries are not among those that the fake is held against: it shows what the SDK's models
have. An image has no content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ...http.serving import Answer, Body
from .errors import ArmError
from .kind import Kind
from .resource import Resource, ResourceId, dig
from .state import ArmCall, State
from .world import ImageFacts, canonical

PUBLIC: Final = re.compile(
    r"/providers/Microsoft\.Compute/locations/([^/]+)"
    r"(/(?:community|shared)Galleries/[^/]+/images/[^/]+)(?:/versions/([^/]+))?",
    re.IGNORECASE,
)
_VERSION: Final = re.compile("/versions/[^/]+", re.IGNORECASE)
_PUBLIC_IDS: Final = ("communityGalleryImageId", "sharedGalleryImageId")


class Images(Kind):
    """Managed images."""

    type = "Microsoft.Compute/images"
    working = "Creating"

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Fill in the generation."""
        resource.properties.setdefault("hyperVGeneration", "V1")

    def patched(self, resource: Resource, patch: Body) -> Body:
        """Apply a PATCH, which may contain properties."""
        return resource.body | patch | {"properties": resource.properties | patch.get("properties", {})}


class Galleries(Kind):
    """Galleries."""

    type = "Microsoft.Compute/galleries"
    working = "Creating"


class GalleryImages(Kind):
    """The definitions of images in galleries."""

    type = "Microsoft.Compute/galleries/images"
    working = "Creating"

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Fill in what the image needs."""
        resource.properties.setdefault("hyperVGeneration", "V1")
        resource.properties.setdefault("architecture", "x64")


class GalleryImageVersions(Kind):
    """The versions of images in galleries, each in some regions."""

    type = "Microsoft.Compute/galleries/images/versions"
    working = "Creating"

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Fill in the regions: at least that of the version itself."""
        profile: Body = resource.properties.setdefault("publishingProfile", {})
        profile.setdefault("targetRegions", [{"name": resource.location, "regionalReplicaCount": 1}])


KINDS: Final = (Images, Galleries, GalleryImages, GalleryImageVersions)


def shown(state: State, location: str, image: str, version: str | None) -> Answer:
    """Answer a request for an image of a community or shared gallery, or for a version of it.

    image: as /CommunityGalleries/NAME/Images/NAME.

    Raises:
        ArmError: there is no such image.
    """
    if (found := state.public_images.get(image.lower())) is None:
        raise ArmError(404, "NotFound", f"The gallery image {image} is not available in {location} region.")
    name = version or image.rpartition("/")[2]
    return Answer(200, {"name": name, "location": canonical(location), "properties": {} if version else found})


def facts(state: State, reference: Mapping[str, str], machine: Resource) -> ImageFacts | None:
    """Return what an image by its id needs of a machine; None if the fake does not know it.

    Raises:
        ArmError: it is in this subscription, and does not exist; or is in other regions than the machine.
    """
    for name in _PUBLIC_IDS:
        if (text := reference.get(name)) is not None:
            return _of_properties(state.public_images.get(_VERSION.sub("", text).lower(), {}))
    id = ResourceId.parse(reference.get("id") or "")
    if id is None or id.subscription != state.subscription:
        return None
    if (image := state.resources.get(id.key)) is None or not _is_in(machine.location, image):
        message = f"The gallery image {id} is not available in {machine.location} region. Please contact image owner to"
        message += " replicate to this region, or change your requested region."
        raise ArmError(404, "GalleryImageNotFound", message, "imageReference")
    is_version = id.parent is not None and id.types[-1].lower() == "versions"
    return _of_properties(state.get(id.parent).properties if is_version and id.parent else image.properties)


def _is_in(location: str, image: Resource) -> bool:
    """Return whether an image is in a region: a version is in several, a definition is valid in every one."""
    match image.id.types[-1].lower():
        case "versions":
            listed: list[Body] = dig(image.properties, "publishingProfile", "targetRegions") or []
            return not listed or location in [canonical(each["name"]) for each in listed]
        case _:
            return len(image.id.types) > 1 or image.location in ("", location)


def _of_properties(properties: Mapping[str, object]) -> ImageFacts | None:
    if "hyperVGeneration" not in properties:
        return None
    confidential, plan = "Confidential" in str(properties.get("features")), "purchasePlan" in properties
    return ImageFacts(
        str(properties.get("architecture") or "x64"), str(properties["hyperVGeneration"]), confidential, plan
    )
