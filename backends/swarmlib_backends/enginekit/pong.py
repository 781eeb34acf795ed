"""The answer to a ping."""

from __future__ import annotations

from typing import Final

from swarmlib import Json, ReplySender

from ..dockerapi.versions import API_VERSION

_PONG: Final = [
    (b"Content-Type", b"text/plain; charset=utf-8"),
    (b"Api-Version", API_VERSION.encode()),
    (b"Docker-Experimental", b"false"),
    (b"Ostype", b"linux"),
    (b"Cache-Control", b"no-cache, no-store, must-revalidate"),
    (b"Pragma", b"no-cache"),
]


async def pong(reply: ReplySender) -> None:
    """Answer a ping."""
    await reply.set(Json(b"OK"), details={"headers": _PONG})
    await reply.ack()
