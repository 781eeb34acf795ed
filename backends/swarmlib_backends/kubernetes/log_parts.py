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

from .api.resources import PODS
from .cluster import Cluster, pod_name
from .container import PodContainer
from .marks import LAST_SECONDS, Unmarked, until_marked
from .pods import names, status

STDOUT, STDERR = 1, 2
_LOOK_SECONDS: Final = 0.05
"""How long to wait before looking for it again."""
_MARKED_LINES: Final = 100
"""How many last lines of a log are looked through for the marks of its streams, whose lines come in any order."""


@dataclass(frozen=True)
class Part:
    """One of the logs of a container: the stream that it has (all, if it is the only one), and where it is.

    container: of the Pod. chosen: the stream as the cluster names it; "" for the whole log. streams: how many it holds,
    each of which ends with a mark after each run of a container that is kept.
    """

    stream: int
    container: str = names.MAIN
    chosen: str = ""
    streams: int = 1

    @property
    def params(self) -> Mapping[str, str]:
        """The parameters that ask for it."""
        return {"container": self.container, **({"stream": self.chosen} if self.chosen else {})}


async def parts_of(cluster: Cluster, container: PodContainer) -> list[Part]:
    """Return the logs of a container that has a Pod. Raises `SwarmError`: the cluster's error."""
    if container.tty:
        logs = [Part(STDOUT)]
    elif status.has_stderr(container.pod or {}):
        logs = [Part(STDOUT), Part(STDERR, names.STDERR)]
    else:
        logs = [Part(STDOUT, streams=2)]
    await _all_written(cluster, container, logs)
    if logs[0].streams > 1 and await cluster.split_logs.spoken(cluster.api, log_path(cluster, container)):
        return [Part(STDOUT, chosen="Stdout"), Part(STDERR, chosen="Stderr")]
    return logs


async def _all_written(cluster: Cluster, container: PodContainer, logs: list[Part]) -> None:
    """Wait until what a container has written is in its logs, if it has ended: its end may be known before."""
    with trio.move_on_after(LAST_SECONDS):
        await container.until(lambda each: each.running or not status.writes_stderr(each.pod or {}))
        if container.record.keep and not status.is_over(container.pod or {}):
            for each in logs:
                await _marked(cluster, container, each)
    container.read_run = container.ended_run


async def _marked(cluster: Cluster, container: PodContainer, part: Part) -> None:
    """Wait until the marks of the last run are in a log, unless they were waited for before or another run begins."""
    run = container.record.run
    while container.read_run < run == container.ended_run:
        marks = Unmarked(after=run - 1)
        params = {**part.params, "tailLines": str(_MARKED_LINES)}
        async with cluster.api.stream(log_path(cluster, container), params) as stream:
            async for data in stream:
                marks.feed(bytes(data))
        if marks.count >= part.streams:
            return
        await trio.sleep(_LOOK_SECONDS)


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
            yield _UntilMarked(stream, ended, container.record.run, part.streams) if goes_on else stream


def _end_of_run(container: PodContainer) -> trio.Event:
    """Return the event of the end of a container's run, which is set if it has ended."""
    if container.running:
        return container.exited
    ended = trio.Event()
    ended.set()
    return ended


class _UntilMarked(trio.abc.ReceiveStream):
    """Logs that go on after a run (`--keep`): they end when it has, once they have its marks."""

    def __init__(self, source: trio.abc.ReceiveStream, ended: trio.Event, run: int, streams: int) -> None:
        self._source, self._ended, self._streams = source, ended, streams
        self._marks = Unmarked(after=run - 1)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next piece, whole; b"" at the end."""
        data = bytes(await until_marked(self._source.receive_some, self._ended, self._are_marked) or b"")
        self._marks.feed(data)
        return data

    def _are_marked(self) -> bool:
        return self._marks.count >= self._streams

    async def aclose(self) -> None:
        """Stop reading."""
        await self._source.aclose()
