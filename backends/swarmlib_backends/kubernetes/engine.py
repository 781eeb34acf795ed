"""The engine that a namespace of a cluster is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from swarmlib import Request
from swarmlib.supervision import supervised

from ..enginekit.clock import Clock
from ..enginekit.events import Events
from ..enginekit.operations import operations_of
from ..enginekit.server import EngineServer
from .api.client import Api
from .api.kubeconfig import read_access
from .cluster import Cluster
from .containers import Containers
from .execs import Execs
from .happenings import Happenings
from .images.images import Images
from .images.operations import ImageOperations
from .images.registry import Registries
from .lifecycle import Lifecycle
from .mirror import Mirror
from .options import KubernetesOptions
from .pods.options import PodOptions
from .streams.negotiate import Dialects
from .system import System


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
            pods = PodOptions(namespace=access.namespace, tools=options.tools, tools_image=options.tools_image)
            cluster = Cluster(api, self._mirror, pods, Dialects())
            events = Events(clock)
            Happenings(cluster, events, nursery, clock.now, self.name)
            lifecycle = Lifecycle(cluster, events, clock.now, options.start_timeout)
            images = Images(registries, clock.now)
            containers = Containers(cluster, lifecycle, images, nursery)
            execs = Execs(cluster, events, clock.now, nursery)
            families = (containers, execs, events, System(cluster), ImageOperations(images, events))
            self.operations = operations_of(self, *families)
            nursery.start_soon(supervised, f"{self.name}: the watches", self._mirror.run)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()

    async def answer(self, request: Request) -> Any:
        """See `EngineServer`. Nothing is answered before all that the cluster has is known."""
        await self._mirror.ready()
        return await super().answer(request)
