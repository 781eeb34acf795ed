"""Which of the protocols for streams a cluster speaks, found by trying, and remembered.

Clusters from 1.30 on speak WebSocket v5 for exec and attach, those from 1.31 on a tunnel for port-forward. All speak
SPDY, though some proxies in front of them do not. WebSocket v4 comes last, since it can't end one direction alone.

Each protocol is offered alone. An older cluster to which v5 and v4 are offered together takes v4, and starts the
command at once, so that choosing SPDY afterwards would run it twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum, auto
from typing import Final, NamedTuple

import trio
from wsproto.utilities import generate_accept_token, generate_nonce

from swarmlib.errors import BadAnswer, SwarmError

from ..api.client import Api
from ..api.errors import reason_of

_UNSPOKEN: Final = frozenset({400, 403, 405, 426, 501})
"""The statuses with which a server or a proxy may refuse a protocol. 403 is also a missing right."""


class Dialect(Enum):
    """A protocol that carries the channels of an exec, attach or port-forward."""

    V5 = auto()
    TUNNEL = auto()
    SPDY = auto()
    V4 = auto()


class Offer(NamedTuple):
    """A dialect, the name by which it is asked for, and the parameters that it needs besides."""

    dialect: Dialect
    protocol: str
    params: Sequence[tuple[str, str]] = ()


class Dialects:
    """What one cluster speaks. A backend has one, so that it tries once only."""

    def __init__(self) -> None:
        self._unspoken: set[Dialect] = set()

    @asynccontextmanager
    async def upgraded(
        self, api: Api, path: str, params: Sequence[tuple[str, str]], offers: Sequence[Offer]
    ) -> AsyncGenerator[tuple[Dialect, trio.abc.Stream]]:
        """Upgrade a connection to the first of some dialects that the cluster speaks.

        A dialect counts as not spoken if it is refused where another one is accepted, and no right was missing.

        Raises:
            SwarmError: the apiserver's error; that of the last offer if it refuses all.
        """
        refused: set[Dialect] = set()
        async with AsyncExitStack() as stack:
            for offer in [offer for offer in offers if offer.dialect not in self._unspoken]:
                try:
                    stream = await stack.enter_async_context(_upgraded(api, path, params, offer))
                except SwarmError as exc:
                    if offer is offers[-1] or exc.details.get("code") not in _UNSPOKEN:
                        raise
                    if reason_of(exc) != "Forbidden":
                        refused.add(offer.dialect)
                else:
                    self._unspoken |= refused
                    yield offer.dialect, stream
                    return


@asynccontextmanager
async def _upgraded(
    api: Api, path: str, params: Sequence[tuple[str, str]], offer: Offer
) -> AsyncGenerator[trio.abc.Stream]:
    """Upgrade a connection to one dialect, and check that the answer says so."""
    if offer.dialect is Dialect.SPDY:
        method, name, protocol_header, expected = "POST", "SPDY/3.1", "X-Stream-Protocol-Version", {}
        asked: list[tuple[str, str]] = []
    else:
        nonce = generate_nonce()
        method, name, protocol_header = "GET", "websocket", "Sec-WebSocket-Protocol"
        expected = {"Sec-WebSocket-Accept": generate_accept_token(nonce).decode()}
        asked = [("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", nonce.decode())]
    headers = [("Connection", "Upgrade"), ("Upgrade", name), (protocol_header, offer.protocol), *asked]
    async with api.upgrade(method, path, [*params, *offer.params], headers) as upgraded:
        for key, value in {protocol_header: offer.protocol, **expected}.items():
            if upgraded.headers.get(key) != value:
                raise BadAnswer(f"the cluster accepted {offer.protocol} with a wrong header {key}: {path}")
        yield upgraded.stream
