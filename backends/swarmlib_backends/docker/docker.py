"""`docker`: a Docker engine at the end of a chain. Requests become HTTP requests, by the routing table.

A new container's label swarmlib.isolation=NAME becomes its runtime (on a Windows engine its isolation). An engine that
does not have it refuses the container, and the error says what the engine has. --runtime and --isolation are left to
the engine.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import trio

from swarmlib import (
    BadAnswer,
    Chain,
    Client,
    Internal,
    Invalid,
    Json,
    Path,
    ReplySender,
    Request,
    Server,
    TimedOut,
    Unavailable,
    Unsupported,
    Verb,
    argument,
    option,
)
from swarmlib.client.multiplexed import lines
from swarmlib.quantities import Duration

from ..dockerapi import isolation, patience, table
from ..dockerapi.canonical import canonical
from ..dockerapi.rows import ROWS, Row
from ..introductions import introduction
from .engine import ADDRESS_FORMS, Endpoint, open_engine
from .exchange import EngineExchange
from .locate import locate
from .response import NoAnswer

_SPAWN: Final = Verb.SPAWN
_CONTAINERS: Final[Path] = ("containers",)
_READS: Final = frozenset({Verb.LS, Verb.GET})
_SAFE: Final = frozenset({"GET", "HEAD"})
"""The methods that change nothing (RFC 9110, 9.2.1)."""


@dataclass
class Docker(Server):
    """A Docker engine, reached by unix socket, TCP, TLS, ssh or pipe; by default the one that the docker CLI uses."""

    position = "last"

    address: str = argument(ADDRESS_FORMS, default="")
    context: str = option("Docker context to use instead of an address", default="", metavar="NAME")
    cert_path: str = option(
        "folder with ca.pem, cert.pem and key.pem; use TLS over tcp://", default="", metavar="FOLDER"
    )
    timeout: Duration = option("how long the engine may take to answer ls and get, except for sizes", default=60.0)
    ssh_options: Mapping[str, str] = field(default_factory=dict[str, str], repr=False, kw_only=True)
    """Further options for ssh, as in its configuration."""

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if self.timeout <= 0:
            raise Invalid("--timeout must be above 0")
        if self.address:
            Endpoint(self.address).check()

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        self._endpoint().check()

    @property
    def endpoints(self) -> Sequence[str]:
        """See `Backend.endpoints`."""
        return [self._endpoint().address]

    async def greet(self) -> str:
        """See `Backend.greet`."""
        async with Chain(self).open() as sender:
            return await introduction(sender, self.name)

    def _endpoint(self) -> Endpoint:
        return replace(locate(self.address, self.context, self.cert_path), ssh_options=self.ssh_options)

    @property
    def name(self) -> str:
        """The backend and the engine, as an error must say which of many it concerns."""
        return f"docker {self.address or self.context}".strip()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the connections to the engine open."""
        self._clock, self._own_name = trio.lowlevel.current_clock(), self.name
        async with open_engine(self._endpoint()) as self._engine:
            yield

    def handlers(self) -> Mapping[Verb, Any]:
        """Forward every verb of the table; `attach` combines several of its rows."""
        return {row.verb: self._forward for row in ROWS} | {Verb.ATTACH: self._attach}

    async def _forward(self, request: Request) -> None:
        request = canonical(request)
        if request.verb is _SPAWN and request.path == _CONTAINERS:
            request = await self._isolated(request)
        row = table.row_of(request.verb, request.path, upload=request.upload is not None)
        if request.verb not in _READS:
            await self._exchange(row, request, math.inf)
            return
        limit = patience.seconds(request.verb, request.path, request.params, self.timeout)
        due = self._clock.current_time() + limit
        try:
            await self._exchange(row, request, due)
        except Unavailable as exc:
            if self._clock.current_time() < due:
                raise
            raise TimedOut(f"{self._engine.name} did not answer within {limit:g} s") from exc

    async def _isolated(self, request: Request) -> Request:
        """Translate what a new container's label demands into the engine's own fields."""
        body = _container(request)
        if not isolation.demanded(body):
            return request
        about = _Told(await Client(self.inlet).get(), self._engine.name)
        if about.fields.get("Runtimes") is not None:
            about.check("Runtimes", dict)
        return request.replace(body=Json.from_data(isolation.translated(body, about.fields)))

    async def _exchange(self, row: Row, request: Request, due: float) -> None:
        """Have a request answered, until `due` on trio's clock. Raise Unavailable if that has passed."""
        connection = await self._engine.connection(due)
        try:
            await EngineExchange(self._engine, connection, self._own_name, row, request).run()
        except NoAnswer:
            # The engine may have just closed a connection that was kept. Only requests that change nothing are retried:
            # nobody knows whether the engine has carried out any other.
            if not connection.reused or row.method not in _SAFE:
                raise
            fresh = await self._engine.connection(due, fresh=True)
            await EngineExchange(self._engine, fresh, self._own_name, row, request).run()

    async def _attach(self, request: Request) -> None:
        """Send the workload's output as `log` replies, and its state when it ends."""
        if len(request.path) != 2 or request.path[0] != "containers":
            raise Unsupported("attach is supported only for containers", path=request.path)
        client = Client(self.inlet)
        details = _Told(await client.get(*request.path), self._engine.name)
        tty = details.of("Config", "Tty", bool)
        try:
            async with await self._output(client, request.path, details) as stream:
                await request.reply.ack()
                await _send_lines(stream, request.reply, tty=tty)
        except trio.BrokenResourceError as exc:
            if request.reply.gone:
                raise
            raise Unavailable(f"the output of {request.path[1]} broke off: {exc}") from exc
        ended = _Told(await client.get(*request.path), self._engine.name)
        await request.reply.set(ended.check("State", dict))

    async def _output(self, client: Client, path: Path, details: _Told) -> trio.abc.ReceiveStream:
        """Open the stream of all that a container writes, from its first start on."""
        if _not_started(details):  # its log would end at once
            stream = await client.connect(*path, stream=True, stdout=True, stderr=True)
            if _not_started(_Told(await client.get(*path), self._engine.name)):
                return stream
            await trio.aclose_forcefully(stream)  # it was started in between: the beginning may be missing
        params = {"follow": "1", "stdout": "1", "stderr": "1"}
        log = (await client.call(Verb.CONNECT, (*path, "logs"), params=params)).ack.stream
        if log is None:
            raise Internal(f"the answer to logs of {path[-1]} has no stream")
        return log


