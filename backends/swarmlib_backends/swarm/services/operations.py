"""The operations of containers that are services, by the names of their rows in the routing table."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from swarmlib import BytesStream, Json, NotFound, Request, Server, SwarmError, Unsupported, Verb

from ...dockerapi.nullable import dict_of
from ...dockerapi.operations import ContainerAttach, ContainerCreate
from ...enginekit import ContainerOperations, ContainerServer, answers, chosen, views
from ...enginekit.operations import ref_of
from ...enginekit.refusals import check_attachable
from .container import ServiceContainer
from .following import Following
from .output import NextOutput
from .spec import ACCEPTED, spec

BACKEND: Final = "swarm"
_UNSETTLED: Final = {
    "starting": {"State": "created", "Status": "Created"},
    "restarting": {"State": "restarting", "Status": "Restarting"},
}
"""How lists show containers that are about to run."""


@dataclass(eq=False)
class ServiceOperations(ContainerOperations[ServiceContainer]):
    """Answers what is asked of containers that are services, or forwards it to the engine of a container's node."""

    following: Following

    async def list_containers(self, request: Request) -> list[Any]:
        """See `ContainerOperations.list_containers`."""
        found = chosen(reversed(self.store), request, ContainerServer.filters)
        return [views.summary(each) | _UNSETTLED.get(each.status, {}) for each in found]

    async def create(self, request: Request) -> dict[str, Any]:
        """See `ContainerOperations.create`."""
        body = ACCEPTED.check(request.json)
        name = self.store.free_name(ContainerCreate.of(request).name or f"{BACKEND}-{secrets.token_hex(4)}")
        id = secrets.token_hex(32)
        made = Request(Verb.SPAWN, ("services",), body=Json.from_data(spec(name, id, body)))
        warnings = dict_of((await self.following.ask(made)).value).get("Warning")
        await self.following.sync()
        return {"Id": id, "Warnings": [warnings] if warnings else []}

    async def inspect(self, request: Request) -> dict[str, Any]:
        """See `ContainerOperations.inspect`: what the engine of its node tells of it, under its own name and id."""
        container = self.find(request)
        own = views.inspect(container, BACKEND) | {"State": self.state(container)}
        try:
            member, id = self.following.place(container)
            told = dict_of((await member.ask(Request(Verb.GET, ("containers", id)))).value)
        except SwarmError:  # it has no container, or its node is down: what the swarm tells is all there is
            return own
        host, state = dict_of(told.get("HostConfig")), dict_of(told.get("State"))
        kept = {name: own[name] for name in ("Id", "Name", "Created", "Config")}
        same = {name: own["State"][name] for name in ("Status", "Running", "Restarting", "ExitCode", "Error")}
        return {**told, **kept, "HostConfig": {**host, **own["HostConfig"]}, "State": {**state, **same}}

    def state(self, container: ServiceContainer) -> dict[str, Any]:
        """See `ContainerOperations.state`."""
        shown = _UNSETTLED.get(container.status, {}).get("State", container.status)
        restarting = container.status == "restarting"
        return views.state(container) | {
            "Status": shown,
            "Running": container.status == "running" or restarting,
            "Restarting": restarting,
        }

    async def rename(self, container: ServiceContainer, name: str) -> NoReturn:
        """See `ContainerOperations.rename`."""
        raise Unsupported(f"{container.name} is a swarm service, which can't be renamed")

    @answers("ExecInspect", "ExecStart", "ExecResize")
    async def _no_exec(self, request: Request) -> NoReturn:
        raise NotFound(f"No such exec instance: {ref_of(request)}")  # the engine of the container's node has it

    @answers("ContainerUpdate")
    async def _update(self, request: Request) -> NoReturn:
        raise Unsupported(f"{self.find(request).name} is a swarm service: change it by docker service update")

    # What the engine of its node answers.

    @answers(
        *("ContainerTop", "ContainerStats", "ContainerChanges", "ContainerExport", "ContainerResize", "ContainerExec"),
        *("ContainerArchive", "ContainerArchiveInfo", "PutContainerArchive", "ContainerAttachWebsocket"),
    )
    async def _on_node(self, request: Request) -> Any:
        member, id = self.following.place(self.find(request))
        there = request.replace(path=(request.path[0], id, *request.path[2:]))
        return await Server.forward(member.prepared(there), member.sender)

    @answers("ContainerLogs")
    async def _logs(self, request: Request) -> Any:
        """Forward to the node of its last run; there is no output before the first."""
        if self.find(request).task is None:
            await request.reply.ack(stream=BytesStream(b""))
            return None
        return await self._on_node(request)

    @answers("ContainerAttach")
    async def _attach(self, request: Request) -> Any:
        """Forward to its node; before it runs, give the output of its next run."""
        container = self.find(request)
        check_attachable(container, ref_of(request))
        if container.status == "running":
            return await self._on_node(request)
        await request.reply.ack(stream=NextOutput(container, self.following, ContainerAttach.of(request)))
        return None

    # What it says of itself.

    @answers("SystemVersion")
    async def _version(self, request: Request) -> dict[str, Any]:
        return views.version()

    @answers("SystemInfo")
    async def _info(self, request: Request) -> dict[str, Any]:
        nothing = {"NCPU": 0, "MemTotal": 0}  # what there is belongs to the nodes, which tell it
        swarm = {"Swarm": self.following.about()}
        return {**views.info(BACKEND, (each.status for each in self.store)), **nothing, **swarm}

    @answers("SystemDataUsage")
    async def _disk_usage(self, request: Request) -> dict[str, Any]:
        return views.disk_usage(self.store)
