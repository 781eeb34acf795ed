"""Calls by httpx that are cancelled at the moment when their connection has been made."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpcore
import pytest
import trio


@contextmanager
def cancelled_once_connected() -> Generator[None]:
    """Cancel the call that the body makes, as soon as it is connected. Fails if it was not cancelled."""
    send = httpcore.AsyncHTTP11Connection.handle_async_request

    async def cancelled_first(connection: httpcore.AsyncHTTP11Connection, request: httpcore.Request) -> Any:
        scope.cancel()
        return await send(connection, request)

    with trio.CancelScope() as scope, pytest.MonkeyPatch.context() as patched:
        patched.setattr(httpcore.AsyncHTTP11Connection, "handle_async_request", cancelled_first)
        yield
    assert scope.cancelled_caught
