"""The backend `azure`: it opens the machines of a resource group as workloads, or as the nodes of a balance."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module

import trio

from swarmlib import Backend, Invalid, Sender

from ..balance import Balance
from .options import AzureOptions


@dataclass
class Azure(AzureOptions, Backend):
    """Azure's virtual machines: each a workload, or with --max or --vm each an engine whose containers are shown.

    As workloads, each spawn makes a machine, described by its labels (azure.size=…, azure.zone=…) and these options. As
    engines, machines are made when containers need them, deallocated when they are idle, and started again.
    """

    position = "last"

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        """See `Backend.open`.

        Raises:
            Invalid: the SDK isn't installed; or as `client.connected`.
        """
        try:
            await trio.to_thread.run_sync(import_module, f"{__package__}.engines")  # takes seconds: others go on
            from .engines import Engines
            from .workloads import Workloads
        except ModuleNotFoundError as exc:
            raise Invalid(f"azure requires the SDK: pip install 'swarmlib[azure]' ({exc})", backend=self.name) from exc
        stage: Backend = Workloads(self)
        if self.max or self.vm:
            stage = Balance(strategy="binpack", provisioner=Engines(self))
        async with stage.open(next) as sender:
            yield sender
