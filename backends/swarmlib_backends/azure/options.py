"""The options of `azure` about its machines, for workloads and for engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from swarmlib import Invalid, option
from swarmlib.quantities import Duration


@dataclass
class AzureOptions:
    """The options of the machines of one resource group."""

    group: str = option("the resource group; made if it isn't there", default="swarmlib")
    location: str = option("the region", default="westeurope")
    subscription: str = option("its id; by default AZURE_SUBSCRIPTION_ID, or the only one", default="")
    max: int = option("hold containers, on this many machines at most", default=0)
    idle: Duration = option("how long a machine holds no running container before it is deallocated", default=1800.0)
    vm: list[str] = option(
        "an engine, too: a machine that has Docker, by NAME or tag NAME=VALUE; never removed", default=[]
    )
    vm_idle: Duration | None = option("as --idle, for those of --vm; by default they stay on", default=None)
    slots: int = option("how many containers such a machine takes at most; 0: as many as it has memory for", default=0)
    size: str = option("the size of new machines", default="Standard_B2s")
    image: str = option("their image: PUBLISHER:OFFER:SKU:VERSION, ubuntu or debian", default="ubuntu")
    disk: int = option("GB of their disk; by default the image's", default=0)
    zone: str = option("their availability zone", default="")
    spot: bool = option("spot machines: cheap, and evicted at any time", default=False)
    security: Literal["standard", "trusted", "confidential"] = option("how they are isolated", default="standard")
    network: str = option("an existing VNET/SUBNET of the group, or a subnet's id", default="")
    private: bool = option("no public address", default=False)
    identity: str = option("their managed identity: system, or the id of one", default="")
    tag: list[str] = option("a tag NAME=VALUE of all of them", default=[])
    reach: Literal["ssh", "tls"] = option("how engines are reached: ssh, or mutual TLS on port 2376", default="ssh")
    admin: str = option("their user", default="swarm")
    ssh_key: str = option("the FILE of the user's public key; by default the first of ~/.ssh", default="")
    cloud_init: str = option("a FILE for cloud-init, merged with what is done anyway", default="")
    allow: list[str] = option("who may reach them: an address or network; by default this machine alone", default=[])
    whoami: str = option("a URL that tells this machine's public address", default="https://api.ipify.org")
    keep_allocated: bool = option("leave stopped machines allocated, which is billed", default=False)
    poll: Duration = option("time between two looks at the machines, for who watches", default=10.0)

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if self.max < 0:
            raise Invalid("--max should be 0 or more")
        if self.poll <= 0:
            raise Invalid("--poll should be above 0")
        if wrong := [each for each in self.tag if "=" not in each]:
            raise Invalid(f"--tag {wrong[0]} should be NAME=VALUE")
