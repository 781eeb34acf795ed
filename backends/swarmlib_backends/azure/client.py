"""Azure Resource Manager by the official SDK: its clients on one transport, and the few calls that the backend makes.

Objects are ARM's own JSON. Failures are raised as a `SwarmError` (see `failures`).
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Final, TypeAlias

import trio
from azure.core.rest import HttpRequest
from azure.mgmt.compute.aio import ComputeManagementClient
from azure.mgmt.core.policies import AsyncARMAutoResourceProviderRegistrationPolicy
from azure.mgmt.network.aio import NetworkManagementClient
from azure.mgmt.resource.resources.aio import ResourceManagementClient

from swarmlib import NotFound, Unavailable

from ..dockerapi.nullable import dict_of
from .cloud import chosen
from .credentials import Credential
from .failures import mapped
from .options import CloudName
from .subscription import default_subscription
from .transport import HttpxTransport

Body: TypeAlias = dict[str, Any]

_POLL_SECONDS: Final = 5.0
"""The pause between two polls of an operation, unless ARM names one."""
_REGISTER_SECONDS: Final = 2.0
_REGISTER_PATIENCE: Final = 600.0
"""How long a registration may take; then the call that needs it fails with Azure's own error."""
_RETRIES: Final = 5
_REPEATABLE: Final = ("HEAD", "GET", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH")
"""The methods that are repeated when Azure throttles. Its SDK leaves out PATCH, which merges tags, and so may be."""


class Registration(AsyncARMAutoResourceProviderRegistrationPolicy):
    """Registers a provider that the subscription uses for the first time. The SDK's own policy sleeps with asyncio."""

    async def _async_register_rp(self, initial_request: Any, url_prefix: str, rp_name: str) -> bool:
        where = f"{url_prefix}providers/{rp_name}"
        version = "api-version=2024-11-01"
        asked = await self.next.send(self._build_next_request(initial_request, "POST", f"{where}/register?{version}"))
        if asked.http_response.status_code != 200:
            return False
        with trio.move_on_after(_REGISTER_PATIENCE):
            while True:
                found = await self.next.send(self._build_next_request(initial_request, "GET", f"{where}?{version}"))
                if found.http_response.status_code != 200:
                    return False
                if json.loads(found.http_response.text()).get("registrationState") == "Registered":
                    return True
                await trio.sleep(_REGISTER_SECONDS)
        return False


class Arm:
    """The calls to ARM. A name is that of a resource within its group."""

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
            "Microsoft.Network/natGateways": self.network.nat_gateways,
            "Microsoft.Network/virtualNetworks": self.network.virtual_networks,
            "Microsoft.DevTestLab/schedules": _ById(self, "Microsoft.DevTestLab/schedules", "2018-09-15"),
        }

    def id(self, group: str, kind: str, name: str) -> str:
        """Return the id of a resource, whether the resource exists or not."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{group}/providers/{kind}/{name}"

    async def get(self, id: str, **options: str) -> Body:
        """Return a resource. Raises NotFound if it doesn't exist."""
        group, kind, name = parts(id)
        return await self.called(self._kinds[kind].get(group, name, **options))

    async def by_id(self, id: str, version: str) -> Body:
        """Return what has an id, of any type and subscription, by an API version. Raises NotFound if nothing has it."""
        return await self.called(self.resources.resources.get_by_id(id, api_version=version))

    async def find(self, id: str, **options: str) -> Body | None:
        """Return a resource, or None if it doesn't exist."""
        try:
            return await self.get(id, **options)
        except NotFound:
            return None

    async def exists(self, id: str) -> bool:
        """Return whether a resource exists; one of a type that this backend doesn't know is believed to exist."""
        words = id.split("/")
        return len(words) != 9 or parts(id)[1] not in self._kinds or await self.find(id) is not None

    async def put(self, id: str, body: Body, **options: str) -> Body:
        """Create or change a resource; return it once that is done."""
        group, kind, name = parts(id)
        return await self.finished(lambda: self._kinds[kind].begin_create_or_update(group, name, body, **options))

    async def delete(self, id: str) -> None:
        """Delete a resource; return once it is gone. A resource that doesn't exist counts as deleted."""
        group, kind, name = parts(id)
        try:
            await self.finished(lambda: self._kinds[kind].begin_delete(group, name))
        except NotFound:
            return

    async def finished(self, begin: Callable[[], Any]) -> Body:
        """Begin an operation, wait for its end, and return its result."""
        with mapped():
            found = await (await begin()).result()
        return {} if found is None else _plain(found)

    async def called(self, call: Awaitable[Any]) -> Body:
        """Return the result of an SDK call."""
        with mapped():
            return _plain(await call)

    async def called_list(self, call: Awaitable[Any]) -> list[Body]:
        """Return the result of an SDK call that gives a whole list."""
        with mapped():
            return [_plain(each) for each in await call]

    async def listed(self, pages: Any) -> list[Body]:
        """Return everything that a list operation of the SDK yields, page by page."""
        with mapped():
            return [_plain(each) async for each in pages]

    async def group(self, name: str) -> Body | None:
        """Return a resource group, or None if it doesn't exist."""
        try:
            return await self.called(self.resources.resource_groups.get(name))
        except NotFound:
            return None

    async def put_group(self, name: str, body: Body) -> None:
        """Create or update a resource group."""
        await self.called(self.resources.resource_groups.create_or_update(name, body))

    async def listed_in(self, operations: Any, group: str) -> list[Body]:
        """Return the resources of one type in a group; none if the group doesn't exist."""
        try:
            return await self.listed(operations.list(group))
        except NotFound:
            return []

    async def resources_in(self, group: str) -> list[Body]:
        """Return all resources of a group, with their tags; none if the group doesn't exist."""
        try:
            return await self.listed(self.resources.resources.list_by_resource_group(group))
        except NotFound:
            return []

    async def groups_with(self, tag: str) -> list[str]:
        """Return the names of the groups that have a tag, or hold a resource that has it."""
        text = f"tagName eq '{tag}'"  # the answer tells which resources have the tag, but not their tags
        groups = await self.listed(self.resources.resource_groups.list(filter=text))
        found = {str(each["name"]).lower(): str(each["name"]) for each in groups}
        for each in await self.listed(self.resources.resources.list(filter=text)):
            name = parts(each["id"])[0]
            found.setdefault(name.lower(), name)
        return [*found.values()]

    async def tag(self, id: str, tags: Mapping[str, str]) -> Body:
        """Set tags of a resource, whatever others do to its other tags meanwhile; return all of them."""
        return await self._change_tags(id, "Merge", tags)

    async def untag(self, id: str, tags: Mapping[str, str]) -> Body:
        """Remove those tags of a resource that have these values; return the rest."""
        return await self._change_tags(id, "Delete", tags)

    async def _change_tags(self, id: str, operation: str, tags: Mapping[str, str]) -> Body:
        body = {"operation": operation, "properties": {"tags": dict(tags)}}
        begin = partial(self.resources.tags.begin_update_at_scope, id, body, retry_on_methods=_REPEATABLE)
        changed = await self.finished(begin)
        return dict_of(dict_of(changed.get("properties")).get("tags"))

    async def fetch(self, url: str) -> bytes:
        """Return the content at a URL that needs no token.

        Raises:
            Unavailable: it answers with another status than 200.
        """
        with mapped():
            answer = await self._transport.send(HttpRequest("GET", url))
        if answer.status_code != 200:
            raise Unavailable(f"{url.partition('?')[0]} answered {answer.status_code}")
        return answer.content

    def websocket(self, url: str) -> AbstractAsyncContextManager[trio.abc.Stream]:
        """Open a WebSocket (see `HttpxTransport.websocket`)."""
        return self._transport.websocket(url)


