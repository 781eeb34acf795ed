"""Tenants over one engine, each with a client of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from swarmlib import Client, Filter, Meta, Request, Sender
from swarmlib_backends.tenant import Tenant

FILE = """
[clients.a]
users = [1]
[clients.b]
users = [2]
[tenant.alice]
clients = ["a"]
images = ["busybox"]
[tenant.bob]
clients = ["b"]
images = ["busybox"]
"""


@dataclass
class As(Filter):
    """Sends requests on as those of a caller."""

    caller: str

    async def send(self, request: Request) -> None:
        await self.next.send(request.replace(meta=Meta(self.caller)))


@asynccontextmanager
async def tenants(engine: Sender, folder: Path, text: str = FILE) -> AsyncGenerator[tuple[Client, Client]]:
    """Clients of alice and of bob."""
    file = folder / "tenants.toml"
    file.write_text(text)
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(Tenant(file).open(engine))
        one, two = [await stack.enter_async_context(As(caller).open(stage)) for caller in ("uid:1", "uid:2")]
        yield Client(one), Client(two)
