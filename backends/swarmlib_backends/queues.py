"""The queues of stages as the operator sees them: how many wait in each, for the figures of a chain."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from swarmlib import Request, Server
from swarmlib.chain import place

from .control import offering

KIND: Final = "queues"
"""The kind of objects that is offered: where the stage stands, as `swarmlib.chain.place` says, and the length."""


@asynccontextmanager
async def counted(stage: str, length: Callable[[], int]) -> AsyncGenerator[None]:
    """Tell the operator how many wait in the queue of the stage that enters this while it opens."""
    chain, number = place()
    async with offering(KIND, _Queue(stage, chain, number, length), needed=False):
        yield


@dataclass
class _Queue(Server):
    stage: str
    chain: str
    number: int
    length: Callable[[], int]

    async def ls(self, _: Request) -> list[dict[str, Any]]:
        """List the one queue."""
        return [{"stage": self.stage, "chain": self.chain, "place": self.number, "length": self.length()}]
