"""The engine that a namespace of a cluster is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from swarmlib import Chain, Denied, Request, Sender
from swarmlib.supervision import supervised

from ..enginekit.clock import Clock
from ..enginekit.events import Events
from ..enginekit.operations import operations_of
from ..enginekit.server import EngineServer
from .api.client import Api
from .api.kubeconfig import read_access
from .archive import Archive
from .cluster import Cluster
from .containers import Containers
from .endpoints import Endpoints
from .execs import Execs
from .happenings import Happenings
from .images.builder import Builder
from .images.building import Building
from .images.built import BuiltImages
from .images.credentials import of_gateway
from .images.images import Images
from .images.naming import Naming
from .images.operations import ImageOperations
from .images.registry import Registries
from .lifecycle import Lifecycle
from .mirror import Mirror
from .network_operations import NetworkOperations
from .networking import Networking
from .networks import Networks
from .options import KubernetesOptions
from .pods import template
from .pods.options import PodOptions
from .ports import Ports
from .publishers import NodePorts, PodPorts, Publisher
from .streams.negotiate import Dialects
from .system import System
from .top import Top
from .walls import Walls
from .yaml_files import read_yaml


@dataclass
class Engine(EngineServer):
    """Answers the Docker API for a namespace."""

    options: KubernetesOptions

    @property
    def name(self) -> str:
        """See `Backend.name`."""
        return "kubernetes"

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the connections to the cluster, and the watches."""
        options, clock = self.options, Clock()
        access = read_access(options.kubeconfig, options.context, options.namespace)
        async with (
            Api.open(access) as api,
            Registries.open(options.insecure_registry) as registries,
            _building(options) as building,
            trio.open_nursery() as nursery,
        ):
            self._mirror = Mirror(api, access.namespace)
            cluster = Cluster(api, self._mirror, _pod_options(options, access.namespace), Dialects())
            events = Events(clock)
            Happenings(cluster, events, nursery, clock.now, self.name)
            self._networks = Networks(api, access.namespace)
            endpoints, ports = Endpoints(cluster, self._networks, nursery), _publisher(cluster, nursery)
            walls = Walls(cluster, nursery) if options.isolate else None
            networking = Networking(self._networks, endpoints, ports, walls)
            lifecycle = Lifecycle(cluster, networking, events, clock.now, options.start_timeout)
            built = BuiltImages(cluster, clock.now)
            images = Images(registries, built, clock.now)
            builder = await _builder(building, options.registry, registries, built)
            if builder is not None:
                images.settled = builder.settled
            containers = Containers(cluster, lifecycle, networking, images, nursery)
            execs = Execs(cluster, events, clock.now, nursery)
            archive = Archive(cluster, lifecycle, nursery)
            networks = NetworkOperations(cluster, networking, events, clock.now)
            own = (containers, networks, execs, archive, Top(cluster, events))
            builds = Building(builder, images, events, nursery)
            of_images = (ImageOperations(images, events), Naming(images, events), builds)
            self.operations = operations_of(self, *own, events, System(cluster), *of_images)
            nursery.start_soon(supervised, f"{self.name}: the watches", self._mirror.run)
            nursery.start_soon(supervised, f"{self.name}: the watches of networks", self._networks.run)
            try:
                yield
            finally:
                ports.close()
                nursery.cancel_scope.cancel()

    async def answer(self, request: Request) -> Any:
        """See `EngineServer`. Nothing is answered before all that the cluster has is known."""
        await self._mirror.ready()
        with suppress(Denied):  # an account without networks can have containers all the same
            await self._networks.ready()
        return await super().answer(request)


@asynccontextmanager
async def _building(options: KubernetesOptions) -> AsyncGenerator[Sender | None]:
    """Open the chain that builds; None if there is none. Raises `SwarmError`: it can't be opened."""
    if options.builder is None:
        yield None
        return
    async with Chain.read(options.builder).open() as sender:
        yield sender


async def _builder(sender: Sender | None, registry: str, registries: Registries, built: BuiltImages) -> Builder | None:
    """Return the builder that a channel leads to. Raises `Unavailable`: as `of_gateway`."""
    if sender is None:
        return None
    credentials = await trio.to_thread.run_sync(of_gateway, registry.partition("/")[0])
    return Builder(sender, registry, credentials, registries, built)


def _publisher(cluster: Cluster, nursery: trio.Nursery) -> Publisher:
    match cluster.options.ports:
        case "forward":
            return Ports(cluster, nursery)
        case "pod":
            return PodPorts()
        case "node":
            return NodePorts(cluster)


def _pod_options(options: KubernetesOptions, namespace: str) -> PodOptions:
    """Return how Pods are made. Raises `Invalid`: the template can't be read, or is no Pod."""
    where = f"the Pod template {options.pod_template}"
    given = template.check(read_yaml(Path(options.pod_template), where), where) if options.pod_template else {}
    return PodOptions(
        namespace=namespace,
        tools=options.tools,
        tools_image=options.tools_image,
        requests=options.requests,
        template=given,
        service_account=options.service_account,
        pull_secrets=options.pull_secret,
        domain=options.cluster_domain,
        ports=options.ports,
        capture=options.logs == "capture",
        isolate=options.isolate,
    )
