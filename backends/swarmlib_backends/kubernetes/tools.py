"""Commands of swarmlib's own that run in containers, by the tools in `/.swarm`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from swarmlib import BadAnswer, TooLarge, Unsupported
from swarmlib.errors import ungrouped

from .attach import remote
from .cluster import Cluster
from .container import PodContainer
from .pods import names
from .streams.remote import RemoteCommand

_LARGEST: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class Ran:
    """What a command has written, and its exit code; None if its container ended before that was known."""

    code: int | None
    output: bytes
    errors: bytes


def check_tools(cluster: Cluster, what: str) -> None:
    """Raise `Unsupported` where Pods get no tools, naming what can't be done without them."""
    if cluster.options.tools == "never":
        raise Unsupported(f"{what} needs swarmlib's tools in the Pod, which --tools never forbids")


async def run(
    cluster: Cluster,
    container: PodContainer,
    words: Sequence[str],
    what: str,
    on_output: Callable[[bytes], None] = lambda _: None,
) -> Ran:
    """Run a command in a container to its end.

    what: names the operation in errors. on_output: is called with each piece of what it writes.

    Raises:
        Unsupported: the container has no tools. TooLarge: it writes too much. SwarmError: the cluster's error.
    """
    check_tools(cluster, what)
    written: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    size = 0
    async with remote(cluster, container, RemoteCommand("exec", names.MAIN, tuple(words))) as process:
        while (received := await process.receive()) is not None:
            stream, data = received
            written[stream].append(data)
            on_output(data)
            size += len(data)
            if size > _LARGEST:
                raise TooLarge(f"{what}: the answer of the container is longer than {_LARGEST} bytes")
        return Ran(process.exit_code, b"".join(written["stdout"]), b"".join(written["stderr"]))


async def run_or_end(
    cluster: Cluster,
    container: PodContainer,
    words: Sequence[str],
    what: str,
    on_output: Callable[[bytes], None] = lambda _: None,
) -> Ran:
    """Run a command as `run` does, at most until the Pod's processes have ended: then its exit code is None."""
    ran = Ran(None, b"", b"")
    with ungrouped():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancelling, container.pod_ended, nursery.cancel_scope)
            ran = await run(cluster, container, words, what, on_output)
            nursery.cancel_scope.cancel()
    return ran


async def _cancelling(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def check_run(cluster: Cluster, container: PodContainer, words: Sequence[str], what: str) -> bytes:
    """Run a command as `run` does, and return its output.

    Raises:
        BadAnswer: it fails; otherwise as `run`.
    """
    ran = await run(cluster, container, words, what)
    if ran.code:
        said = ran.errors.decode("utf-8", "replace").strip()
        raise BadAnswer(f"{what} failed in the Pod of {container.name} with the exit code {ran.code}: {said}")
    return ran.output
