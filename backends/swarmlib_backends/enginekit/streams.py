"""The operations of containers' input and output, of backends that keep the output themselves."""

from __future__ import annotations

from functools import partial
from typing import Generic, TypeVar

from swarmlib import Request

from ..dockerapi.operations import ContainerResize
from ..dockerapi.values import terminal_size
from .attaching import ATTACHES, Attaching
from .containers import ContainerOperations
from .operations import FOLLOW, answers, ref_of
from .played import Streamed
from .refusals import check_attachable, check_running
from .stdio import send_lines, send_logs, stdio

C = TypeVar("C", bound=Streamed)


class StreamedContainerOperations(ContainerOperations[C], Generic[C]):
    """Answers what is asked of containers, and of what they write."""

    def attached(self, container: C) -> None:
        """Do what a backend has to do when a client attaches: nothing, unless it overrides this."""

    @answers("ContainerLogs")
    async def logs(self, request: Request) -> None:
        """Answer with a container's logs."""
        await send_logs(request, self.find(request))

    @answers(*ATTACHES)
    async def _attach(self, request: Request) -> None:
        container = self.find(request)
        check_attachable(container, ref_of(request))
        attaching = Attaching.of(request)
        self.attached(container)
        detached = partial(self._detached, container)
        await attaching.ack(stdio(container, container.config, attaching, detached))

    async def _detached(self, container: C) -> None:
        self.events.tell_container(container, "detach")

    @answers("ContainerResize")
    async def _resize(self, request: Request) -> None:
        rows, columns = terminal_size(ContainerResize.of(request))
        container = self.find(request)
        check_running(container)
        container.resize(rows, columns)
        self.events.tell_container(container, "resize", height=str(rows), width=str(columns))

    @answers(FOLLOW)
    async def _follow(self, request: Request) -> None:
        """Answer with a container's output as `log` replies, and its state when it ends."""
        container, reply = self.find(request), request.reply
        follower = container.output.follow(from_start=True)
        try:
            await reply.ack()
            await send_lines(follower, reply)
        finally:
            follower.close()
        await reply.set(self.state(container))
