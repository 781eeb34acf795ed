"""The logs of containers, as the kubelets of their nodes keep them.

Kubelets before 1.32 do not tell stdout from stderr: everything is stdout then.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import trio

from swarmlib import BadAnswer, Request, TooLarge
from swarmlib.bytes_stream import BytesStream
from swarmlib.client.multiplexed import framed
from swarmlib.errors import ungrouped

from ..dockerapi.operations import ContainerLogs
from ..dockerapi.status import refusal
from ..enginekit.stdio import chosen_streams, stream_headers
from .api.resources import PODS
from .attach import KEPT_GRACE_SECONDS
from .cluster import Cluster, pod_name
from .container import PodContainer
from .holding import held
from .pods import names, status

_STDOUT: Final = 1
_MAX_LINE: Final = 1024 * 1024
"""The most bytes of a line whose time is looked at."""


async def send_logs(cluster: Cluster, nursery: trio.Nursery, container: PodContainer, request: Request) -> None:
    """Answer with the logs of a container. Raises `SwarmError` where there are none any more."""
    asked = ContainerLogs.of(request)
    stream: trio.abc.ReceiveStream = BytesStream(b"")
    if container.status != "created" and _STDOUT in chosen_streams(asked):
        stream = await open_logs(cluster, nursery, container, asked)
    await request.reply.ack(stream=stream, details={"headers": stream_headers(None)})


async def open_logs(
    cluster: Cluster, nursery: trio.Nursery, container: PodContainer, asked: ContainerLogs
) -> trio.abc.ReceiveStream:
    """Return the logs of a container that has been started, as a client reads them; close them.

    Raises:
        SwarmError: the Pod, and the logs with it, are gone; or the cluster's error.
    """
    if container.pod is None:
        raise refusal(500, f"the logs of {container.name} are gone with its Pod")
    closed = trio.Event()
    source = await held(nursery, _source(cluster, container, asked), closed)
    return PodLogs(source, closed, asked, framed_as=None if container.tty else _STDOUT)


@asynccontextmanager
async def _source(
    cluster: Cluster, container: PodContainer, asked: ContainerLogs
) -> AsyncGenerator[trio.abc.ReceiveStream]:
    path = PODS.path(cluster.namespace, pod_name(container), "log")
    with container.kept():
        async with cluster.api.stream(path, _params(container, asked)) as stream:
            kept = container.record.keep and container.running
            yield _UntilSilent(stream, container.exited) if kept else stream


@dataclass(frozen=True)
class _UntilSilent(trio.abc.ReceiveStream):
    """Logs of a run that goes on: they end when it has ended, and nothing has come for some time."""

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


def _params(container: PodContainer, asked: ContainerLogs) -> dict[str, str]:
    """Return what the kubelet is asked for. It knows whole seconds only, and no end."""
    params = {"container": names.MAIN}
    if asked.follow and container.running:
        params["follow"] = "true"
    if asked.timestamps or _timed(asked):
        params["timestamps"] = "true"
    if asked.since:
        params["sinceTime"] = datetime.fromtimestamp(math.floor(asked.since), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if asked.tail is not None and not asked.until:
        params["tailLines"] = str(asked.tail)
    return params


def _timed(asked: ContainerLogs) -> bool:
    """Return whether the time of each line has to be looked at."""
    return bool(asked.until) or bool(asked.since and asked.since % 1)


class PodLogs(trio.abc.ReceiveStream):
    """Logs as they come, with or without their times, framed if the client takes them for a process's streams."""

    def __init__(
        self, source: trio.abc.ReceiveStream, closed: trio.Event, asked: ContainerLogs, framed_as: int | None
    ) -> None:
        self._source = source
        self._closed = closed
        self._framed_as = framed_as
        self._timed = _TimedLines(asked) if _timed(asked) else None

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next piece, whole; b"" at the end."""
        while data := bytes(await self._source.receive_some()):
            if shown := data if self._timed is None else self._timed.feed(data):
                return self._framed(shown)
            if self._timed is not None and self._timed.over:
                break
        return self._framed(self._timed.rest()) if self._timed is not None else b""

    def _framed(self, data: bytes) -> bytes:
        return framed(self._framed_as, data) if data and self._framed_as is not None else data

    async def aclose(self) -> None:
        """Stop reading."""
        self._closed.set()
        await trio.lowlevel.checkpoint()


class _TimedLines:
    """The lines of some time, out of lines that begin with their times."""

    def __init__(self, asked: ContainerLogs) -> None:
        self._since, self._until = asked.since or 0.0, asked.until or math.inf
        self._stamped = asked.timestamps
        self._left = math.inf if asked.tail is None or not asked.until else asked.tail
        self._tail: list[bytes] = []
        self._begun = b""
        self.over = False
        """Whether all that comes now is too late."""

    def feed(self, data: bytes) -> bytes:
        """Take a piece, and return the lines to be shown that are complete.

        Raises:
            TooLarge: a line is too long. BadAnswer: a line does not begin with its time.
        """
        *lines, self._begun = (self._begun + data).split(b"\n")
        if len(self._begun) > _MAX_LINE:
            raise TooLarge(f"the cluster sent a line of more than {_MAX_LINE} bytes in a container's logs")
        return self._kept([line + b"\n" for line in lines])

    def rest(self) -> bytes:
        """Return what is left at the end: the line without an end, and the last lines if only these were asked for."""
        begun, self._begun = self._begun, b""
        shown = self._kept([begun]) if begun and not self.over else b""
        tail, self._tail = self._tail, []
        return shown + b"".join(tail)

    def _kept(self, lines: list[bytes]) -> bytes:
        shown = [text for line in lines if (text := self._shown(line)) is not None]
        if self._left is math.inf:
            return b"".join(shown)
        self._tail = [*self._tail, *shown][-int(self._left) :] if self._left else []
        return b""

    def _shown(self, line: bytes) -> bytes | None:
        stamp, _, text = line.partition(b" ")
        at = status.moment(stamp.decode("ascii", "replace"))
        if not at:
            raise BadAnswer(f"a line of a container's logs does not begin with its time: {line[:80]!r}")
        self.over = self.over or at > self._until
        if not self._since <= at <= self._until:
            return None
        return line if self._stamped else text
