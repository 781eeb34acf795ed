"""What Microsoft.ContainerInstance answers besides container groups themselves: of their containers, and of regions."""

from __future__ import annotations

import re
from functools import partial
from typing import Final

from swarmlib import SwarmError, Verb
from swarmlib.client.handles import Workload
from swarmlib.client.multiplexed import Demultiplexer

from ....http.serving import Answer, Body
from .. import errors
from ..errors import ArmError
from ..resource import Resource, ResourceId
from ..state import ArmCall, State
from . import checks
from .groups import running
from .running import Running
from .sockets import Sockets, attach, execute

_MOST_LOGS: Final = 4 * 1024 * 1024
"""The bytes of logs that are kept; those before are dropped."""
_GROUPS: Final = 100
_MEMORY: Final = 14
_CPUS: Final = 4
_CONTAINER: Final = re.compile(
    r"(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ContainerInstance/containerGroups/[^/]+)"
    r"(?:/containers/([^/]+))?/(logs|exec|attach|outboundNetworkDependenciesEndpoints)",
    re.IGNORECASE,
)
_REGION: Final = re.compile(
    r"/providers/Microsoft\.ContainerInstance/locations/([^/]+)/(usages|cachedImages|capabilities)", re.IGNORECASE
)
_LINK: Final = re.compile(
    r"(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+)"
    r"/providers/Microsoft\.ContainerInstance/serviceAssociationLinks/default",
    re.IGNORECASE,
)
OPERATIONS: Final[Body] = {
    "value": [
        {
            "name": f"{checks.TYPE}/{action}",
            "display": {
                "provider": "Microsoft Container Instance",
                "resource": "Container Group",
                "operation": f"{verb} Container Groups",
                "description": f"{verb} all container groups.",
            },
            "origin": "User",
        }
        for action, verb in (("read", "Get"), ("write", "Create or update"), ("delete", "Delete"))
    ]
}
"""What `GET /providers/Microsoft.ContainerInstance/operations` answers."""


class ContainerInstance:
    """The operations on containers, regions and links of subnets."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.sockets = Sockets()

    async def answer(self, path: str, rest: str, call: ArmCall) -> Answer | None:
        """Answer a request; None if it is to something else. Raises ArmError."""
        method = call.request.method
        if match := _CONTAINER.fullmatch(path):
            return await self._on_container(self._group(match[1]), match[2] or "", f"{method} {match[3].lower()}", call)
        if (match := _REGION.fullmatch(rest)) and method == "GET":
            return Answer(200, {"value": self._of_region(match[1].lower(), match[2].lower())})
        if (match := _LINK.fullmatch(path)) and method == "DELETE":
            return self._unlink(match[1])
        id = ResourceId.parse(path)
        if method == "PATCH" and id is not None and id.type.lower() == checks.TYPE.lower():
            return self._retag(self._state.get(id), call)
        return None

    def _group(self, path: str) -> Resource:
        id = ResourceId.parse(path)
        assert id is not None
        return self._state.get(id)

    def _retag(self, group: Resource, call: ArmCall) -> Answer:
        """Change the tags, which is all that can be changed without new containers, and is done at once."""
        group.body["tags"] = call.json().get("tags", {})
        return Answer(200, group.body)

    async def _on_container(self, group: Resource, name: str, what: str, call: ArmCall) -> Answer | None:
        if what == "GET outboundnetworkdependenciesendpoints":
            return Answer(200, [])
        own = _named(group, name)
        match what:
            case "GET logs":
                return Answer(200, {"content": await _logs(own.workload, call)})
            case "POST exec":
                command = str(call.json().get("command") or "")
                serve = partial(execute, own.engine, _runs(own, name), command, simulated=self._state.simulated)
                return Answer(200, self.sockets.promise(call.request.base, serve))
            case "POST attach":
                return Answer(200, self.sockets.promise(call.request.base, partial(attach, _runs(own, name))))
            case _:
                return None

    def _of_region(self, location: str, what: str) -> list[Body]:
        region = self._state.region(location, checks.TYPE)
        groups = [*checks.groups_in(self._state, location)]
        match what:
            case "usages":
                used = sum(map(checks.cores, groups))
                return [
                    _usage("ContainerGroups", "Container Groups", len(groups), _GROUPS),
                    _usage("StandardCores", "Standard Cores", int(used), region.container_cores),
                ]
            case "cachedimages":
                return [{"osType": "Linux", "image": image} for image in ("alpine:3.6", "ubuntu:16.04")]
            case _:
                most = {"maxMemoryInGB": _MEMORY, "maxCpu": _CPUS, "maxGpuCount": 0}
                head = {"resourceType": "containerGroups", "osType": "Linux", "location": location}
                return [head | {"ipAddressType": kind, "gpu": "None", "capabilities": most}
                        for kind in ("Public", "Private")]  # fmt: skip

    def _unlink(self, path: str) -> Answer:
        subnet = self._group(path)
        if any(each.id.type.lower() == checks.TYPE.lower() for each in self._state.users_of(subnet.id)):
            message = f"The subnet '{subnet.id}' is used by container groups."
            raise errors.conflict("SubnetInUse", message)
        return Answer(204)


def _usage(name: str, shown: str, used: int, limit: int) -> Body:
    return {"unit": "Count", "currentValue": used, "limit": limit, "name": {"value": name, "localizedValue": shown}}


def _named(group: Resource, name: str) -> Running:
    """Return a container of a group. Raises ArmError if there is none, or none yet."""
    names = [str(each["name"]) for each in checks.containers(group)]
    if name not in names:
        message = f"The container '{name}' could not be found in container group '{group.id.name}'."
        raise ArmError(404, "ContainerNotFound", message)
    if not running(group):
        message = f"The container group '{group.id.name}' is still transitioning, please retry later."
        raise errors.conflict("ContainerGroupTransitioning", message)
    return running(group)[names.index(name)]


def _runs(own: Running, name: str) -> Workload:
    """Return what a container is on its engine. Raises ArmError if it doesn't run."""
    if own.workload is None or not own.runs:
        raise errors.conflict("ContainerNotRunning", f"The container '{name}' is not running.")
    return own.workload


async def _logs(workload: Workload | None, call: ArmCall) -> str:
    """Return the last lines of a container, of both its streams; nothing of one that was stopped."""
    if workload is None:
        return ""
    query, frames, text = call.request.query, Demultiplexer(), b""
    asked = {"stdout": "1", "stderr": "1", "timestamps": query.get("timestamps", ""), "tail": query.get("tail", "all")}
    try:
        answer = await workload.client.call(Verb.CONNECT, (*workload.path, "logs"), params=asked)
        assert answer.ack.stream is not None
        async with answer.ack.stream as stream:
            async for data in stream:
                text += b"".join(piece for _, piece in frames.feed(bytes(data)))
    except SwarmError as exc:
        raise ArmError(500, "InternalServerError", exc.message) from exc
    return text[-_MOST_LOGS:].decode("utf-8", "replace")
