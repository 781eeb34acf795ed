"""The output of the next run of a container, for a client that attaches before its start."""

from __future__ import annotations

import trio

from swarmlib import Request, SwarmError, Unavailable, Verb
from swarmlib.asking import call

from ...dockerapi.operations import ContainerAttach
from .container import ServiceContainer
from .following import Following


class NextOutput(trio.abc.HalfCloseableStream):
    """All that the next run of a container writes, in the form of an engine's streams. It reads no input.

    asked: which of its streams are wanted.
    """

    def __init__(self, container: ServiceContainer, following: Following, asked: ContainerAttach) -> None:
        self._container = container
        self._following = following
        self._params = {"follow": "1", "stdout": str(int(asked.stdout)), "stderr": str(int(asked.stderr))}
        self._before = container.task
        self._given_up = container.given_up
        self._source: trio.abc.ReceiveStream | None = None
        container.open_reader()
        self._open = True

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See `trio.abc.ReceiveStream`."""
        try:
            if self._source is None:
                self._source = await self._begun()
            data = b"" if self._source is None else await self._source.receive_some(max_bytes)
        except SwarmError as exc:
            raise trio.BrokenResourceError(exc.message) from exc
        if not data:
            self._leave()
        return data

    async def _begun(self) -> trio.abc.ReceiveStream | None:
        """Return the output of the run, once it has begun; None if there will be none."""
        container, over = self._container, (self._container.removed, self._given_up)
        await self._following.until(lambda: any(each.is_set() for each in over) or container.task is not self._before)
        if any(each.is_set() for each in over) or container.task is None or not container.task.container_id:
            return None
        member, id = self._following.place(container)
        answer = await call(member.calls, Request(Verb.CONNECT, ("containers", id, "logs"), self._params))
        if answer.ack.stream is None:
            raise Unavailable(f"{member.name} gave no stream for the logs of {container.name}")
        return answer.ack.stream

    def _leave(self) -> None:
        if self._open:
            self._open = False
            self._container.close_reader()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`: nobody reads it, as of a container without stdin."""
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream`."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        self._leave()
        if self._source is not None:
            await self._source.aclose()
