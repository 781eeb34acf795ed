"""The stage `metrics`: it serves figures, health and readiness by HTTP, and forwards every request as it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final

from swarmlib import Filter, argument, option
from swarmlib.net.address import Address
from swarmlib.net.listening import Risk
from swarmlib.options import Reader

from .. import control
from ..http.serving import Answer, Request
from ..observe import engines
from ..observe.endpoint import Endpoint
from ..observe.observation import observed
from .exposition import exposition
from .families import snapshot

_RISK: Final = Risk("read the figures", "scrape it through a proxy with TLS")


class _Address(Address):
    schemes = ("tcp", "unix")


@dataclass
class Metrics(Filter):
    """Serves figures of the whole chain for Prometheus (`/metrics`), `/health` and `/ready`.

    /health answers 200 while the chain is open. /ready answers 200 if an engine of the chain answers, else 503, and
    names each engine's trouble. It may stand anywhere behind the source of a chain that swarmd runs.

    metrics tcp://127.0.0.1:9323
    """

    address: Annotated[str | Address, Reader(_Address.read)] = argument(
        "address to listen on: tcp://HOST:PORT or unix:///PATH"
    )
    insecure: bool = option("let other machines read the figures", default=False)
    allow_host: list[str] = option(
        "name that clients may use for this server (header Host)", default=[], metavar="HOST"
    )

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        self._address = _Address.read(self.address)

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        self._endpoint().check()

    def _endpoint(self) -> Endpoint:
        return Endpoint(self.name, self._address, self.allow_host, self.insecure, _RISK)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Serve."""
        self._observation = observed(self.name)
        self._desk = control.current()
        async with self._endpoint().serving(self._answer):
            yield

    async def _answer(self, request: Request, _: str) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return Answer(405, {"error": "expected GET"}, {"Allow": "GET, HEAD"})
        match request.path:
            case "/metrics":
                content_type, body = exposition(await snapshot(self._observation, self._desk), request.headers)
                return Answer(200, body, {"Content-Type": content_type})
            case "/health":
                return Answer(200, {"status": "ok"})
            case "/ready":
                return await self._ready()
            case _:
                return Answer(404, {"error": "expected /metrics, /health or /ready"})

    async def _ready(self) -> Answer:
        found = await engines.engines(self._observation, self._desk)
        ready = any(each["up"] for each in found)
        told = [{"name": each["name"], "up": each["up"], "trouble": each["trouble"]} for each in found]
        return Answer(200 if ready else 503, {"ready": ready, "engines": told})
