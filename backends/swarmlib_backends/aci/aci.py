"""The backend `aci`: the container groups of a resource group as a Docker engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module

import trio

from swarmlib import Backend, Invalid, Sender

from .options import AciOptions


@dataclass
class Aci(AciOptions, Backend):
    """Azure Container Instances as a Docker engine: each container is a container group, billed by the second.

    It is for batch jobs and for bursts behind `balance`. There is no machine, and so no build, cp, pause or signals; a
    container's command has no stdin, and a port is published under its own number.
    """

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        """See `Backend.open`.

        Raises:
            Invalid: the SDK isn't installed; or as `azure.client.connected`.
        """
        try:
            await trio.to_thread.run_sync(import_module, f"{__package__}.engine")  # takes seconds: others go on
            from .engine import Engine
        except ModuleNotFoundError as exc:
            raise Invalid(f"aci requires the SDK: pip install 'swarmlib[azure]' ({exc})", backend=self.name) from exc
        async with Engine(self).open(next) as sender:
            yield sender
