"""The real Azure SDK's clients against a fake ARM, and what tests say to them again and again."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from azure.core.credentials import AccessToken
from azure.mgmt.compute.aio import ComputeManagementClient
from azure.mgmt.network.aio import NetworkManagementClient
from azure.mgmt.resource.resources.aio import ResourceManagementClient

from swarmlib_backends.azure.fakearm import FakeArm
from swarmlib_backends.azure.transport import HttpxTransport

POLL_SECONDS = 0.01
LOCATION = "westeurope"


class Credential:
    """A token of the fake's, with no way to get it."""

    def __init__(self, arm: FakeArm) -> None:
        self._arm = arm

    async def get_token(self, *scopes: str, **_: object) -> AccessToken:
        assert scopes
        return AccessToken(self._arm.tokens.issue(), int(time.time()) + 3600)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


@dataclass
class Sdk:
    """The three clients."""

    compute: Any
    network: Any
    resources: Any

    async def group(self, name: str = "prod") -> None:
        await self.resources.resource_groups.create_or_update(name, {"location": LOCATION})

    async def subnet(self, group: str = "prod", name: str = "net") -> str:
        """The id of a subnet in a new network."""
        properties = {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [{"name": "default", "properties": {"addressPrefix": "10.0.0.0/22"}}],
        }
        body = {"location": LOCATION, "properties": properties}
        poller = await self.network.virtual_networks.begin_create_or_update(group, name, body)
        return str((await poller.result()).subnets[0].id)

    async def address(self, name: str, group: str = "prod") -> Any:
        body = {
            "location": LOCATION,
            "sku": {"name": "Standard"},
            "properties": {"publicIPAllocationMethod": "Static"},
        }
        return await (await self.network.public_ip_addresses.begin_create_or_update(group, name, body)).result()

    async def interface(self, name: str, subnet: str, address: str = "", group: str = "prod") -> str:
        """The id of a new interface; its public address goes when its machine goes."""
        properties: dict[str, Any] = {"subnet": {"id": subnet}}
        if address:
            properties["publicIPAddress"] = {"id": address, "properties": {"deleteOption": "Delete"}}
        body = {"location": LOCATION, "properties": {"ipConfigurations": [{"name": "ip", "properties": properties}]}}
        poller = await self.network.network_interfaces.begin_create_or_update(group, name, body)
        return str((await poller.result()).id)

    async def network_for(self, name: str) -> str:
        """A group, a network and a public address, and an interface that has both; gives the interface's id."""
        await self.group()
        subnet = await self.subnet()
        address = await self.address(f"{name}-ip")
        return await self.interface(f"{name}-nic", subnet, address.id)

    async def machine(self, name: str, interface: str, size: str = "Standard_B2s", **more: Any) -> Any:
        """A new virtual machine, whose disk and interface go with it."""
        body = machine_body(interface, size, **more)
        return await (await self.compute.virtual_machines.begin_create_or_update("prod", name, body)).result()

    async def power(self, name: str, group: str = "prod") -> str:
        """A machine's power state."""
        view = await self.compute.virtual_machines.instance_view(group, name)
        return str(next(each.code for each in view.statuses if each.code.startswith("PowerState/")).partition("/")[2])


def machine_body(interface: str, size: str = "Standard_B2s", **more: Any) -> dict[str, Any]:
    """A virtual machine with Ubuntu on it."""
    image = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"}
    key = {"path": "/home/azureuser/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA test"}
    linux = {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}}
    properties: dict[str, Any] = {
        "hardwareProfile": {"vmSize": size},
        "storageProfile": {
            "imageReference": image,
            "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"},
        },
        "osProfile": {"computerName": "vm", "adminUsername": "azureuser", "linuxConfiguration": linux},
        "networkProfile": {"networkInterfaces": [{"id": interface, "properties": {"deleteOption": "Delete"}}]},
    }
    return {"location": LOCATION, "properties": properties | more}


@asynccontextmanager
async def opened(arm: FakeArm, **options: Any) -> AsyncIterator[Sdk]:
    """The clients, on one transport. `options` are those of every client."""
    transport = HttpxTransport(verify=arm.tls)
    common: dict[str, Any] = {
        "base_url": arm.url,
        "transport": transport,
        "credential_scopes": [f"{arm.url}/.default"],
        "polling_interval": POLL_SECONDS,
        **options,
    }
    credential, subscription = Credential(arm), arm.state.subscription
    async with transport:
        yield Sdk(
            ComputeManagementClient(credential, subscription, **common),
            NetworkManagementClient(credential, subscription, **common),
            ResourceManagementClient(credential, subscription, **common),
        )
