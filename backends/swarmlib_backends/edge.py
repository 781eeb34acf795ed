"""The edge of a chain that a wire peer reaches: nothing goes in but requests in canonical form."""

from __future__ import annotations

import trio

from swarmlib import Request, Sender

from .dockerapi.canonical import canonical


class Edge(trio.abc.SendChannel[Request]):
    """The way to a chain for what comes over the wire. The chain is its opener's to close."""

    def __init__(self, service: Sender) -> None:
        self._service = service

    async def send(self, value: Request) -> None:
        """Send a request in its canonical form.

        Raises:
            Invalid: it has none: a parameter or the body is wrong.
        """
        await self._service.send(canonical(value))

    async def aclose(self) -> None:
        """Nothing of its own to close."""
