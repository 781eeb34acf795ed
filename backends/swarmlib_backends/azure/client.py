"""Azure Resource Manager by the official SDK: its clients on one transport, and the few calls that the backend makes.

Objects are ARM's own JSON. What fails comes out as a `SwarmError` (see `failures`).
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import trio
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest
from azure.mgmt.compute.aio import ComputeManagementClient
from azure.mgmt.core.policies import AsyncARMAutoResourceProviderRegistrationPolicy
from azure.mgmt.network.aio import NetworkManagementClient
from azure.mgmt.resource.resources.aio import ResourceManagementClient

from swarmlib import Invalid, NotFound, Unavailable

from .credentials import Credential
from .failures import mapped
from .transport import HttpxTransport

Body: TypeAlias = dict[str, Any]

PUBLIC_CLOUD: Final = "https://management.azure.com"
_POLL_SECONDS: Final = 5.0
"""Between two looks at an operation, where ARM doesn't say."""
_REGISTER_SECONDS: Final = 2.0
_RETRIES: Final = 5


class Registration(AsyncARMAutoResourceProviderRegistrationPolicy):
    """Registers the provider that a subscription uses for the first time: the SDK's own, which sleeps in asyncio."""

    async def _async_register_rp(self, initial_request: Any, url_prefix: str, rp_name: str) -> bool:
        where = f"{url_prefix}providers/{rp_name}"
        version = "api-version=2024-11-01"
        asked = await self.next.send(self._build_next_request(initial_request, "POST", f"{where}/register?{version}"))
        if asked.http_response.status_code != 200:
            return False
        while True:
            found = await self.next.send(self._build_next_request(initial_request, "GET", f"{where}?{version}"))
            if json.loads(found.http_response.text()).get("registrationState") == "Registered":
                return True
            await trio.sleep(_REGISTER_SECONDS)


class Arm:
    """The calls. A name is a resource's within its group."""

    def __init__(self, clients: tuple[Any, Any, Any], transport: HttpxTransport, subscription: str) -> None:
        self.compute, self.network, self.resources = clients
        self.subscription = subscription
        self._transport = transport
        self._kinds: dict[str, Any] = {
            "Microsoft.Compute/virtualMachines": self.compute.virtual_machines,
            "Microsoft.Compute/disks": self.compute.disks,
            "Microsoft.Network/networkInterfaces": self.network.network_interfaces,
            "Microsoft.Network/publicIPAddresses": self.network.public_ip_addresses,
            "Microsoft.Network/networkSecurityGroups": self.network.network_security_groups,
            "Microsoft.Network/virtualNetworks": self.network.virtual_networks,
        }

    def id(self, group: str, kind: str, name: str) -> str:
        """The id of a resource, whether it is there or not."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{group}/providers/{kind}/{name}"

    async def get(self, id: str, **options: str) -> Body:
        """A resource. Raises NotFound if it isn't there."""
        group, kind, name = parts(id)
        return await self.called(self._kinds[kind].get(group, name, **options))

    async def find(self, id: str, **options: str) -> Body | None:
        """A resource; None if it isn't there."""
        try:
            return await self.get(id, **options)
        except NotFound:
            return None

    async def put(self, id: str, body: Body, **options: str) -> Body:
        """Make or change a resource; returns once that is done."""
        group, kind, name = parts(id)
        return await self.finished(lambda: self._kinds[kind].begin_create_or_update(group, name, body, **options))

    async def delete(self, id: str) -> None:
        """Delete a resource; returns once it is gone. One that isn't there is."""
        group, kind, name = parts(id)
        try:
            await self.finished(lambda: self._kinds[kind].begin_delete(group, name))
        except NotFound:
            return

    async def finished(self, begin: Callable[[], Any]) -> Body:
        """Begin an operation, and wait for its end; gives its result."""
        with mapped():
            found = await (await begin()).result()
        return {} if found is None else _plain(found)

    async def called(self, call: Awaitable[Any]) -> Body:
        """The result of a call of the SDK's."""
        with mapped():
            return _plain(await call)

    async def listed(self, pages: Any) -> list[Body]:
        """All that an operation of the SDK's lists, page by page."""
        with mapped():
            return [_plain(each) async for each in pages]

    async def group(self, name: str) -> Body | None:
        """A resource group; None if it isn't there."""
        try:
            return await self.called(self.resources.resource_groups.get(name))
        except NotFound:
            return None

    async def put_group(self, name: str, body: Body) -> None:
        """Make a resource group."""
        await self.called(self.resources.resource_groups.create_or_update(name, body))

    async def tagged(self, group: str, tag: str) -> list[Body]:
        """The resources of a group that have a tag; "" for those of every group."""
        operations, text = self.resources.resources, f"tagName eq '{tag}'"
        pages = operations.list_by_resource_group(group, filter=text) if group else operations.list(filter=text)
        try:
            return await self.listed(pages)
        except NotFound:
            return []

    async def tagged_groups(self, tag: str) -> list[Body]:
        """The resource groups that have a tag."""
        return await self.listed(self.resources.resource_groups.list(filter=f"tagName eq '{tag}'"))

    async def fetch(self, url: str) -> bytes:
        """What is at a URL that needs no token."""
        with mapped():
            answer = await self._transport.send(HttpRequest("GET", url))
        if answer.status_code != 200:
            raise Unavailable(f"{url.partition('?')[0]} answered {answer.status_code}")
        return answer.content


