"""A swarm in memory: engines that are its nodes, and managers that list nodes, services and tasks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from swarmlib import Chain, NotFound, Request, SwarmError
from swarmlib_backends.balance import Balance
from swarmlib_backends.swarm import Swarm
from swarmlib_backends.swarm.nodes import SwarmNode
from swarmlib_backends.swarm.reaching import Template
from tests.support.simulated import Engine


def described(id: str, role: str = "worker", **about: Any) -> dict[str, Any]:
    """A node as managers list it; what is given replaces its parts."""
    return {
        "ID": id,
        "Spec": {"Labels": {}, "Role": role, "Availability": "active"} | about.get("spec", {}),
        "Description": {"Hostname": id, "Engine": {"Labels": {"disk": "ssd"}}} | about.get("description", {}),
        "Status": {"State": "ready", "Addr": "10.0.0.1"} | about.get("status", {}),
    }


_numbers = count(1)


@dataclass
class State:
    """What the managers of a swarm share."""

    nodes: dict[str, dict[str, Any]]
    services: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    tasks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    engines: Mapping[str, "Node"] = field(default_factory=dict[str, "Node"])

    def run(self, service: dict[str, Any], id: str) -> None:
        """Run a task of a service on a node."""
        number = f"{next(_numbers):025}"
        labels = {"com.docker.swarm.service.id": service["ID"]}
        box = self.engines[id].add(f"{service['Spec']['Name']}.1.{number}", Labels=labels)
        status = {"State": "running", "ContainerStatus": {"ContainerID": box.id, "ExitCode": 0}}
        spec = {"ForceUpdate": service["Spec"]["TaskTemplate"]["ForceUpdate"]}
        about = {"ID": number, "ServiceID": service["ID"], "CreatedAt": number, "NodeID": id}
        self.tasks.append({**about, "Status": status, "Spec": spec})
        self.engines[id].tell("start", box)

    def end(self, code: int) -> None:
        """End the last task: its engine tells it before the managers know."""
        task = self.tasks[-1]
        engine = self.engines[task["NodeID"]]
        box = engine.boxes[task["Status"]["ContainerStatus"]["ContainerID"]]
        box.state = "exited"
        engine.tell("die", box, exitCode=str(code))
        task["Status"] = {"State": "failed", "ContainerStatus": {"ContainerID": box.id, "ExitCode": code}}


@dataclass
class Node(Engine):
    """An engine in a swarm. What managers do is done to `swarm`, which all share; a service runs on the node `v`."""

    swarm: State = field(default_factory=lambda: State({}))
    manages: bool = False

    async def ls(self, request: Request) -> Any:
        if request.path not in (("nodes",), ("services",), ("tasks",)):
            return await super().ls(request)
        await self._managing(request)
        found = {
            "nodes": self.swarm.nodes.values(),
            "services": self.swarm.services.values(),
            "tasks": self.swarm.tasks,
        }
        return list(found[request.path[0]])

    async def get(self, request: Request) -> Any:
        if request.path[:1] != ("services",):
            return await super().get(request)
        await self._managing(request)
        return self._service(request.path[1])

    async def spawn(self, request: Request) -> Any:
        if request.path != ("services",):
            return await super().spawn(request)
        await self._managing(request)
        id = f"service{next(_numbers)}"
        self.swarm.services[id] = {"ID": id, "CreatedAt": "", "Version": {"Index": 1}, "Spec": request.json}
        return {"ID": id}

    async def set(self, request: Request) -> Any:
        if request.path[0] != "services":
            return await super().set(request)
        await self._managing(request)
        service, spec = self._service(request.path[1]), request.json
        if request.params["version"] != str(service["Version"]["Index"]):
            raise SwarmError("rpc error: code = Unknown desc = update out of sequence")
        service |= {"Spec": spec, "Version": {"Index": service["Version"]["Index"] + 1}}
        if spec["Mode"]["Replicated"]["Replicas"]:
            place = "v" if self.swarm.nodes["v"]["Status"]["State"] == "ready" else "w"
            self.swarm.run(service, place)
        return None

    async def rm(self, request: Request) -> Any:
        if request.path[0] != "services":
            return await super().rm(request)
        await self._managing(request)
        self.swarm.services.pop(request.path[1])
        return None

    def _service(self, id: str) -> dict[str, Any]:
        if id not in self.swarm.services:
            raise NotFound(f"service {id} not found")
        return self.swarm.services[id]

    async def _managing(self, request: Request) -> None:
        await self._enter(request)
        if not self.manages:
            raise SwarmError("This node is not a swarm manager.")


def node(id: str, swarm: State, *, manages: bool = False) -> Node:
    about = {"NodeID": id, "LocalNodeState": "active", "ControlAvailable": manages, "RemoteManagers": [{"NodeID": "m"}]}
    return Node(id, info={"Swarm": about}, swarm=swarm, manages=manages)


class ToEngines(Template):
    """Reaches the engines of a test by the hostnames of their nodes."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        super().__init__("{hostname}")
        self.engines = engines

    def chain(self, node: SwarmNode) -> tuple[str, Chain]:
        return node.hostname, Chain(self.engines[node.hostname], label=node.hostname)


class World:
    """A swarm in memory: `m` and `n` manage it, `v` and `w` work."""

    def __init__(self) -> None:
        self.nodes = {id: described(id, "manager" if id in "mn" else "worker") for id in "mnvw"}
        self.swarm = State(self.nodes)
        self.engines = {id: node(id, self.swarm, manages=id in "mn") for id in "mnvw"}
        self.swarm.engines = self.engines

    def chain(self, *managers: str, **options: Any) -> Chain:
        given = [Chain(self.engines[id]) for id in managers or "m"]
        return Chain(Balance([Chain(Swarm(given, engines=ToEngines(self.engines), **options))], deadline=1.0))

    def tell(self, id: str, action: str = "update", **about: Any) -> None:
        """Change a node, add it or remove it; all managers tell."""
        if action == "remove":
            del self.nodes[id]
        else:
            self.nodes[id] = described(id, **about)
        for manager in "mn":
            self.engines[manager].tell_of("node", action, id, {"name": id})
