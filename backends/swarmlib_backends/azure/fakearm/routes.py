"""The routes from paths to the parts of the fake."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from ...http.serving import Answer
from . import images, marketplace
from .compute import Compute
from .containerinstance.groups import ContainerGroups
from .containerinstance.service import ContainerInstance
from .crud import Crud
from .disks import Disks
from .errors import ArmError
from .groups import Groups
from .interfaces import Interfaces, PublicAddresses
from .nat import NatGateways
from .network import Subnets, VirtualNetworks
from .resource import ResourceId
from .schedules import Schedules
from .security import SecurityGroups, SecurityRules
from .state import ArmCall, State
from .tags import TAGS, Tags
from .vms import Extensions, VirtualMachines

_GROUPS: Final = re.compile(r"/resourceGroups(?:/([^/]+))?", re.IGNORECASE)
_RESOURCES: Final = re.compile(r"(?:/resourceGroups/([^/]+))?/resources", re.IGNORECASE)
_PROVIDERS: Final = re.compile(r"/providers(?:/([^/]+)(?:/(register|unregister))?)?", re.IGNORECASE)
OPERATION: Final = re.compile(
    r"(?:/providers/[^/]+/locations/[^/]+/(operations|operationResults)|/operationresults)/([^/]+)", re.IGNORECASE
)
_IN_PLACE: Final = re.compile(r"/providers/(Microsoft\.Compute)/locations/([^/]+)/([^/]+)", re.IGNORECASE)
_IMAGES: Final = re.compile(
    r"/providers/Microsoft\.Compute/locations/[^/]+/publishers/([^/]+)/artifacttypes/vmimage/offers/([^/]+)/skus/([^/]+)"
    r"/versions(?:/([^/]+))?",
    re.IGNORECASE,
)
_OF_ALL: Final = re.compile(r"/providers/([^/]+)/([^/]+)", re.IGNORECASE)
_OF_GROUP: Final = re.compile(r"/resourceGroups/([^/]+)/providers/([^/]+)/([^/]+)", re.IGNORECASE)


class Routes:
    """The routes to resource groups, resources and operations."""

    def __init__(self, state: State) -> None:
        self._state = state
        interfaces, addresses = Interfaces(state), PublicAddresses(state)
        machines = VirtualMachines(state, interfaces, addresses)
        networks = [VirtualNetworks(state), Subnets(state), NatGateways(state), SecurityGroups(state)]
        others = [
            SecurityRules(state),
            Extensions(state),
            Disks(state),
            Schedules(state),
            ContainerGroups(state),
            interfaces,
            addresses,
        ]
        self._crud = Crud(state, [machines, *others, *networks, *(kind(state) for kind in images.KINDS)])
        self._groups = Groups(state, self._crud)
        self._tags = Tags(state, lambda resource: self._crud.kind(resource.id.type).busy_error(resource))
        self._compute = Compute(state, self._crud)
        self.containers = ContainerInstance(state)

    async def answer(self, path: str, rest: str, call: ArmCall) -> Answer:
        """Answer a request; `rest` is its path without the subscription.

        Raises:
            ArmError: the path leads nowhere, or the part that handles it refuses.
        """
        if match := OPERATION.fullmatch(rest):
            return self._operation(match[2], (match[1] or "").lower() == "operations", call)
        if match := TAGS.fullmatch(path):
            return self._tags.answer(match[1], call)
        found = await self.containers.answer(path, rest, call)
        if found is None and call.request.method == "GET":
            found = self._listed(rest, call)
        if found is not None:
            return found
        if (match := _GROUPS.fullmatch(rest)) and match[1]:
            return self._groups.on_group(match[1], call)
        if (match := _PROVIDERS.fullmatch(rest)) and match[1] and call.request.method in ("GET", "POST"):
            return self._groups.on_provider(match[1], (match[2] or "").lower(), call)
        if (id := ResourceId.parse(path)) is not None:
            return await self._crud.on_resource(id, call)
        owner, _, name = path.rpartition("/")
        if (id := ResourceId.parse(owner)) is not None:
            if (found := await self._crud.act(id, name, call)) is not None:
                return found
            if call.request.method == "GET":
                return self._crud.listed(f"{id.type}/{name}", call, parent=id)
        raise ArmError(404, "NotFound", f"There is nothing for {call.request.method} at {path}.")

    def _listed(self, rest: str, call: ArmCall) -> Answer | None:
        if (match := _GROUPS.fullmatch(rest)) and not match[1]:
            return self._groups.listed(call)
        if match := _RESOURCES.fullmatch(rest):
            return self._groups.resources(match[1] or "", call)
        if (match := _PROVIDERS.fullmatch(rest)) and not match[1]:
            return self._groups.providers(call)
        if match := _IMAGES.fullmatch(rest):
            return marketplace.shown(match[1], match[2], match[3], match[4])
        if match := images.PUBLIC.fullmatch(rest):
            return images.shown(self._state, match[1], match[2], match[3])
        if match := _IN_PLACE.fullmatch(rest):
            return self._in_place(match[2], match[3].lower(), call)
        if match := _OF_ALL.fullmatch(rest):
            return self._of_type(f"{match[1]}/{match[2]}", "", call)
        if match := _OF_GROUP.fullmatch(rest):
            return self._of_type(f"{match[2]}/{match[3]}", match[1], call)
        return None

    def _in_place(self, location: str, what: str, call: ArmCall) -> Answer | None:
        match what:
            case "virtualmachines":
                return self._compute.machines(call, location=location)
            case "vmsizes":
                return self._compute.sizes(location)
            case "usages":
                return self._compute.usages(location)
            case _:
                return None

    def _of_type(self, type: str, group: str, call: ArmCall) -> Answer:
        match type.lower():
            case "microsoft.compute/virtualmachines":
                return self._compute.machines(call, group)
            case "microsoft.compute/skus":
                return self._compute.skus(call)
            case _:
                return self._crud.listed(type, call, group)

    def _operation(self, id: str, status: bool, call: ArmCall) -> Answer:
        if (operation := self._state.operations.get(id)) is None:
            raise ArmError(404, "NotFound", f"The entity '{id}' was not found.")
        waiting = self._state.waiting() if operation.status == "InProgress" else {}
        if status:
            return Answer(200, operation.body(), waiting)
        request = call.request
        here = f"{request.base}{quote(request.path)}?api-version={request.query.get('api-version', '')}"
        return operation.outcome({"Location": here} | waiting)
