"""The logs of a container as its node keeps them: one, or one for each of its streams.

They are apart where stderr has a container of its own (`--logs capture`), and where the cluster tells the streams
apart: since 1.32, with the feature gate PodLogsQuerySplitStreams.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from swarmlib.errors import ungrouped

from .api.resources import PODS
from .attach import KEPT_GRACE_SECONDS
from .cluster import Cluster, pod_name
from .container import PodContainer
from .pods import names, status

STDOUT, STDERR = 1, 2
_LAST_SECONDS: Final = 5.0
"""How long what was written before a container's end is waited for."""


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
        await _all_written(container)
        return [Part(STDOUT), Part(STDERR, names.STDERR)]
    if await cluster.split_logs.spoken(cluster.api, log_path(cluster, container)):
        return [Part(STDOUT, chosen="Stdout"), Part(STDERR, chosen="Stderr")]
    return [Part(STDOUT)]


async def _all_written(container: PodContainer) -> None:
    """Wait for the end of what writes stderr, if the container itself has ended: until then it writes the rest."""
    with trio.move_on_after(_LAST_SECONDS):
        await container.until(lambda each: each.running or not status.writes_stderr(each.pod or {}))


def log_path(cluster: Cluster, container: PodContainer) -> str:
    """Return the path of the logs of a container. Raises `Conflict` if it has no Pod."""
    return PODS.path(cluster.namespace, pod_name(container), "log")


@asynccontextmanager
async def opened(
    cluster: Cluster, container: PodContainer, part: Part, params: Mapping[str, str]
) -> AsyncGenerator[trio.abc.ReceiveStream]:
    """Open a log; the container does not remove itself meanwhile. Raises `SwarmError`: the cluster's error."""
    ended = _end_of_run(container)  # before anything is waited for: the run may be short
    with container.kept():
        async with cluster.api.stream(log_path(cluster, container), {**part.params, **params}) as stream:
            goes_on = container.record.keep and "follow" in params
            yield _UntilSilent(stream, ended) if goes_on else stream


def _end_of_run(container: PodContainer) -> trio.Event:
    """Return the event of the end of a container's run, which is set if it has ended."""
    if container.running:
        return container.exited
    ended = trio.Event()
    ended.set()
    return ended


@dataclass(frozen=True)
class _UntilSilent(trio.abc.ReceiveStream):
    """Logs that go on after a run (`--keep`): they end when it has ended, and nothing has come for some time."""

    source: trio.abc.ReceiveStream
    ended: trio.Event

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next piece, whole; b"" at the end."""
        data = b""
        with trio.CancelScope() as waiting, ungrouped():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._limit, waiting)
                data = bytes(await self.source.receive_some())
                nursery.cancel_scope.cancel()
        return data

    async def _limit(self, waiting: trio.CancelScope) -> None:
        await self.ended.wait()
        waiting.deadline = trio.current_time() + KEPT_GRACE_SECONDS

    async def aclose(self) -> None:
        """Stop reading."""
        await self.source.aclose()
