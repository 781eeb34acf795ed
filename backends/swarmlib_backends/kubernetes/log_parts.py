"""The logs of a container as its node keeps them: one, or one for each of its streams.

They are apart where stderr has a container of its own (`--logs capture`), and where the cluster tells the streams
apart: since 1.32, with the feature gate PodLogsQuerySplitStreams.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from .api.resources import PODS
from .cluster import Cluster, pod_name
from .container import PodContainer
from .pods import names, status

STDOUT, STDERR = 1, 2


@dataclass(frozen=True)
class Part:
    """One of the logs of a container: the stream that it has (all, if it is the only one), and where it is.

    container: of the Pod. chosen: the stream as the cluster names it; "" for the whole log.
    """

    stream: int
    container: str = names.MAIN
    chosen: str = ""

    @property
    def params(self) -> Mapping[str, str]:
        """The parameters that ask for it."""
        return {"container": self.container, **({"stream": self.chosen} if self.chosen else {})}


async def parts_of(cluster: Cluster, container: PodContainer) -> list[Part]:
    """Return the logs of a container that has a Pod. Raises `SwarmError`: the cluster's error."""
    if container.tty:
        return [Part(STDOUT)]
    if status.has_stderr(container.pod or {}):
        return [Part(STDOUT), Part(STDERR, names.STDERR)]
    if await cluster.split_logs.spoken(cluster.api, log_path(cluster, container)):
        return [Part(STDOUT, chosen="Stdout"), Part(STDERR, chosen="Stderr")]
    return [Part(STDOUT)]


def log_path(cluster: Cluster, container: PodContainer) -> str:
    """Return the path of the logs of a container. Raises `Conflict` if it has no Pod."""
    return PODS.path(cluster.namespace, pod_name(container), "log")


@asynccontextmanager
async def opened(
    cluster: Cluster, container: PodContainer, part: Part, params: Mapping[str, str]
) -> AsyncGenerator[trio.abc.ReceiveStream]:
    """Open a log; the container does not remove itself meanwhile. Raises `SwarmError`: the cluster's error."""
    with container.kept():
        async with cluster.api.stream(log_path(cluster, container), {**part.params, **params}) as stream:
            yield stream
