"""Sends the byte stream that goes with a message: a task carries it over the session until it ends."""

from __future__ import annotations

import logging
from contextlib import suppress

import trio

from ..pieces import PIECE, send_pieces
from ..reply_channel import CLEANUP_SECONDS
from ..supervision import supervised
from .driver import Driver
from .references import RefKind
from .stream_endpoint import StreamEndpoint

_log = logging.getLogger(__name__)


def kind_of(stream: trio.abc.ReceiveStream) -> RefKind:
    """Return how a message refers to a stream: one that can be half closed goes in both directions."""
    return RefKind.DUPLEX if isinstance(stream, trio.abc.HalfCloseableStream) else RefKind.STREAM


def send_stream(driver: Driver, stream: trio.abc.ReceiveStream | None, id: int | None) -> None:
    """Start to send the stream of a message, if it has one. id: the number of the stream."""
    if stream is not None and id is not None:
        driver.nursery.start_soon(supervised, "an attached stream", _pump, stream, StreamEndpoint(driver, id))


async def _pump(stream: trio.abc.ReceiveStream, end: StreamEndpoint) -> None:
    """Carry a stream over the session until it ends, breaks, or the other side needs no more of it; then close it."""
    outward, inward = trio.CancelScope(), trio.CancelScope()

    def done_with() -> None:
        outward.cancel()
        inward.deadline = trio.current_time() + CLEANUP_SECONDS  # what came before still goes to the stream

    end.when_reset(done_with)
    try:
        async with trio.open_nursery() as nursery:
            if isinstance(stream, trio.abc.HalfCloseableStream):
                nursery.start_soon(_carry_in, end, stream, inward)
            with outward:
                reason = await _carry_out(stream, end)
                if reason is not None:
                    end.break_off(reason)
                    nursery.cancel_scope.cancel()
    finally:
        end.close()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
            await stream.aclose()


async def _carry_out(stream: trio.abc.ReceiveStream, end: StreamEndpoint) -> str | None:
    """Carry the bytes to the peer; return why that failed, or None."""
    try:
        while data := await stream.receive_some(PIECE):
            await end.send(bytes(data))
        end.end()
    except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
        return str(exc) or type(exc).__name__
    except Exception as exc:  # noqa: BLE001 - an attachment is a backend's: its bug must not end the session
        _log.error("an attachment failed", exc_info=exc)
        return f"a bug: {type(exc).__name__}: {exc}"
    return None


async def _carry_in(end: StreamEndpoint, stream: trio.abc.HalfCloseableStream, scope: trio.CancelScope) -> None:
    with scope:
        try:
            await _copy_in(end, stream)
            while await end.receive():
                pass  # it reads no more; what it has still to say goes on, as with a program that closed its stdin
        except trio.BrokenResourceError:
            pass


async def _copy_in(end: StreamEndpoint, stream: trio.abc.HalfCloseableStream) -> None:
    while pieces := await end.receive_pieces():
        try:
            await send_pieces(stream, pieces)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        except Exception as exc:  # noqa: BLE001 - as above
            _log.error("an attachment failed", exc_info=exc)
            return
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await stream.send_eof()
