"""The output of containers as Docker's clients know it: logs and attach. Azure does not tell stdout from stderr."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from swarmlib import ReplySender, Request, SwarmError
from swarmlib.supervision import supervised

from ..dockerapi.operations import ContainerLogs
from ..enginekit.attaching import Attaching
from ..enginekit.output import Output, Piece
from ..enginekit.stdio import Logs, send_lines, stdio, stream_headers
from ..stream_wrappers import CountingWrapper
from .container import Instance
from .joining import Entry, Joining
from .mirror import Mirror

_KEPT: Final = 16 * 1024 * 1024
_STDOUT: Final = 1


@dataclass(eq=False)
class Shown:
    """What one client sees of a container's output. See `enginekit.Attachable`."""

    running: bool
    output: Output = field(default_factory=partial(Output, _KEPT))
    tty: bool = False

    async def add(self, new: list[Entry]) -> None:
        """Add lines of the logs."""
        for each in new:
            await self.output.add(Piece(_STDOUT, each.at, each.text))

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Refuse input: the command of a container on Azure has none."""
        raise trio.BrokenResourceError("the command has no input")

    async def end_input(self) -> None:
        """Do nothing: there is no input that could end."""


class Outputs:
    """Answers with what containers write, each client by a reading and a socket of its own."""

    def __init__(self, mirror: Mirror, nursery: trio.Nursery, now: Callable[[], float]) -> None:
        self._mirror = mirror
        self._nursery = nursery
        self._now = now

    async def send_logs(self, container: Instance, request: Request) -> None:
        """Answer with a container's logs. Raises `SwarmError`."""
        asked = ContainerLogs.of(request)
        shown, joining = Shown(container.running), Joining()
        await shown.add(joining.read(await self._logs(container)))
        stream: trio.abc.ReceiveStream = Logs(shown, asked)
        if asked.follow and container.running:
            stream = self._fed(container, shown, joining, stream, until=asked.until or math.inf)
        await request.reply.ack(stream=stream, details={"headers": stream_headers(None)})

    async def attach(self, container: Instance, attaching: Attaching) -> None:
        """Answer with a stream to a container that runs, or that is about to be started. Raises `SwarmError`."""
        asked = attaching.asked
        shown, joining = Shown(running=True), Joining()
        if container.running:
            new = joining.read(await self._logs(container))
            if asked.logs:
                await shown.add(new)
        stream: trio.abc.HalfCloseableStream = stdio(shown, container.config, attaching, trio.lowlevel.checkpoint)
        if asked.stream:
            stream = self._fed(container, shown, joining, stream)
        await attaching.ack(stream)

    async def tell_lines(self, container: Instance, reply: ReplySender) -> None:
        """Acknowledge, and send all that a container writes as `log` replies, until its end. Raises `SwarmError`."""
        shown, joining = Shown(running=True), Joining()
        follower = shown.output.follow(from_start=True)
        if container.status != "created":
            await shown.add(joining.read(await self._logs(container)))
        scope = trio.CancelScope()
        self._nursery.start_soon(self._feed, container, shown, joining, scope)
        try:
            await reply.ack()
            await send_lines(follower, reply)
        finally:
            follower.close()
            scope.cancel()

    def _fed(
        self,
        container: Instance,
        shown: Shown,
        joining: Joining,
        stream: trio.abc.ReceiveStream,
        until: float = math.inf,
    ) -> _Fed:
        """Return a stream that gets what the container writes until it ends, or the client closes the stream."""
        scope = trio.CancelScope(deadline=trio.current_time() + until - self._now())
        self._nursery.start_soon(self._feed, container, shown, joining, scope)
        return _Fed(stream, scope)

    async def _feed(self, container: Instance, shown: Shown, joining: Joining, scope: trio.CancelScope) -> None:
        with scope, container.kept(), self._mirror.followed(container):
            what = f"aci: the output of {container.name}"
            await supervised(what, self._follow, container, shown, joining, expected=(SwarmError,))
        shown.output.end_run()

    async def _follow(self, container: Instance, shown: Shown, joining: Joining) -> None:
        """Give a client all that the container writes in this run, or in the next one if it doesn't run."""
        before = container.started
        while container.status == "created" or (not container.running and container.started == before):
            if container.removed.is_set():
                return
            await container.next_change()
        while container.running:
            if container.status == "running":
                await self._live(container, shown, joining)
                await self._mirror.look_at(container)
            else:
                await container.next_change()
        await shown.add(joining.read(await self._logs(container)))

    async def _live(self, container: Instance, shown: Shown, joining: Joining) -> None:
        """Give a client what the container writes while it runs; a connection that breaks is made again.

        What had not come when the container was seen to have ended is in the logs.
        """
        try:
            async with self._mirror.groups.attached(container.record.group) as socket, trio.open_nursery() as nursery:
                nursery.start_soon(socket.keep_alive)
                nursery.start_soon(_cancel_at_end, container, nursery.cancel_scope)
                new = joining.read(await self._logs(container))
                joining.overlaps(new)
                await shown.add(new)
                async for data in socket:
                    await shown.output.add(Piece(_STDOUT, self._now(), joining.live(bytes(data))))
                nursery.cancel_scope.cancel()
        except* (SwarmError, trio.BrokenResourceError):
            await container.next_change()  # it has ended, say; if it runs on, it is tried again

    async def _logs(self, container: Instance) -> str:
        return await self._mirror.groups.logs(container.record.group) if container.group is not None else ""


async def _cancel_at_end(container: Instance, scope: trio.CancelScope) -> None:
    while container.status == "running":
        await container.next_change()
    scope.cancel()


class _Fed(CountingWrapper):
    """A stream whose output is fetched until it is closed."""

    def __init__(self, inner: trio.abc.ReceiveStream, scope: trio.CancelScope) -> None:
        super().__init__(inner)
        self._scope = scope

    async def aclose(self) -> None:
        """Fetch no more, and close the stream."""
        self._scope.cancel()
        await super().aclose()
