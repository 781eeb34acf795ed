"""The options of `azure` about its machines, for workloads and for engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from swarmlib import Invalid, option
from swarmlib.quantities import Duration

from .ports import Port
from .spec import DEFAULT_SIZE

CloudName: TypeAlias = Literal["AzureCloud", "AzureUSGovernment", "AzureChinaCloud"]
LOCATION: Final = "westeurope"
"""The default region, which is one of AzureCloud."""
REFUSED_ADMINS: Final = frozenset(
    {"administrator", "admin", "user", "user1", "test", "user2", "test1", "user3", "admin1", "1",
     "123", "a", "actuser", "adm", "admin2", "aspnet", "backup", "console", "david", "guest",
     "john", "owner", "root", "server", "sql", "support", "support_388945a0", "sys",
     "test2", "test3", "user4", "user5"}
)  # fmt: skip
"""The names of admin users that Azure disallows, as its description of `adminUsername` lists them."""
SUBSCRIPTION: Final = "subscription id (default: AZURE_SUBSCRIPTION_ID, or that of `az account show`, or the only one)"
CLOUD: Final = "cloud, by its name in `az cloud list`"


def check_cloud(cloud: CloudName, location: str) -> None:
    """Raise Invalid if the region is not one of the cloud: the default region is only in one of them."""
    if cloud != "AzureCloud" and location == LOCATION:
        raise Invalid(f"--cloud {cloud} requires --location: {LOCATION} is not one of its regions")


@dataclass
class AzureOptions:
    """The options of the machines of one resource group."""

    group: str = option("resource group; created if it does not exist", default="swarmlib")
    location: str = option("region", default=LOCATION, metavar="REGION")
    subscription: str = option(SUBSCRIPTION, default="", metavar="ID")
    cloud: CloudName = option(CLOUD, default="AzureCloud")
    max: int = option("run containers, on at most N machines", default=0)
    idle: Duration = option("deallocate a machine that has run no container for this time", default=1800.0)
    vm: list[str] = option(
        "also use a machine that already has Docker, by its name or a tag; it is never removed",
        default=[],
        metavar="NAME|TAG=VALUE",
    )
    vm_idle: Duration | None = option(
        "like --idle, for machines given by --vm (default: never deallocate them)", default=None
    )
    max_hours: int = option(
        "have Azure deallocate a machine N hours (at most 23) after its start, whatever runs on it (default: never)",
        default=0,
    )
    slots: int = option("run at most N containers on a machine; 0: as many as fit into its memory", default=0)
    size: str = option("sizes of new machines: the first one that Azure has", default=DEFAULT_SIZE, metavar="NAME,...")
    image: str = option(
        "image of new machines: ubuntu, debian, PUBLISHER:OFFER:SKU:VERSION, or an id, also of a gallery's image",
        default="ubuntu",
    )
    plan: str = option(
        "plan of the image (default: that which the marketplace has for it)",
        default="",
        metavar="PUBLISHER:PRODUCT:NAME",
    )
    disk: int = option("size of their disk in GB (default: the image's)", default=0, metavar="GB")
    zone: str = option(
        "availability zones of new machines: the first one that has room (default: any)", default="", metavar="N,..."
    )
    spot: bool = option("make spot machines, which are cheap but may be evicted at any time", default=False)
    spot_fallback: bool = option("with --spot, make regular machines where Azure has no spot ones", default=False)
    security: Literal["standard", "trusted", "confidential"] = option(
        "security type of new machines", default="standard"
    )
    network: str = option("existing subnet, as VNET/SUBNET in the group or by its id", default="", metavar="SUBNET")
    private: bool = option("give new machines no public address", default=False)
    nat: bool = option("let --private machines reach the Internet by a NAT gateway, which is billed", default=False)
    identity: str = option("managed identity of new machines: system, or an id", default="", metavar="ID")
    tag: list[str] = option("tag for all new machines", default=[], metavar="NAME=VALUE")
    reach: Literal["ssh", "tls"] = option("how to reach engines: by ssh, or by mutual TLS on port 2376", default="ssh")
    admin: str = option("admin user of new machines", default="swarm", metavar="USER")
    ssh_key: str = option("public key of the admin user (default: the first one in ~/.ssh)", default="", metavar="FILE")
    cloud_init: str = option("configuration for cloud-init, merged with swarmlib's own", default="", metavar="FILE")
    via: str = option("jump host, to reach machines by ssh at their private addresses", default="", metavar="USER@HOST")
    allow: list[str] = option(
        "address or network that may connect (default: only this machine)", default=[], metavar="ADDRESS"
    )
    open_port: list[str] = option("port of all machines that everybody may reach", default=[], metavar="PORT[/udp]")
    whoami: str = option(
        "web service that returns this machine's public address", default="https://api.ipify.org", metavar="URL"
    )
    not_ours: bool = option("also remove, stop and change machines that swarmlib did not make", default=False)
    keep_allocated: bool = option("keep stopped machines allocated; they are billed", default=False)
    poll: Duration = option("interval at which machines are polled while a client watches events", default=10.0)

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        check_cloud(self.cloud, self.location)
        if self.admin.lower() in REFUSED_ADMINS:
            raise Invalid(f"invalid --admin {self.admin!r}: Azure does not allow this name for the user of a machine")
        if "/bastionhosts/" in self.via.lower():
            tunnel = "`az network bastion tunnel` opens one to a jump host: then use --via USER@127.0.0.1:PORT"
            raise Invalid(
                f"--via {self.via}: the protocol of Bastion's tunnels is not documented. What to do: {tunnel}"
            )
        if self.max < 0:
            raise Invalid("--max must be 0 or more")
        if self.slots < 0:
            raise Invalid("--slots must be 0 or more")
        if self.disk < 0:
            raise Invalid("--disk must be 0 or more")
        if not 0 <= self.max_hours <= 23:
            raise Invalid("--max-hours must be from 0 to 23")
        if self.spot_fallback and not self.spot:
            raise Invalid("--spot-fallback requires --spot")
        if self.via and self.reach != "ssh":
            raise Invalid("--via requires --reach ssh")
        if self.nat and self.network:
            raise Invalid("--nat and --network can't be used together: the NAT gateway is for swarmlib's own network")
        for each in self.open_port:
            Port.read(each)
        if self.poll <= 0:
            raise Invalid("--poll must be above 0")
        if wrong := [each for each in self.tag if "=" not in each]:
            raise Invalid(f"invalid --tag {wrong[0]!r}: expected NAME=VALUE")
