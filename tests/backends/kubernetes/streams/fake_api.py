"""A cluster in memory that serves upgrades: what `Api` is to the streams, with a handler for each connection."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import trio
import trio.testing

from swarmlib.errors import Denied, SwarmError
from swarmlib_backends.kubernetes.fakecluster.streams import Served, handshake, serving
from swarmlib_backends.kubernetes.streams.negotiate import Dialect

Params = Sequence[tuple[str, str]]
Handler = Callable[[Served], Awaitable[None]]
ALL = tuple(Dialect)


def narrow_pair() -> tuple[trio.abc.Stream, trio.abc.Stream]:
    """A client's and a server's stream: what the server sends is not kept anywhere, and waits for the client."""
    to_client, from_server = trio.testing.lockstep_stream_one_way_pair()
    to_server, from_client = trio.testing.memory_stream_one_way_pair()
    return trio.StapledStream(to_server, from_server), trio.StapledStream(to_client, from_client)


class Upgraded:
    def __init__(self, headers: dict[str, str], stream: trio.abc.Stream) -> None:
        self.headers = httpx.Headers(headers)
        self.stream = stream


@dataclass
class FakeApi:
    """Serves each connection by `handler`. `asked` has every request for an upgrade, `errors` those that it refuses."""

    nursery: trio.Nursery
    handler: Handler
    spoken: Collection[Dialect] = ALL
    errors: dict[str, SwarmError] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    pair: Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]] = trio.testing.memory_stream_pair
    forged: dict[str, str] = field(default_factory=dict)
    open: int = 0

    @asynccontextmanager
    async def upgrade(
        self, method: str, path: str, params: Params, headers: Params, *, repeatable: bool = False
    ) -> AsyncIterator[Upgraded]:
        lower = {key.lower(): value for key, value in headers}
        kind = path.rpartition("/")[2]
        protocol = lower.get("sec-websocket-protocol") or lower["x-stream-protocol-version"]
        assert repeatable == (kind == "portforward")  # the others may have started a command
        self.asked.append((method, protocol, "&".join("=".join(pair) for pair in params)))
        if error := self.errors.get(method):
            raise error
        answer = handshake(lower, kind=kind, spoken=self.spoken)
        if answer.dialect is None:
            raise Denied(f"the cluster answered {answer.status}", details={"code": answer.status, "reason": ""})
        client, server = self.pair()
        names = ["data", "error"] if kind == "portforward" else ["error", *_names(params)]
        self.nursery.start_soon(self._serve, answer.dialect, server, names, int(dict(params).get("ports", 0)))
        self.open += 1
        try:
            yield Upgraded({**answer.headers, **self.forged}, client)
        finally:
            self.open -= 1
            await trio.aclose_forcefully(client)

    async def _serve(self, dialect: Dialect, stream: trio.abc.Stream, names: list[str], port: int) -> None:
        async with serving(dialect, stream, names, port=port) as served:
            await self.handler(served)


def _names(params: Params) -> list[str]:
    asked = {key for key, value in params if value == "true"}
    return [name for name in ("stdin", "stdout", "stderr") if name in asked] + (["resize"] if "tty" in asked else [])


SUCCESS = {"status": "Success"}


def exited(code: int) -> dict[str, object]:
    """The status of a command that ended with an exit code, as clusters send it."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
