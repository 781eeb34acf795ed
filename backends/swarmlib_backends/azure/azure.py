"""The backend `azure`: it opens the machines of a resource group as workloads, or as the nodes of a balance."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from swarmlib import Backend, Sender

from ..balance import Balance
from ..extras import load
from .options import AzureOptions


@dataclass
class Azure(AzureOptions, Backend):
    """Azure's virtual machines: each a workload, or with --max or --vm each an engine whose containers are shown.

    As workloads, each spawn makes a machine, described by its labels (azure.size=…, azure.zone=…) and these options. As
    engines, machines are made when containers need them, deallocated when they are idle, and started again.
    """

    position = "last"

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        await load(f"{__package__}.engines", stage=self.name, extra="azure")

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        """See `Backend.open`.

        Raises:
            Invalid: the extra isn't installed; or as `client.connected`.
        """
        await load(f"{__package__}.engines", stage=self.name, extra="azure")
        from .engines import Engines
        from .workloads import Workloads

        stage: Backend = Workloads(self)
        if self.max or self.vm:
            stage = Balance(strategy="binpack", provisioner=Engines(self))
        async with stage.open(next) as sender:
            yield sender