class _Told:
    """An engine's description of itself or of an object, read with the types that the Engine API gives it.

    Every method raises BadAnswer if a value has another type.
    """

    def __init__(self, value: Any, whose: str) -> None:
        self._whose = whose
        self.fields = cast("dict[str, Any]", self._typed("its answer", value, dict))

    def check(self, name: str, kind: Any) -> Any:
        """Return a field, which must have this type."""
        return self._typed(name, self.fields.get(name), kind)

    def of(self, name: str, field: str, kind: Any) -> Any:
        """Return a field of an object that is itself a field."""
        return self._typed(f"{name}.{field}", self.check(name, dict).get(field), kind)

    def _typed(self, name: str, value: Any, kind: Any) -> Any:
        if not isinstance(value, kind):
            raise BadAnswer(f"{self._whose}: {name} is {type(value).__name__}, which is not its type in the Engine API")
        return value


def _container(request: Request) -> dict[str, Any]:
    """Return the body of a container's creation; {} for a malformed one, which the engine refuses."""
    try:
        body = request.json
    except Invalid:
        return {}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}


def _not_started(details: _Told) -> bool:
    return bool(details.of("State", "Status", str) == "created")


async def _send_lines(stream: trio.abc.ReceiveStream, reply: ReplySender, *, tty: bool) -> None:
    async with aclosing(lines(stream, tty=tty)) as found:
        async for line in found:
            await reply.log(line.data, details={"stream": line.stream})
