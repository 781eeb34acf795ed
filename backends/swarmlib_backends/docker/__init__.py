"""`docker`: a Docker engine at the end of a chain. Messages become HTTP requests, by the routing table.

A new container's label swarmlib.isolation=NAME becomes its runtime (on a Windows engine its isolation); an engine that
lacks that one is no place for it, and the error says what the engine has. What --runtime and --isolation ask for is the
engine's to judge.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import trio

from swarmlib import (
    CALLER,
    Client,
    Internal,
    Invalid,
    Json,
    Message,
    Path,
    Reply,
    Server,
    SwarmError,
    TimedOut,
    TooLarge,
    Unavailable,
    Unsupported,
    Verb,
    argument,
    option,
)
from swarmlib.stdio import lines

from ..dockerapi import http1, isolation, table
from ..dockerapi.http1 import BodyStream, Head, Headers
from ..dockerapi.rows import ROWS, WHOLE, Kind, Row
from ..dockerapi.status import error_in, error_of
from .engine import ADDRESS_FORMS, Connection, Engine, open_engine
from .locate import locate

__all__ = ["Docker"]

MAX_VALUE: Final = 256 * 1024 * 1024
"""Bytes of one JSON value from an engine, at most."""
_JSON: Final = (b"Content-Type", b"application/json")
_NO_HEADERS: Final = frozenset({":version", CALLER})
_READS: Final = frozenset({Verb.LS, Verb.GET})


@dataclass
class Docker(Server):
    """A Docker engine, by unix socket, TCP, TLS, ssh or pipe; by default the one that the docker CLI would use."""

    address: str = argument(ADDRESS_FORMS, default="")
    context: str = option("a Docker context's name, instead of an address", default="")
    cert_path: str = option("a folder with ca.pem, cert.pem and key.pem: speak TLS over tcp://", default="")
    timeout: float = option("seconds that the engine may take to answer ls and get", default=60.0)

    @property
    def name(self) -> str:
        """The backend and the engine: an error must say which of many it speaks of."""
        return f"docker {self.address or self.context}".strip()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the connections to the engine."""
        async with open_engine(locate(self.address, self.context, self.cert_path)) as self._engine:
            yield

    def handlers(self) -> Mapping[Verb, Any]:
        """Every verb of the table is forwarded; `attach` is made of several of its rows."""
        return {row.verb: self._forward for row in ROWS} | {Verb.SPAWN: self._spawn, Verb.ATTACH: self._attach}

    async def _spawn(self, message: Message) -> None:
        body = _container(message)
        if isolation.demanded(body):
            about = await Client(self.inlet).get()
            message = message.but(value=Json.of(isolation.translated(body, about)))
        await self._forward(message)

    async def _forward(self, message: Message) -> None:
        row = table.row_of(message.verb, message.path, upload=message.att is not None)
        if message.verb not in _READS:
            await self._exchange(row, message)
            return
        with trio.move_on_after(self.timeout) as patience:
            await self._exchange(row, message)
        if patience.cancelled_caught:
            raise TimedOut(f"engine {self._engine.endpoint.address} did not answer within {self.timeout:g} s")

    async def _exchange(self, row: Row, message: Message) -> None:
        connection = await self._engine.connection()
        call = _Call(self, self._engine, connection, row, message)
        try:
            await call.run()
        except trio.BrokenResourceError as exc:
            if message.ret is not None and message.ret.gone:
                raise
            raise self._lost(exc) from exc
        except Unavailable as exc:
            if "status" in exc.details:  # the engine's own answer, which names what is unavailable itself
                raise
            raise self._lost(exc) from exc
        finally:
            await call.settle()

    def _lost(self, exc: Exception) -> SwarmError:
        return Unavailable(f"engine {self._engine.endpoint.address}: {exc}", backend=self.name)

    async def _attach(self, message: Message) -> None:
        """The workload's output as `log` messages, and its state when it ends."""
        if message.ret is None:
            return
        if len(message.path) != 2 or message.path[0] != "containers":
            raise Unsupported("only a container can be attached to", path=message.path)
        client = Client(self.inlet)
        details = await client.get(*message.path)
        async with await _output(client, message.path, details) as stream:
            await message.ret.ack()
            await _send_lines(stream, message.ret, tty=details["Config"]["Tty"])
        await message.ret.set((await client.get(*message.path))["State"])


