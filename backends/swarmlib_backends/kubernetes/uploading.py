"""Bytes that are sent to commands in Pods, such as a tar that is unpacked there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import trio

from swarmlib.errors import ungrouped

from .attach import remote
from .cluster import Cluster
from .container import PodContainer
from .streams.remote import RemoteCommand, RemoteProcess

_MOST_ERRORS: Final = 4096
"""Bytes of a command's complaints that are kept."""


async def upload(
    cluster: Cluster, container: PodContainer, command: RemoteCommand, pieces: AsyncIterator[bytes]
) -> tuple[int | None, bytes]:
    """Run a command with an input; returns its exit code and the end of what it has written.

    Raises:
        SwarmError: what giving the pieces raises, or the cluster's error.
    """
    errors = b""
    with ungrouped():
        async with remote(cluster, container, command) as process, trio.open_nursery() as sending:
            sending.start_soon(_send, pieces, process)
            while (received := await process.receive()) is not None:
                errors = (errors + received[1])[-_MOST_ERRORS:]
            sending.cancel_scope.cancel()
    return process.exit_code, errors


async def _send(pieces: AsyncIterator[bytes], process: RemoteProcess) -> None:
    """Send all pieces, or what the process reads of them before its end."""
    with suppress(trio.BrokenResourceError):
        async for piece in pieces:
            await process.send(piece)
        await process.end_input()
