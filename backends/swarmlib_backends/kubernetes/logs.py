"""The logs of containers for clients, as the kubelets of their nodes keep them.

Where a cluster does not tell stdout from stderr, everything is stdout (see `log_parts`).
"""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime
from typing import Final

import trio

from swarmlib import Request, SwarmError
from swarmlib.bytes_stream import BytesStream
from swarmlib.client.multiplexed import framed

from ..dockerapi.operations import ContainerLogs
from ..dockerapi.status import refusal
from ..enginekit.stdio import chosen_streams, stream_headers
from .cluster import Cluster
from .container import PodContainer
from .holding import held
from .log_lines import LogLine, LogLines, Wanted, log_lines
from .log_parts import Part, opened, parts_of
from .marks import Unmarked
from .read_ahead import read_ahead

_log = logging.getLogger(__name__)
_PIECE: Final = 64 * 1024
"""About the bytes of lines that are sent together."""


async def send_logs(cluster: Cluster, nursery: trio.Nursery, container: PodContainer, request: Request) -> None:
    """Answer with the logs of a container. Raises `SwarmError` where there are none any more."""
    asked = ContainerLogs.of(request)
    stream: trio.abc.ReceiveStream = BytesStream(b"")
    if container.status != "created":
        stream = await open_logs(cluster, nursery, container, asked)
    await request.reply.ack(stream=stream, details={"headers": stream_headers(None)})


async def open_logs(
    cluster: Cluster, nursery: trio.Nursery, container: PodContainer, asked: ContainerLogs
) -> trio.abc.ReceiveStream:
    """Return the logs of a container that has been started, as a client reads them; close them.

    Raises:
        SwarmError: the Pod, and the logs with it, are gone; or the cluster's error.
    """
    check_kept(container)
    parts = _needed(await parts_of(cluster, container), asked)
    if not parts:
        return BytesStream(b"")
    if len(parts) == 1 and not _by_lines(container, asked, parts[0]):
        return await _whole(cluster, nursery, container, asked, parts[0])
    closed = trio.Event()
    wanted = Wanted(asked.since or 0.0, asked.until or math.inf, asked.tail, asked.follow and container.running)
    lines = await held(nursery, log_lines(cluster, container, parts, wanted), closed)
    return MergedLogs(lines, closed, asked, tty=container.tty)


def check_kept(container: PodContainer) -> None:
    """Raise `SwarmError` where the logs of a container that has been started are gone."""
    if container.pod is None:
        raise refusal(500, f"the logs of {container.name} are gone with its Pod")


def _needed(parts: list[Part], asked: ContainerLogs) -> list[Part]:
    """Return the logs that have to be read: both for a tail, which counts the lines of both."""
    streams = chosen_streams(asked)
    if not any(part.stream in streams for part in parts):
        return []
    return parts if asked.tail is not None else [part for part in parts if part.stream in streams]


def _by_lines(container: PodContainer, asked: ContainerLogs, part: Part) -> bool:
    """Return whether each line has to be looked at.

    A kubelet knows whole seconds only, and no end; it counts, and stamps, the marks of a container that is kept.
    """
    exact = bool(asked.until) or bool(asked.since and asked.since % 1)
    counted = asked.tail is not None and (bool(part.chosen) or container.record.keep)
    return exact or counted or (asked.timestamps and container.record.keep)


async def _whole(
    cluster: Cluster, nursery: trio.Nursery, container: PodContainer, asked: ContainerLogs, part: Part
) -> trio.abc.ReceiveStream:
    """Return a log as the kubelet sends it."""
    params: dict[str, str] = {}
    if asked.follow and container.running:
        params["follow"] = "true"
    if asked.timestamps:
        params["timestamps"] = "true"
    if asked.since:
        params["sinceTime"] = datetime.fromtimestamp(math.floor(asked.since), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if asked.tail is not None:
        params["tailLines"] = str(asked.tail)
    closed = trio.Event()
    source = await held(nursery, read_ahead(opened(cluster, container, part, params)), closed)
    marks = Unmarked() if container.record.keep else None
    return WholeLog(source, closed, None if container.tty else part.stream, marks)


class WholeLog(trio.abc.ReceiveStream):
    """A log as it comes, framed if the client takes it for a process's streams."""

    def __init__(
        self, source: trio.abc.ReceiveStream, closed: trio.Event, framed_as: int | None, marks: Unmarked | None
    ) -> None:
        self._source = source
        self._closed = closed
        self._framed_as = framed_as
        self._marks = marks

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next piece, whole; b"" at the end."""
        data = bytes(await self._source.receive_some())
        if self._marks is not None:
            shown = self._marks.feed(data)
            while data and not shown:
                data = bytes(await self._source.receive_some())
                shown = self._marks.feed(data)
            data = shown or self._marks.rest()
        return framed(self._framed_as, data) if data and self._framed_as is not None else data

    async def aclose(self) -> None:
        """Stop reading."""
        self._closed.set()
        await trio.lowlevel.checkpoint()


class MergedLogs(trio.abc.ReceiveStream):
    """Lines of logs, with or without their times, framed if the client takes them for a process's streams."""

    def __init__(self, lines: LogLines, closed: trio.Event, asked: ContainerLogs, *, tty: bool) -> None:
        self._lines = lines
        self._closed = closed
        self._streams = chosen_streams(asked)
        self._stamped = asked.timestamps
        self._tty = tty

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next lines; b"" at the end.

        Raises:
            trio.BrokenResourceError: the cluster's logs break off, or can't be read.
        """
        try:
            return await self._next()
        except SwarmError as exc:
            _log.warning("kubernetes: logs break off here: %s", exc)
            raise trio.BrokenResourceError(exc.message) from exc

    async def _next(self) -> bytes:
        shown = b""
        while not shown and (line := await self._lines.next()) is not None:
            shown = self._shown(line)
            while len(shown) < _PIECE and (more := self._lines.at_hand()) is not None:
                shown += self._shown(more)
        return shown

    def _shown(self, line: LogLine) -> bytes:
        if line.stream not in self._streams:
            return b""
        data = line.stamp + b" " + line.text if self._stamped else line.text
        return data if self._tty else framed(line.stream, data)

    async def aclose(self) -> None:
        """Stop reading."""
        self._closed.set()
        await trio.lowlevel.checkpoint()
