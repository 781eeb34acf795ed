"""What Azure Container Instances say of themselves, as an engine does: version, info, and what is kept."""

from __future__ import annotations

from typing import Any, Final

from swarmlib import Request

from ..enginekit import views
from ..enginekit.operations import answers
from .mirror import Mirror
from .options import AciOptions

_GROUPS: Final = 100
"""The groups that a subscription may have in a region, unless its quota was raised."""
_CPUS: Final = 4
_MEMORY: Final = 16 * 2**30
"""What a container may have in every region."""
LAST_RESORT: Final = "swarmlib.last-resort=true"
"""The label by which a `balance` uses what costs more only for what fits nowhere else."""


class System:
    """Answers what is asked of the engine."""

    def __init__(self, options: AciOptions, mirror: Mirror) -> None:
        self._options = options
        self._mirror = mirror

    @answers("SystemVersion")
    async def _version(self, request: Request) -> dict[str, Any]:
        return views.version() | {"KernelVersion": "", "Arch": "amd64"}

    @answers("SystemInfo")
    async def _info(self, request: Request) -> dict[str, Any]:
        options = self._options
        most = options.max or _GROUPS
        own = [f"location={options.location}", LAST_RESORT] + ([f"containerslots={most}"] if options.max else [])
        return views.info("aci", (each.status for each in self._mirror.containers)) | {
            "ID": f"aci {options.group}",
            "Name": options.group,
            "OperatingSystem": "Azure Container Instances",
            "Architecture": "x86_64",
            "KernelVersion": "",
            "NCPU": most * _CPUS,
            "MemTotal": most * _MEMORY,
            "Runtimes": {"confidential": {}},
            "Labels": own,
        }

    @answers("SystemDataUsage")
    async def _disk_usage(self, request: Request) -> dict[str, Any]:
        return views.disk_usage(self._mirror.containers)
