"""The errors that end calls: how they are sent when a stage fails, is closed, or drops a request."""

from __future__ import annotations

import logging

import trio

from .errors import Internal, SwarmError, Unavailable, sole
from .reply_channel import CLEANUP_SECONDS, ReplySender
from .request import Request
from .verbs import CONVERSATIONS

_log = logging.getLogger(__name__)


async def refuse(request: Request, error: SwarmError) -> None:
    """Send `error` as the final reply, if a caller still waits for one, and end the replies. In a conversation that
    has begun, it says that the conversation broke off.

    The reply must get through even when the sender is cancelled, so it is shielded, for `CLEANUP_SECONDS` at most.
    """
    if not request.reply.gone:
        await break_off(request.reply, error, begun=request.verb in CONVERSATIONS)


async def end_dropped(request: Request, by: str) -> None:
    """End the call of a request that the stage named `by` neither answered, nor forwarded, nor keeps."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
        await request.reply.abandon(by)


async def break_off(reply: ReplySender, error: SwarmError, *, begun: bool) -> None:
    """End the replies of a call, with `error` unless it had its final reply. It is shielded as `refuse` is.

    begun: the call is a conversation, which `error` ends after its `ack` too.
    """
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
        try:
            if not reply.answered or (begun and not reply.over):
                await reply.error(error)
            await reply.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the caller disconnected meanwhile


def as_error(exc: Exception, backend: str, request: Request) -> SwarmError:
    """Convert `exc` to the error for the caller: an expected failure stays as it is; a bug is logged as `internal`."""
    found = sole(exc)
    if isinstance(found, trio.BrokenResourceError) and isinstance(found.__cause__, SwarmError):
        found = found.__cause__  # the reason why a stream that the stage was given broke, such as an upload
    if isinstance(found, SwarmError):
        found.backend = found.backend or backend
        found.path = found.path or request.path
        return found
    if request.reply.gone and isinstance(found, trio.BrokenResourceError | trio.ClosedResourceError):
        return Unavailable("the caller disconnected", backend=backend)
    where = backend or "a stage of this chain"
    _log.error("%s failed at %s %s", where, request.verb, "/".join(request.path), exc_info=exc)
    return Internal(f"a bug in {where}: {type(found).__name__}: {found}", backend=backend, path=request.path)


def closed(stage: str) -> SwarmError:
    """Return the error of a stage, of this name, that is closed."""
    return Unavailable(f"{stage} is closed", backend=stage)
