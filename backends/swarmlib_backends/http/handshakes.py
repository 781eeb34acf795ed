"""Closes connections that httpx forgets. Only backends that use httpx import this."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import trio


@asynccontextmanager
async def closing_unfinished() -> AsyncGenerator[dict[str, Any]]:
    """Give the extensions with which a request is sent; if that fails, the connections made for it are closed.

    httpcore closes those that it has finished. One whose TLS handshake is cancelled it leaves to the garbage collector.
    """
    made: list[Any] = []

    async def note(event: str, details: dict[str, Any]) -> None:
        if event.endswith(".connect_tcp.complete"):
            made.append(details["return_value"])

    try:
        yield {"trace": note}
    except BaseException:
        with trio.CancelScope(shield=True):  # closing a socket does not block
            for stream in made:
                await stream.aclose()
        raise
