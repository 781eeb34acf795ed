"""The edge of a chain that a wire peer reaches: only requests in canonical form enter."""

from __future__ import annotations

import trio

from swarmlib import Request, Sender

from .dockerapi.canonical import canonical


class Edge(trio.abc.SendChannel[Request]):
    """The channel to a chain for requests from the wire. It must not close the chain, which belongs to its opener."""

    def __init__(self, service: Sender) -> None:
        self._service = service

    async def send(self, value: Request) -> None:
        """Send a request in its canonical form.

        Raises:
            Invalid: the request has none: a parameter or the body is invalid.
        """
        await self._service.send(canonical(value))

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""
