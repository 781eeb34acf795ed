"""Which of the protocols for streams a cluster speaks, found by trying, and remembered.

Clusters from 1.30 on speak WebSocket v5 for exec and attach, those from 1.31 on a tunnel for port-forward. All speak
SPDY, though some proxies in front of them do not. WebSocket v4 comes last, since it can't end one direction alone.

Each protocol is offered alone. An older cluster to which v5 and v4 are offered together takes v4, and starts the
command at once, so that choosing SPDY afterwards would run it twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum, auto
from typing import Final, TypeAlias

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


Params: TypeAlias = Sequence[tuple[str, str]]
Protocols: TypeAlias = Mapping[Dialect, str]
"""Dialects, the best one first, with the names by which they are asked for."""

COMMAND: Final[Protocols] = {
    Dialect.V5: "v5.channel.k8s.io",
    Dialect.SPDY: "v4.channel.k8s.io",
    Dialect.V4: "v4.channel.k8s.io",
}
"""Those of exec and attach."""
FORWARD: Final[Protocols] = {
    Dialect.TUNNEL: "SPDY/3.1+portforward.k8s.io",
    Dialect.SPDY: "portforward.k8s.io",
    Dialect.V4: "v4.channel.k8s.io",
}
"""Those of port-forward."""


class Dialects:
    """What one cluster speaks. A backend has one, so that it tries once only."""

    def __init__(self) -> None:
        self._unspoken: set[Dialect] = set()

    @asynccontextmanager
    async def upgraded(
        self,
        api: Api,
        path: str,
        params: Params,
        protocols: Protocols,
        *,
        v4: Params = (),
        repeatable: bool = False,
    ) -> AsyncGenerator[tuple[Dialect, trio.abc.Stream]]:
        """Upgrade a connection to the first of some dialects that the cluster speaks.

        A dialect counts as not spoken if it is refused where another one is accepted, and no right was missing.

        v4: the parameters that WebSocket v4 needs besides.
        repeatable: as in `Api.upgrade`.

        Raises:
            SwarmError: the apiserver's error; that of the last dialect if it refuses all.
        """
        refused: set[Dialect] = set()
        *_, last = protocols
        async with AsyncExitStack() as stack:
            for dialect in [dialect for dialect in protocols if dialect not in self._unspoken]:
                asked = [*params, *(v4 if dialect is Dialect.V4 else ())]
                upgrading = _upgraded(api, path, asked, dialect, protocols[dialect], repeatable=repeatable)
                try:
                    stream = await stack.enter_async_context(upgrading)
                except SwarmError as exc:
                    if dialect is last or exc.details.get("code") not in _UNSPOKEN:
                        raise
                    if reason_of(exc) != "Forbidden":
                        refused.add(dialect)
                else:
                    self._unspoken |= refused
                    yield dialect, stream
                    return


@asynccontextmanager
async def _upgraded(
    api: Api, path: str, params: Params, dialect: Dialect, protocol: str, *, repeatable: bool
) -> AsyncGenerator[trio.abc.Stream]:
    """Upgrade a connection to one dialect, and check that the answer says so."""
    if dialect is Dialect.SPDY:
        method, name, protocol_header = "POST", "SPDY/3.1", "X-Stream-Protocol-Version"
        asked, expected = list[tuple[str, str]](), dict[str, str]()
    else:
        nonce = generate_nonce()
        method, name, protocol_header = "GET", "websocket", "Sec-WebSocket-Protocol"
        asked = [("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", nonce.decode())]
        expected = {"Sec-WebSocket-Accept": generate_accept_token(nonce).decode()}
    headers = [("Connection", "Upgrade"), ("Upgrade", name), (protocol_header, protocol), *asked]
    async with api.upgrade(method, path, params, headers, repeatable=repeatable) as upgraded:
        for key, value in {protocol_header: protocol, **expected}.items():
            if upgraded.headers.get(key) != value:
                raise BadAnswer(f"the cluster accepted {protocol} with a wrong header {key}: {path}")
        yield upgraded.stream
