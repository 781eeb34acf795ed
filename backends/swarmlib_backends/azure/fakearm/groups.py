"""Microsoft.Resources: resource groups, the registration of providers, and lists of resources of every type."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import quote

from ...http.serving import Answer, Body
from . import errors
from .crud import Crud
from .errors import ArmError
from .resource import Resource
from .state import ArmCall, Group, State
from .world import canonical

PROVIDERS: Final = (
    "Microsoft.Compute",
    "Microsoft.ContainerInstance",
    "Microsoft.Network",
    "Microsoft.Resources",
    "Microsoft.DevTestLab",
)
_NAME: Final = re.compile(r"[-\w.()]{0,89}[-\w()]")
_LAST: Final = ("virtualnetworks", "networksecuritygroups", "publicipaddresses", "networkinterfaces")
"""The types that are deleted last with a group, in reverse order, because others use them."""
_TAG_FILTER: Final = re.compile(r"tagName eq '([^']*)'(?: and tagValue eq '([^']*)')?", re.IGNORECASE)
_TYPE_FILTER: Final = re.compile(r"resourceType eq '([^']*)'", re.IGNORECASE)
_SHOWN: Final = ("id", "name", "type", "location", "tags", "sku", "zones", "identity", "managedBy", "kind")


class Groups:
    """Resource groups and providers."""

    def __init__(self, state: State, crud: Crud) -> None:
        self._state = state
        self._crud = crud

    def on_group(self, name: str, call: ArmCall) -> Answer:
        """Answer a request to a resource group."""
        match call.request.method:
            case "PUT":
                return self._put(name, call)
            case "PATCH":
                group = self._state.group(name)
                group.body["tags"] = call.json().get("tags", group.body.get("tags", {}))
                return Answer(200, group.body)
            case "HEAD":
                return Answer(204 if name.lower() in self._state.groups else 404)
            case "DELETE":
                return self._delete(name, call)
            case "GET":
                return Answer(200, self._state.group(name).body)
            case method:
                raise ArmError(405, "MethodNotAllowed", f"The request's method {method} is not allowed here.")

    def _put(self, name: str, call: ArmCall) -> Answer:
        if not _NAME.fullmatch(name):
            message = f"The provided resource group name '{name}' has these invalid characters: its end can't be a dot."
            raise errors.bad("InvalidResourceGroup", message)
        body = call.json()
        location = canonical(str(body.get("location", "")))
        if not location:
            raise errors.bad("LocationRequired", "The location property is required for this definition.")
        self._state.region(location, "Microsoft.Resources/resourceGroups")
        old = self._state.groups.get(name.lower())
        self._check_old(name, location, old)
        self._state.policies.check("Microsoft.Resources/resourceGroups", name, body)
        shown = old.name if old else name
        fresh: Body = {
            "id": f"/subscriptions/{self._state.subscription}/resourceGroups/{shown}",
            "name": shown,
            "type": "Microsoft.Resources/resourceGroups",
            "location": location,
            "tags": body.get("tags", {}),
            "properties": {"provisioningState": "Succeeded"},
        }
        if "managedBy" in body:
            fresh["managedBy"] = body["managedBy"]
        self._state.groups[name.lower()] = Group(shown, fresh)
        return Answer(200 if old else 201, fresh)

    def _check_old(self, name: str, location: str, old: Group | None) -> None:
        if old is None:
            return
        if old.body["location"] != location:
            message = f"Invalid resource group location '{location}'. The Resource group already exists in location"
            raise errors.conflict("InvalidResourceGroupLocation", f"{message} '{old.body['location']}'.")
        if old.operation is not None and old.operation.status == "InProgress":
            message = f"The resource group '{name}' is in deprovisioning state and cannot perform this operation."
            raise errors.conflict("ResourceGroupBeingDeleted", message)

    def _delete(self, name: str, call: ArmCall) -> Answer:
        group = self._state.group(name)
        if group.operation is None or group.operation.status != "InProgress":
            place = f"/subscriptions/{self._state.subscription}/operationresults"
            work = partial(self._remove, group, call)
            group.operation = self._state.begin("Microsoft.Resources", "", work, place=place)
            group.body["properties"]["provisioningState"] = "Deleting"
        base, version = call.request.base, call.request.query["api-version"]
        location = {"Location": f"{base}{quote(group.operation.path)}?api-version={version}"}
        return Answer(202, None, location | self._state.waiting())

    async def _remove(self, group: Group, call: ArmCall) -> None:
        try:
            await self._state.work(call, 1)
            self._check_unused(group)
            for resource in sorted(self._resources(group.name), key=_order):
                await self._remove_one(resource)
        except ArmError:
            group.body["properties"]["provisioningState"] = "Succeeded"
            raise
        del self._state.groups[group.name.lower()]

    async def _remove_one(self, resource: Resource) -> None:
        if resource.id.key not in self._state.resources:
            return  # it was deleted together with another one
        if resource.operation is not None and resource.busy:
            resource.operation.preempt()
            await resource.operation.done.wait()
        await self._crud.kind(resource.id.type).remove(resource)
        self._state.resources.pop(resource.id.key, None)

    def _check_unused(self, group: Group) -> None:
        for resource in self._resources(group.name):
            for user in self._state.users_of(resource.id):
                if user.id.group.lower() != group.name.lower():
                    inner = errors.bad("InUse", f"{resource.id} is used by {user.id}.")
                    message = f"Deletion of resource group '{group.name}' failed as resources with identifiers"
                    message += f" '{resource.id}' could not be deleted."
                    raise ArmError(409, "ResourceGroupDeletionBlocked", message, details=[inner])

    def _resources(self, group: str) -> list[Resource]:
        return [each for each in self._state.resources.values() if each.id.group.lower() == group.lower()]

    def listed(self, call: ArmCall) -> Answer:
        """List all groups, or those with a tag."""
        fits = _filter(call)
        found = [group.body for group in self._state.groups.values() if fits(group.body)]
        return self._crud.page([partial(dict[str, object], each) for each in found], call)

    def resources(self, group: str, call: ArmCall) -> Answer:
        """List resources of every type, without their parts: all, or a group's; by tag or type."""
        if group:
            self._state.group(group)
        fits = _filter(call)
        # With a filter by tag, the answer lacks the tags: azure-cli issue 3180, azure-rest-api-specs issue 3819.
        shown = [name for name in _SHOWN if name != "tags" or not _TAG_FILTER.fullmatch(_filter_text(call))]
        found = [
            {name: each.body[name] for name in shown if name in each.body}
            for each in self._state.cached()
            if (not group or each.id.group.lower() == group.lower()) and len(each.id.names) == 1 and fits(each.body)
        ]
        return self._crud.page([partial(dict[str, object], each) for each in found], call)

    def on_provider(self, name: str, action: str, call: ArmCall) -> Answer:
        """Answer a request about a provider: show its registration, register it, or unregister it."""
        known = {each.lower(): each for each in PROVIDERS}
        if (provider := known.get(name.lower())) is None:
            message = f"The resource provider '{name}' could not be found."
            raise ArmError(404, "InvalidResourceNamespace", message)
        registered = self._state.registered
        if action == "register" and registered.get(name.lower()) != "Registered":
            registered[name.lower()] = "Registering"
            self._state.begin("Microsoft.Resources", "global", partial(self._register, name.lower(), call))
        elif action == "unregister":
            registered[name.lower()] = "NotRegistered"
        return Answer(200, self._provider(provider))

    async def _register(self, name: str, call: ArmCall) -> None:
        await self._state.work(call, 1)
        self._state.registered[name] = "Registered"

    def providers(self, call: ArmCall) -> Answer:
        """List all providers."""
        return self._crud.page([partial(self._provider, each) for each in PROVIDERS], call)

    def _provider(self, name: str) -> Body:
        types = [kind.type.partition("/")[2] for kind in self._crud.kinds.values() if kind.type.startswith(name)]
        return {
            "id": f"/subscriptions/{self._state.subscription}/providers/{name}",
            "namespace": name,
            "registrationPolicy": "RegistrationRequired",
            "registrationState": self._state.registered.get(name.lower(), "NotRegistered"),
            "resourceTypes": [{"resourceType": each, "locations": [*self._state.regions]} for each in types],
        }


def _order(resource: Resource) -> int:
    """Return the rank for deletion: machines first, then what they used, networks last."""
    kind = resource.id.types[0].lower()
    return -_LAST.index(kind) if kind in _LAST else -len(_LAST) - (kind == "virtualmachines")


def _filter_text(call: ArmCall) -> str:
    return call.request.query.get("$filter", "")


def _filter(call: ArmCall) -> Callable[[Body], bool]:
    """Return the test of `$filter`."""
    text = _filter_text(call)
    if match := _TAG_FILTER.fullmatch(text):
        return partial(_has_tag, match[1], match[2])
    if match := _TYPE_FILTER.fullmatch(text):
        type = match[1].lower()
        return lambda body: str(body.get("type", "")).lower() == type
    if text:
        raise errors.bad("InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query string.")
    return lambda body: True


def _has_tag(name: str, value: str | None, body: Body) -> bool:
    tags: dict[str, str] = body.get("tags") or {}
    return any(key.lower() == name.lower() and value in (None, tags[key]) for key in tags)
