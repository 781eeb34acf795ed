"""What the fake Azure offers: regions with their room and quotas, sizes of machines, images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Size:
    """A size of virtual machine. `family` is the name of the quota that its cores count against."""

    name: str
    cores: int
    memory_mb: int
    family: str
    confidential: bool = False
    trusted_launch: bool = True
    temp_disk_mb: int = 0

    @property
    def architecture(self) -> str:
        """The architecture of its CPUs."""
        return "Arm64" if "ps_" in self.name else "x64"

    @property
    def generations(self) -> frozenset[str]:
        """The generations of machines that it can be (hypervGeneration)."""
        if self.architecture == "Arm64" or self.confidential:
            return frozenset({"V2"})
        old = not self.trusted_launch and not self.name.startswith("Standard_NC")
        return frozenset({"V1"}) if old else frozenset({"V1", "V2"})

    @property
    def spot(self) -> bool:
        """Whether there are spot machines of it."""
        return not self.name.startswith("Standard_B")


@dataclass(frozen=True)
class ImageFacts:
    """What an image of the marketplace needs. plan: whether it has one, whose terms must be accepted."""

    architecture: str
    generation: str
    confidential: bool
    plan: bool


@dataclass
class Region:
    """A region, as one subscription sees it; tests set the limits that they want to hit.

    cores: the regional quota. families: quotas by family, where they differ from the regional one. spot_cores: the
    quota of all spot machines. withheld: sizes that this subscription can't have (SkuNotAvailable), as the list of
    sizes says. short: sizes that are scarce now, which the list does not say (SkuNotAvailable). room: cores that are
    free in its data centers (AllocationFailed once they are used up). container_cores, container_room: the same of
    container groups.
    """

    name: str
    cores: int = 1000
    families: dict[str, int] = field(default_factory=dict[str, int])
    spot_cores: int = 1000
    withheld: set[str] = field(default_factory=set[str])
    short: set[str] = field(default_factory=set[str])
    room: float = float("inf")
    container_cores: int = 1000
    container_room: float = float("inf")
    zones: tuple[str, ...] = ("1", "2", "3")


SIZES: Final[Mapping[str, Size]] = {
    size.name.lower(): size
    for size in (
        Size("Standard_B1s", 1, 1024, "standardBSFamily"),
        Size("Standard_B2s", 2, 4096, "standardBSFamily"),
        Size("Standard_B2ts_v2", 2, 1024, "standardBsv2Family"),
        Size("Standard_B2s_v2", 2, 8192, "standardBsv2Family"),
        Size("Standard_B4s_v2", 4, 16384, "standardBsv2Family"),
        Size("Standard_D1_v2", 1, 3584, "standardDv2Family", trusted_launch=False, temp_disk_mb=51200),
        Size("Standard_D2_v2", 2, 7168, "standardDv2Family", trusted_launch=False, temp_disk_mb=102400),
        Size("Standard_DS1_v2", 1, 3584, "standardDSv2Family", temp_disk_mb=7168),
        Size("Standard_DS2_v2", 2, 7168, "standardDSv2Family", temp_disk_mb=14336),
        Size("Standard_D4_v3", 4, 16384, "standardDv3Family", trusted_launch=False, temp_disk_mb=102400),
        Size("Standard_D2s_v3", 2, 8192, "standardDSv3Family", temp_disk_mb=16384),
        Size("Standard_D2s_v5", 2, 8192, "standardDSv5Family"),
        Size("Standard_D4s_v5", 4, 16384, "standardDSv5Family"),
        Size("Standard_D8s_v5", 8, 32768, "standardDSv5Family"),
        Size("Standard_D16s_v5", 16, 65536, "standardDSv5Family"),
        Size("Standard_D2as_v5", 2, 8192, "standardDASv5Family"),
        Size("Standard_D4as_v5", 4, 16384, "standardDASv5Family"),
        Size("Standard_D2ps_v5", 2, 8192, "standardDPSv5Family", trusted_launch=False),
        Size("Standard_F2s_v2", 2, 4096, "standardFSv2Family", temp_disk_mb=16384),
        Size("Standard_E2s_v5", 2, 16384, "standardESv5Family"),
        Size("Standard_DC2as_v5", 2, 8192, "standardDCASv5Family", confidential=True),
        Size("Standard_DC4as_v5", 4, 16384, "standardDCASv5Family", confidential=True),
        Size("Standard_DC2es_v5", 2, 8192, "standardDCESv5Family", confidential=True),
        Size("Standard_NC4as_T4_v3", 4, 28672, "standardNCASv3_T4Family", trusted_launch=False, temp_disk_mb=176128),
    )
}
"""The sizes by their names in lower case."""

REGIONS: Final = (
    "eastus", "eastus2", "eastus2euap", "westus", "westus2", "westus3", "centralus", "northcentralus", "westcentralus",
    "northeurope", "westeurope", "uksouth", "germanywestcentral", "francecentral", "swedencentral", "switzerlandnorth",
    "southeastasia",
)  # fmt: skip

_IMAGES: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("canonical", "ubuntu-24_04-lts"): frozenset({"server", "server-gen1", "server-arm64", "minimal", "cvm"}),
    ("canonical", "ubuntu-22_04-lts"): frozenset({"server", "server-gen1", "cvm"}),
    ("canonical", "0001-com-ubuntu-server-jammy"): frozenset({"22_04-lts", "22_04-lts-gen2", "22_04-lts-arm64"}),
    ("canonical", "0001-com-ubuntu-confidential-vm-jammy"): frozenset({"22_04-lts-cvm"}),
    ("canonical", "ubuntuserver"): frozenset({"16.04-lts", "18.04-lts"}),
    ("debian", "debian-12"): frozenset({"12", "12-gen2", "12-arm64"}),
    ("kinvolk", "flatcar-container-linux"): frozenset({"stable", "stable-gen2"}),
    ("debian", "debian-11"): frozenset({"11", "11-gen2"}),
    ("microsoftwindowsserver", "windowsserver"): frozenset({"2016-datacenter", "2019-datacenter"}),
    ("microsoftwindowsserver", "2019-datacenter-cvm"): frozenset({"windows-cvm"}),
    ("microsoftwindowsserver", "windowsserver-gen2preview-preview"): frozenset({"windows10-tvm"}),
}


_SECOND: Final = frozenset({"server", "minimal", "windows10-tvm"})
"""The images for machines of the second generation whose names don't tell."""


def image_exists(publisher: str, offer: str, sku: str) -> bool:
    """Return whether the marketplace has an image; images of unknown publishers are not checked."""
    offers = {known for maker, known in _IMAGES if maker == publisher.lower()}
    return not offers or sku.lower() in _IMAGES.get((publisher.lower(), offer.lower()), frozenset())


def image_facts(publisher: str, offer: str, sku: str) -> ImageFacts | None:
    """Return what an image of the marketplace needs; None if it is not known."""
    if sku.lower() not in _IMAGES.get((publisher.lower(), offer.lower()), frozenset()):
        return None
    arm, confidential = "arm64" in sku.lower(), "cvm" in sku.lower()
    second = arm or confidential or sku.lower() in _SECOND or sku.lower().endswith("gen2")
    architecture, plan = "Arm64" if arm else "x64", publisher.lower() == "kinvolk"
    return ImageFacts(architecture, "V2" if second else "V1", confidential, plan)


def regions() -> dict[str, Region]:
    """Return every region, with its usual room and quotas."""
    return {name: Region(name) for name in REGIONS}


def canonical(location: str) -> str:
    """Return a region's canonical name, however it was written ("West Europe", "westeurope")."""
    return location.replace(" ", "").lower()
