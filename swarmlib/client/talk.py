"""The whole conversation with a program: its input is sent while its output is collected."""

from __future__ import annotations

import trio

from ..errors import Unavailable, ungrouped
from .multiplexed import Demultiplexer


async def talk(stream: trio.abc.HalfCloseableStream, stdin: bytes | None, *, tty: bool) -> tuple[bytes, bytes]:
    """Send a program its input while collecting its output, until it ends, and close the stream.

    Raises:
        Unavailable: the stream broke off.
    """
    frames = Demultiplexer(tty=tty)
    output = {"stdout": bytearray(), "stderr": bytearray()}
    with ungrouped():
        async with stream, trio.open_nursery() as nursery:
            if stdin is not None:
                nursery.start_soon(_feed, stream, stdin)
            try:
                async for data in stream:
                    for name, piece in frames.feed(bytes(data)):
                        output[name] += piece
                frames.end()
            except trio.BrokenResourceError as exc:
                raise Unavailable(f"the program's output broke off: {exc}") from exc
            nursery.cancel_scope.cancel()
    return bytes(output["stdout"]), bytes(output["stderr"])


async def _feed(stream: trio.abc.HalfCloseableStream, stdin: bytes) -> None:
    try:
        await stream.send_all(stdin)
        await stream.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # the program has closed its stdin, or ended; its output still counts
