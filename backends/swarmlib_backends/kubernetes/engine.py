"""The engine that a namespace of a cluster is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from swarmlib import Chain, Denied, Request, Sender

from ..enginekit.clock import Clock
from ..enginekit.events import Events
from ..enginekit.operations import operations_of
from ..enginekit.server import EngineServer
from ..enginekit.swarmless import Swarmless
from ..registry.client import Registries
from ..registry.operations import ImageOperations
from ..registry.stored import stored
from .api.client import Api
from .api.kubeconfig import read_access
from .archive import Archive
from .binds import Binds
from .cluster import Cluster
from .containers import Containers
from .endpoints import Endpoints
from .execs import Execs
from .happenings import Happenings
from .health import HealthChecks
from .images.builder import Builder
from .images.building import Building
from .images.built import BuiltImages
from .images.images import NamedImages
from .images.naming import Naming
from .keeping import Keeper
from .lifecycle import Lifecycle
from .mirror import Mirror
from .network_operations import NetworkOperations
from .networking import Networking
from .networks import Networks
from .options import KubernetesOptions
from .pods import template
from .pods.claims import Claim
from .pods.options import PodOptions
from .ports import Ports
from .publishers import NodePorts, PodPorts, Publisher
from .stats import Stats
from .streams.negotiate import Dialects
from .system import System
from .top import Top
from .updating import Updates
from .volume_operations import VolumeOperations
from .volumes import Volumes
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
        async with Api.open(access) as api, trio.open_nursery() as nursery:
            self._mirror = Mirror(api, access.namespace)
            cluster = Cluster(api, self._mirror, _pod_options(options, access.namespace), Dialects())
            events = Events(clock)
            happenings = Happenings(cluster, events, nursery, clock.now, self.name)
            self._keeper = Keeper(cluster, nursery, clock.now, self.name)
            HealthChecks(cluster, nursery)
            self._networks, volumes = Networks(api, access.namespace), Volumes(api, access.namespace)
            endpoints, ports = Endpoints(cluster, self._networks, nursery), _publisher(cluster, nursery)
            walls = Walls(cluster, nursery) if options.isolate else None
            networking = Networking(self._networks, endpoints, ports, walls)
            of_volumes = VolumeOperations(cluster, volumes, events, clock.now)
            async with _of_images(options, cluster, events, clock, nursery) as (images, of_images):
                of_containers = _of_containers(options, clock, networking, images, of_volumes, nursery)
                system = System(cluster, networking, images, of_volumes, clock.now)
                of_system = (events, system, Swarmless(self.name))
                self._mirror.listeners.append(happenings.tell_removal)
                self.operations = operations_of(self, *of_containers, of_volumes, *of_images, *of_system)
                for each in (self._mirror, self._networks, volumes):
                    nursery.start_soon(each.run)
                try:
                    yield
                finally:
                    ports.close()
                    nursery.cancel_scope.cancel()

    async def answer(self, request: Request) -> Any:
        """See `EngineServer`. Nothing is answered before all that the cluster has is known."""
        await self._mirror.ready()
        await self._keeper.ready()
        with suppress(Denied):  # an account without networks can have containers all the same
            await self._networks.ready()
        return await super().answer(request)


def _of_containers(
    options: KubernetesOptions,
    clock: Clock,
    networking: Networking,
    images: NamedImages,
    volumes: VolumeOperations,
    nursery: trio.Nursery,
) -> tuple[object, ...]:
    """Return what answers what is asked of containers, and of their networks and processes."""
    cluster, events = volumes.cluster, volumes.events
    binds = Binds(cluster, options.binds_size)
    lifecycle = Lifecycle(cluster, networking, events, clock.now, binds, options.start_timeout)
    execs = Execs(cluster, events, clock.now, nursery)
    return (
        Containers(cluster, lifecycle, networking, images, execs, volumes, nursery),
        NetworkOperations(cluster, networking, events, clock.now),
        execs,
        Archive(cluster, lifecycle, nursery),
        Top(cluster, events),
        Stats(cluster, nursery, clock.now),
        Updates(cluster, events),
    )


@asynccontextmanager
async def _of_images(
    options: KubernetesOptions, cluster: Cluster, events: Events, clock: Clock, nursery: trio.Nursery
) -> AsyncGenerator[tuple[NamedImages, tuple[object, ...]]]:
    """Hold the connections to registries and to the builder; give the images, and what answers what is asked of them.

    Raises:
        SwarmError: the chain of the builder can't be opened. Unavailable: as `stored`.
    """
    built = BuiltImages(cluster, clock.now)
    opened = Registries.open(options.insecure_registry, options.registry_mirror)
    async with opened as registries, _builds(options) as sender:
        images, builder = NamedImages(registries, built, clock.now), None
        if sender is not None:
            credentials = await stored(options.registry.partition("/")[0])
            builder = Builder(sender, options.registry, credentials, registries, built)
            images.settling = builder.settled
        builds = Building(builder, images, events, nursery)
        naming = Naming(images, events, cluster.mirror.containers, clock.now)
        yield images, (ImageOperations(images, events, "kubernetes"), naming, builds)


@asynccontextmanager
async def _builds(options: KubernetesOptions) -> AsyncGenerator[Sender | None]:
    """Open the chain that builds; None if there is none. Raises `SwarmError`: it can't be opened."""
    if options.builder is None:
        yield None
        return
    async with Chain.read(options.builder).open() as sender:
        yield sender


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
        keep=options.keep,
        requests=options.requests,
        template=given,
        service_account=options.service_account,
        pull_secrets=options.pull_secret,
        domain=options.cluster_domain,
        binds=options.binds,
        claim=Claim(options.volume_size, options.storage_class, options.access_mode),
        ports=options.ports,
        capture=options.logs == "capture",
        isolate=options.isolate,
    )
