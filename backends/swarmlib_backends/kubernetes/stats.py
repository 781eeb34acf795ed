"""What containers use, as `stats` shows it. All who look at a container share the stream of one command in its Pod."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from swarmlib import BadAnswer, Request, SwarmError
from swarmlib.errors import ungrouped

from ..enginekit.operations import answers, ref_of
from ..enginekit.stats import Asked, Sample, shown
from ..feeds import Feed, Feeds
from .attach import remote
from .cluster import Cluster
from .container import PodContainer
from .metered import measure
from .pods import names, usage
from .streams.remote import RemoteCommand

_LARGEST: Final = 1024 * 1024
"""The most bytes of a sample."""
_SECOND: Final = 1.0
_RUNS: Final = ("running", "paused")


@dataclass(eq=False)
class Stats:
    """Answers what is asked of what containers use."""

    cluster: Cluster
    nursery: trio.Nursery
    now: Callable[[], float]
    _feeds: Feeds[str, Sample] = field(init=False)
    """By the ids of containers."""

    def __post_init__(self) -> None:
        self._feeds = Feeds(self.nursery)

    @answers("ContainerStats")
    async def _stats(self, request: Request) -> None:
        container, asked = self.cluster.mirror.containers.find(ref_of(request)), Asked.of(request)
        while not container.removed.is_set():
            if container.status in _RUNS:
                name, sample = f"kubernetes: what {container.name} uses", partial(self._sample, container)
                async with self._feeds.of(container.id, name, sample) as feed:
                    first = await feed.next()
                    await asked.ack()
                    sent = await self._send(container, asked, feed, first)
            else:
                await asked.ack()
                sent = await _reply(container, asked, Sample(), Sample())
                with trio.move_on_after(_SECOND):
                    await container.until(lambda each: each.status in _RUNS)
            if sent and not asked.streams:
                return

    async def _send(self, container: PodContainer, asked: Asked, feed: Feed[Sample], first: Sample | None) -> bool:
        """Send what a run uses, to its end or once; the first sample tells nothing of how fast it is used.

        Return whether something was sent.
        """
        sent = False
        before, now = (Sample(), first) if asked.at_once else (first, await feed.next())
        while before is not None and now is not None and (asked.streams or not sent):
            sent = await _reply(container, asked, before, now)
            before, now = now, await feed.next() if asked.streams else None
        return sent

    async def _sample(self, container: PodContainer, feed: Feed[Sample]) -> None:
        """Give a feed its samples until nobody looks, or the container is paused, goes on or ends.

        With the container, its command is paused too: another one takes its place.
        """
        error, status = None, container.status

        async def leave() -> None:
            await container.until(lambda each: each.status != status)
            feed.scope.cancel()

        try:
            with feed.scope, ungrouped():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(leave)
                    await self._read(container, feed)
                    feed.scope.cancel()
        except SwarmError as exc:
            error = exc if container.running else None
        finally:
            feed.end(error)

    async def _read(self, container: PodContainer, feed: Feed[Sample]) -> None:
        if self.cluster.options.tools == "never":
            await measure(self.cluster, container, self.now, feed.give)
        command = RemoteCommand("exec", names.MAIN, usage.COMMAND, stdin=True)
        async with remote(self.cluster, container, command) as process:
            buffer = b""
            while (received := await process.receive()) is not None:
                stream, data = received
                if stream != "stdout":
                    continue
                *blocks, buffer = (buffer + data).split(usage.END)
                if blocks:
                    feed.give(usage.read(blocks[-1], self.now()))
                if len(buffer) > _LARGEST:
                    raise BadAnswer("the Pod tells too much of what it uses")


async def _reply(container: PodContainer, asked: Asked, before: Sample, now: Sample) -> bool:
    await asked.request.reply.set(shown(container.id, container.name, before, now))
    return True
