"""A container whose stderr another container of its Pod writes (`--logs capture`), attached to as one process."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import trio

from swarmlib import SwarmError
from swarmlib.errors import ungrouped

from ..dockerapi.nullable import dict_of
from .attach import AttachedProcess, WrappedProcess, remote
from .cluster import Cluster
from .container import PodContainer
from .marks import unmarked
from .pods import names, status
from .streams.remote import RemoteCommand


def attached(
    cluster: Cluster, container: PodContainer, command: RemoteCommand
) -> AbstractAsyncContextManager[AttachedProcess]:
    """Attach to the process of a container for the time of the context, wherever its stderr is.

    Raises:
        SwarmError: the cluster's error.
    """
    pod = container.pod or {}
    errors = dict_of(status.status_of(pod, names.STDERR).get("state"))  # may not be told yet of a container at its gate
    apart = command.stderr and status.has_stderr(pod) and "terminated" not in errors
    process: AbstractAsyncContextManager[AttachedProcess] = (_both if apart else remote)(cluster, container, command)
    return unmarked(process, command, container) if container.record.keep else process


@asynccontextmanager
async def _both(cluster: Cluster, container: PodContainer, command: RemoteCommand) -> AsyncGenerator[CapturedProcess]:
    ended = trio.Event()
    of_stderr = RemoteCommand("attach", names.STDERR, stderr=False)
    async with (
        remote(cluster, container, replace(command, stderr=False)) as main,
        remote(cluster, container, of_stderr, ended=ended) as beside,
    ):
        process = CapturedProcess(main)
        with ungrouped():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(process.read, beside, ended)
                yield process
                nursery.cancel_scope.cancel()


class CapturedProcess(WrappedProcess):
    """The process: its stdin and stdout are those of its container, and its stderr is what the other one writes."""

    def __init__(self, main: AttachedProcess) -> None:
        super().__init__(main)
        self._send, self._receive = trio.open_memory_channel[tuple[str, bytes]](0)
        self._failure: SwarmError | None = None

    async def read(self, beside: AttachedProcess, ended: trio.Event) -> None:
        """Read both, until they have ended. ended: is set when the container's own output has."""
        try:
            with ungrouped():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._copy, beside, "stderr")
                    await self._copy(self.process, "stdout")
                    ended.set()
        except SwarmError as exc:
            self._failure = exc
        finally:
            self._send.close()

    async def _copy(self, process: AttachedProcess, name: str) -> None:
        while (received := await process.receive()) is not None:
            await self._send.send((name, received[1]))

    async def receive(self) -> tuple[str, bytes] | None:
        """See `AttachedProcess`."""
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            if self._failure is not None:
                raise self._failure from None
            return None
