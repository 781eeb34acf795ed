"""The options of `aci`."""

from __future__ import annotations

from dataclasses import dataclass

from swarmlib import Invalid, option
from swarmlib.quantities import Duration, Size

from ..azure.options import CLOUD, LOCATION, SUBSCRIPTION, CloudName, check_cloud


@dataclass
class AciOptions:
    """Where containers are made, and what they have unless they ask for something else."""

    group: str = option("resource group; created if it does not exist", default="swarmlib-aci")
    location: str = option("region", default=LOCATION)
    subscription: str = option(SUBSCRIPTION, default="", metavar="ID")
    cloud: CloudName = option(CLOUD, default="AzureCloud")
    max: int = option("make at most N containers; 0: as many as Azure's quota allows", default=0)
    cpus: float = option("CPUs of a container without --cpus", default=1.0)
    memory: Size = option("memory of a container without --memory", default=3 * 2**29)
    spot: bool = option("make spot containers, which are cheap, may be evicted, and can't publish ports", default=False)
    network: str = option(
        "delegated subnet of new containers, as VNET/SUBNET in the group or by its id", default="", metavar="SUBNET"
    )
    storage_account: str = option(
        "account of the file shares that volumes name (default AZURE_STORAGE_ACCOUNT)", default="", metavar="NAME"
    )
    storage_key: str = option("file with the account's key (default AZURE_STORAGE_KEY)", default="", metavar="FILE")
    identity: str = option("managed identity, by its id, that pulls images from Azure's registries", default="",
                           metavar="ID")  # fmt: skip
    tag: list[str] = option("tag for all new containers", default=[], metavar="NAME=VALUE")
    poll: Duration = option("interval at which containers are looked at while somebody waits for them", default=2.0)

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        check_cloud(self.cloud, self.location)
        if self.max < 0:
            raise Invalid(f"--max must be 0 or more, not {self.max}")
        if self.cpus <= 0:
            raise Invalid(f"--cpus must be above 0, not {self.cpus:g}")
        if self.memory <= 0:
            raise Invalid(f"--memory must be above 0, not {self.memory}")
        if self.poll <= 0:
            raise Invalid("--poll must be above 0")
        if wrong := [each for each in self.tag if "=" not in each]:
            raise Invalid(f"invalid --tag {wrong[0]!r}: expected NAME=VALUE")