class _ById:
    """The operations on a type for which there is no client of its own: those for resources of every type."""

    def __init__(self, arm: Arm, kind: str, version: str) -> None:
        self._arm = arm
        self._kind = kind
        self._version = version
        self._operations = arm.resources.resources

    def get(self, group: str, name: str) -> Any:
        return self._operations.get_by_id(self._arm.id(group, self._kind, name), api_version=self._version)

    def begin_create_or_update(self, group: str, name: str, body: Body) -> Any:
        id = self._arm.id(group, self._kind, name)
        return self._operations.begin_create_or_update_by_id(id, body, api_version=self._version)

    def begin_delete(self, group: str, name: str) -> Any:
        return self._operations.begin_delete_by_id(self._arm.id(group, self._kind, name), api_version=self._version)


def parts(id: str) -> tuple[str, str, str]:
    """Return the group, the kind and the name in a resource's id."""
    words = id.split("/")
    return words[4], f"{words[6]}/{words[7]}", words[8]


@asynccontextmanager
async def connected(subscription: str = "", cloud: CloudName = "AzureCloud") -> AsyncGenerator[Arm]:
    """Open the clients for a subscription: by default that of the environment, or as `default_subscription`.

    Raises:
        Invalid: no subscription is named, and there isn't one to choose; or the environment has a malformed value.
        Unavailable, Denied, BadAnswer: which one is the default can't be found out.
    """
    place = chosen(cloud)
    async with HttpxTransport() as transport:
        credential = Credential(transport, place)
        common: dict[str, Any] = {
            "base_url": place.url,
            "credential_scopes": [place.scope],
            "transport": transport,
            "polling_interval": _POLL_SECONDS,
            "retry_total": _RETRIES,
            "retry_status": _RETRIES,  # the default is 3, and throttling would end a call before all tries are used
        }
        named = subscription or os.environ.get("AZURE_SUBSCRIPTION_ID", "")
        named = credential.login.subscription = named or await default_subscription(place, credential, transport)
        kinds: tuple[Any, ...] = (ComputeManagementClient, NetworkManagementClient, ResourceManagementClient)
        # A policy belongs to one pipeline, so each client gets its own.
        compute, network, resources = (
            make(credential, named, per_retry_policies=[Registration()], **common) for make in kinds
        )
        yield Arm((compute, network, resources), transport, named)


def _plain(found: Any) -> Body:
    return dict(found.as_dict())
