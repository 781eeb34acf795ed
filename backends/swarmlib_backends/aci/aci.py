"""The backend `aci`: the container groups of a resource group as a Docker engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from swarmlib import Backend, Sender

from ..extras import load
from .options import AciOptions


@dataclass
class Aci(AciOptions, Backend):
    """Azure Container Instances as a Docker engine: each container is a container group, billed by the second.

    It is for batch jobs and for bursts behind `balance`. There is no machine, and so no build, cp, pause or signals; a
    container's command has no stdin, and a port is published under its own number.
    """

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        await load(f"{__package__}.engine", stage=self.name, extra="azure")

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        """See `Backend.open`.

        Raises:
            Invalid: the extra isn't installed; or as `azure.client.connected`.
        """
        await load(f"{__package__}.engine", stage=self.name, extra="azure")
        from .engine import Engine

        async with Engine(self).open(next) as sender:
            yield sender
