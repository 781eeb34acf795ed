"""The engine that a namespace of a cluster is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from swarmlib import Denied, Request
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
from .images.images import Images
from .images.operations import ImageOperations
from .images.registry import Registries
from .keeping import Keeper
from .lifecycle import Lifecycle
from .mirror import Mirror
from .network_operations import NetworkOperations
from .networking import Networking
from .networks import Networks
from .options import KubernetesOptions
from .pods import template
from .pods.options import PodOptions
from .ports import Ports
from .streams.negotiate import Dialects
from .system import System
from .top import Top
from .updating import Updates
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
            trio.open_nursery() as nursery,
        ):
            self._mirror = Mirror(api, access.namespace)
            cluster = Cluster(api, self._mirror, _pod_options(options, access.namespace), Dialects())
            events = Events(clock)
            Happenings(cluster, events, nursery, clock.now, self.name)
            self._keeper = Keeper(cluster, nursery, clock.now, self.name)
            self._networks = Networks(api, access.namespace)
            endpoints, ports = Endpoints(cluster, self._networks, nursery), Ports(cluster, nursery)
            networking = Networking(self._networks, endpoints, ports)
            lifecycle = Lifecycle(cluster, networking, events, clock.now, options.start_timeout)
            images = Images(registries, clock.now)
            execs = Execs(cluster, events, clock.now, nursery)
            containers = Containers(cluster, lifecycle, networking, images, execs, nursery)
            archive = Archive(cluster, lifecycle, nursery)
            networks = NetworkOperations(cluster, networking, events, clock.now)
            own = (containers, networks, execs, archive, Top(cluster, events), Updates(cluster, events))
            families = (*own, events, System(cluster), ImageOperations(images, events))
            self.operations = operations_of(self, *families)
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
        await self._keeper.ready()
        with suppress(Denied):  # an account without networks can have containers all the same
            await self._networks.ready()
        return await super().answer(request)


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
    )