def _container(message: Message) -> dict[str, Any]:
    """The body of a container's creation; {} of anything else, as of one that makes no sense: the engine says why."""
    if message.path != ("containers",):
        return {}
    try:
        body = message.json
    except Invalid:
        return {}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}


async def _output(client: Client, path: Path, details: Any) -> trio.abc.ReceiveStream:
    """All that a container writes, from its first start on."""
    if _not_started(details):  # its log would end at once
        stream = await client.connect(*path, stream=True, stdout=True, stderr=True)
        if _not_started(await client.get(*path)):
            return stream
        await trio.aclose_forcefully(stream)  # it was started in between: the beginning may be missing
    args = {"follow": "1", "stdout": "1", "stderr": "1"}
    log = (await client.call(Verb.CONNECT, (*path, "logs"), args=args)).ack.att
    if log is None:
        raise Internal(f"the logs of {path[-1]} came without a stream")
    return log


def _not_started(details: Any) -> bool:
    return bool(details["State"]["Status"] == "created")


async def _send_lines(stream: trio.abc.ReceiveStream, ret: Reply, *, tty: bool) -> None:
    async with aclosing(lines(stream, tty=tty)) as found:
        async for line in found:
            await ret.log(line.data, stream=line.stream)


class _Call:
    """One request to the engine and its response, given to the message's reply channel as the row's kind says."""

    def __init__(self, stage: Docker, engine: Engine, connection: Connection, row: Row, message: Message) -> None:
        self._name = stage.name
        self._engine = engine
        self._connection = connection
        self._row = row
        self._message = message
        self._whole = False
        self._handed_over = False

    async def run(self) -> None:
        """Send the request and relay the response."""
        message, stream = self._message, self._connection.stream
        if self._row is WHOLE:
            await self._pass_on()
            return
        if message.att is None:
            body = message.value.raw if isinstance(message.value, Json) else b""
            await stream.send_all(self._request(len(body)) + body)
            await self._relay()
            return
        await stream.send_all(self._request(None))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._upload, message.att)
            await self._relay()
            nursery.cancel_scope.cancel()

    async def _pass_on(self) -> None:
        """Send the head of a request that has no row, and hand over the connection, on which its response comes."""
        args = self._message.args
        given: Mapping[str, Sequence[str]] = args[":headers"]
        headers = [_header(f":{name}", value) for name, values in given.items() for value in values]
        ending = b"Upgrade" if "Upgrade" in given else b"close"
        headers += [(b"Host", b"docker"), (b"Connection", ending)]
        await self._connection.stream.send_all(http1.request_head(args[":method"], args[":target"], headers))
        self._handed_over = True
        if self._message.ret is not None:
            await self._message.ret.ack(att=http1.RawStream(self._connection.stream, b""))

    def _request(self, length: int | None) -> bytes:
        row, message = self._row, self._message
        headers: Headers = [(b"Host", b"docker")]
        headers += [_header(name, value) for name, value in message.args.items() if _is_header(name)]
        if length is None:
            headers.append((b"Transfer-Encoding", b"chunked"))
        elif length or row.method == "POST":
            headers += [] if ":content-type" in message.args else [_JSON]
            headers.append((b"Content-Length", b"%d" % length))
        if row.kind is Kind.HIJACK:
            protocol = b"websocket" if row.name == "ContainerAttachWebsocket" else b"tcp"
            headers += [(b"Connection", b"Upgrade"), (b"Upgrade", protocol)]
        return http1.request_head(row.method, table.target(row, message.path, message.args), headers)

    async def _upload(self, body: trio.abc.ReceiveStream) -> None:
        stream = self._connection.stream
        try:
            while data := await body.receive_some(http1.READ_SIZE):
                await stream.send_all(http1.chunk(bytes(data)))
            await stream.send_all(http1.LAST_CHUNK)
        except trio.BrokenResourceError:
            # Either the client went away, which its reply channel knows, or the engine stopped reading and is
            # about to say why. The response decides.
            await trio.sleep_forever()

    async def _relay(self) -> None:
        head = await self._connection.incoming.next_head()
        if head is None:
            raise Unavailable("the connection was closed before an answer came")
        ret = self._message.ret
        if head.status >= 400:
            await self._refused(head)
        if ret is None:
            return
        await self._by_kind(head, ret)

    async def _refused(self, head: Head) -> None:
        raise error_of(head.status, http1.end_to_end(head.headers), await self._body(head), self._name)

    async def _body(self, head: Head) -> bytes:
        """All of the response's body; after it the connection can serve the next request."""
        incoming = self._connection.incoming
        body = b""
        if self._row.method == "HEAD":
            incoming.forget_body()
        else:
            body = await incoming.body(MAX_VALUE)
        # A message's end without its body's end leaves the connection unusable; an upload cut short does too.
        self._whole = head.keep_alive and self._message.att is None
        return body

    async def _by_kind(self, head: Head, ret: Reply) -> None:
        kind = self._row.kind
        if kind is Kind.VALUE or (kind is Kind.HIJACK and head.framed and head.status != 101):
            await self._value(head, ret)
        elif kind is Kind.WATCH:
            await ret.ack(None, **self._args(head))
            async with aclosing(self._lines()) as lines:
                async for line in lines:
                    await ret.set(line)
            self._whole = head.keep_alive
        elif kind is Kind.PROGRESS:
            await self._progress(head, ret)
        elif kind is Kind.STREAM:
            self._handed_over = True
            closed = self._body_closed if head.keep_alive else self._body_cut
            body = BodyStream(self._connection.incoming, on_close=closed)
            await ret.ack(att=body, **self._args(head))
        else:
            self._handed_over = True
            raw = http1.RawStream(self._connection.stream, self._connection.incoming.take_over())
            await ret.ack(att=raw, **self._args(head, raw=True))

    def _args(self, head: Head, *, raw: bool = False) -> dict[str, Any]:
        headers = http1.end_to_end(head.headers)
        if self._row.method == "HEAD" and (length := head.get(b"content-length")) is not None:
            headers.append((b"Content-Length", length))  # of the body that isn't there
        args: dict[str, Any] = {"headers": headers}
        if head.status != self._row.status and not raw:
            args["status"] = head.status
        return args

    async def _value(self, head: Head, ret: Reply) -> None:
        body = await self._body(head)
        value = Json(body) if body else None
        if value is None or self._message.verb is Verb.SPAWN:
            await ret.ack(value, **self._args(head))
        else:
            await ret.set(value, **self._args(head))
            await ret.ack()

    async def _progress(self, head: Head, ret: Reply) -> None:
        args = self._args(head)
        async with aclosing(self._lines()) as lines:
            async for line in lines:
                error = error_in(line, self._name)
                if error is not None:
                    raise error
                await ret.set(line, **args)
                args = {}
        self._whole = head.keep_alive and self._message.att is None
        await ret.ack(**args)

    async def _lines(self) -> AsyncGenerator[Json]:
        incoming = self._connection.incoming
        partial = b""
        while data := await incoming.next_chunk():
            *whole, partial = (partial + data).split(b"\n")
            for line in whole:
                yield Json(line + b"\n")
            if len(partial) > MAX_VALUE:
                raise TooLarge(f"a value from the engine is over {MAX_VALUE} bytes")
        if partial.strip():
            yield Json(partial)

    async def _body_closed(self, body: BodyStream) -> None:
        if body.complete:
            await self._engine.keep(self._connection)
        else:
            await trio.aclose_forcefully(self._connection.stream)

    async def _body_cut(self, body: BodyStream) -> None:
        await trio.aclose_forcefully(self._connection.stream)

    async def settle(self) -> None:
        """Keep the connection for the next request, if this one was read to its end; close it if nobody else has it."""
        if self._handed_over:
            return
        if self._whole:
            await self._engine.keep(self._connection)
        else:
            await trio.aclose_forcefully(self._connection.stream)


def _is_header(name: str) -> bool:
    return name.startswith(":") and name not in _NO_HEADERS


def _header(name: str, value: Any) -> tuple[bytes, bytes]:
    text = str(value)
    if any(ord(c) < 32 for c in text):
        raise Unsupported(f"the header {name[1:]} holds a control character")
    return name[1:].title().encode("latin-1"), text.encode("latin-1")
