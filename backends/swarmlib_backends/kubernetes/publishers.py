"""How the published ports of containers are reached without a gateway: at their Pods, or at the cluster's nodes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import trio

from swarmlib import CLEANUP_SECONDS, BadAnswer, Conflict, Invalid, NotFound, SwarmError

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal
from .api.errors import reason_of
from .api.resources import SERVICES
from .cluster import Cluster
from .container import PodContainer
from .following import Body
from .pods import names
from .pods.fields import refused
from .pods.publishing import Binding, PortMap, bindings

KIND: Final = "ports"
"""The kind (`names.KIND`) of the Services that publish ports at the nodes."""
_TAKEN: Final = "already allocated"
"""What an apiserver says of a node's port that another Service has."""


class Publisher(Protocol):
    """Publishes the ports of containers."""

    def starting(self, container: PodContainer) -> AbstractAsyncContextManager[PortMap]:
        """Publish the ports of a container that is started in this context; they are given up if that fails.

        Raises:
            SwarmError: a port can't be had, in an engine's words.
        """
        ...

    def close(self) -> None:
        """Give up what is held for the time of the gateway."""


def no_connectivity(container: PodContainer, why: str) -> SwarmError:
    """Return the error of an engine that can't publish a port."""
    endpoint = hashlib.sha256(container.id.encode()).hexdigest()
    head = f"driver failed programming external connectivity on endpoint {container.name} ({endpoint})"
    return refusal(500, f"{head}: {why}")


class PodPorts:
    """Tells the Pods' own addresses, for clients inside the cluster. Nothing listens for them."""

    @asynccontextmanager
    async def starting(self, container: PodContainer) -> AsyncGenerator[PortMap]:
        """See `Publisher`."""
        wanted = bindings(container.record, "pod")
        yield {each.name: [{"HostIp": "", "HostPort": str(each.port)}] for each in wanted}

    def close(self) -> None:
        """See `Publisher`."""


@dataclass(frozen=True)
class NodePorts:
    """Has all nodes listen: a Service for each container with published ports, which its record owns.

    The nodes keep the ports of a container that has ended until it is started again, or removed.
    """

    cluster: Cluster

    @asynccontextmanager
    async def starting(self, container: PodContainer) -> AsyncGenerator[PortMap]:
        """See `Publisher`."""
        wanted = bindings(container.record, "node")
        if not wanted:
            yield {}
            return
        ports = await self._create(container, wanted)
        try:
            yield ports
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
                await self._delete(container)
            raise

    def close(self) -> None:
        """See `Publisher`."""

    async def _create(self, container: PodContainer, wanted: Sequence[Binding]) -> PortMap:
        path, service = SERVICES.path(self.cluster.namespace), _service(container, wanted)
        try:
            try:
                made = await self.cluster.api.post(path, service)
            except Conflict as exc:  # it is that of an earlier start
                if reason_of(exc) != "AlreadyExists":
                    raise
                await self._delete(container)
                made = await self.cluster.api.post(path, service)
        except Invalid as exc:
            if reason_of(exc) != "Invalid":
                raise
            raise _unavailable(container, wanted, exc) from exc
        given = [dict_of(each).get("nodePort") for each in list_of(dict_of(made.get("spec")).get("ports"))]
        if len(given) != len(wanted) or not all(isinstance(each, int) for each in given):
            raise BadAnswer(f"the cluster gave a malformed answer about the ports of {container.name}")
        ports = PortMap()
        for each, port in zip(wanted, given, strict=True):
            ports.setdefault(each.name, []).append({"HostIp": "", "HostPort": str(port)})
        return ports

    async def _delete(self, container: PodContainer) -> None:
        with suppress(NotFound):
            await self.cluster.api.delete(SERVICES.path(self.cluster.namespace, names.ports_name(container.id)))


def _service(container: PodContainer, wanted: Sequence[Binding]) -> Body:
    record = container.record
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": names.ports_name(record.id),
            "labels": names.own_labels(KIND, record.id),
            "ownerReferences": [names.owner_reference(names.record_name(record.id), record.uid)],
        },
        "spec": {
            "type": "NodePort",
            "selector": {names.CONTAINER: names.short(record.id)},
            "ports": [_port(number, each) for number, each in enumerate(wanted, 1)],
        },
    }


def _port(number: int, wanted: Binding) -> dict[str, Any]:
    """Return a port of a Service. Its own number, which nobody uses, must only be another one than those beside it."""
    own = {"name": f"p{number}", "port": number, "targetPort": wanted.port, "protocol": wanted.protocol.upper()}
    return own | ({"nodePort": wanted.first} if wanted.first else {})


def _unavailable(container: PodContainer, wanted: Sequence[Binding], error: Invalid) -> SwarmError:
    """Return an engine's error where the cluster does not give the ports that were asked for."""
    asked = [each.first for each in wanted if each.first]
    taken = next((port for port in asked if f"{port}: provided port is {_TAKEN}" in error.message), None)
    if taken is not None:
        return no_connectivity(container, f"Bind for 0.0.0.0:{taken} failed: port is {_TAKEN}")
    return refused((f"HostConfig.PortBindings {', '.join(map(str, asked))}", error.message))