def parts(id: str) -> tuple[str, str, str]:
    """The group, kind and name in a resource's id."""
    words = id.split("/")
    return words[4], f"{words[6]}/{words[7]}", words[8]


@asynccontextmanager
async def connected(subscription: str = "") -> AsyncGenerator[Arm]:
    """The clients for a subscription, by default that of the environment or of the Azure CLI.

    Raises:
        Invalid: no subscription is named, and which it should be can't be told.
    """
    url = os.environ.get("AZURE_RESOURCE_MANAGER", PUBLIC_CLOUD).rstrip("/")
    async with HttpxTransport() as transport:
        credential = Credential(transport)
        common: dict[str, Any] = {
            "base_url": url,
            "credential_scopes": [f"{url}/.default"],
            "transport": transport,
            "polling_interval": _POLL_SECONDS,
            "retry_total": _RETRIES,
            "retry_status": _RETRIES,  # else 3, and throttling would end a call before all tries are used
        }
        named = subscription or os.environ.get("AZURE_SUBSCRIPTION_ID", "") or await _sole(credential, common)
        kinds: tuple[Any, ...] = (ComputeManagementClient, NetworkManagementClient, ResourceManagementClient)
        # A policy belongs to one pipeline, so each client gets its own.
        compute, network, resources = (
            make(credential, named, per_retry_policies=[Registration()], **common) for make in kinds
        )
        yield Arm((compute, network, resources), transport, named)


async def _sole(credential: Credential, common: dict[str, Any]) -> str:
    """The only subscription that may be used."""
    from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy, AsyncRetryPolicy
    from azure.mgmt.core import AsyncARMPipelineClient

    policies: list[Any] = [
        AsyncRetryPolicy(),
        AsyncBearerTokenCredentialPolicy(credential, *common["credential_scopes"]),
    ]
    make: Any = AsyncARMPipelineClient
    pipeline = make(common["base_url"], transport=common["transport"], policies=policies)
    with mapped():
        answer = await pipeline.send_request(HttpRequest("GET", "/subscriptions?api-version=2022-12-01"))
        if answer.status_code != 200:
            raise HttpResponseError(response=answer)
    found: list[Body] = json.loads(answer.text())["value"]
    if len(found) != 1:
        listed = ", ".join(f"{each['subscriptionId']} ({each.get('displayName', '')})" for each in found)
        raise Invalid(f"say which --subscription, or set AZURE_SUBSCRIPTION_ID: there are {listed or 'none'}")
    return str(found[0]["subscriptionId"])


def _plain(found: Any) -> Body:
    return dict(found.as_dict())
