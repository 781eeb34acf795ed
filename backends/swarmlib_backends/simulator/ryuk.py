"""Ryuk, with which Testcontainers cleans up: it removes what its clients have named, once they have all gone.

A client connects to its port, and sends lines. Each is a query such as `label=a%3Db&label=c`, which are filters of the
Engine API, and is answered with `ACK`. When no client has been there for a while, all that fits one of the lines is
removed. It is as https://github.com/testcontainers/moby-ryuk, but takes a bounded number of clients and of
lines: one that asks for more loses its own connection.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from datetime import UTC, datetime
from functools import partial
from socket import socket
from typing import Any, Final

import orjson
import trio

from swarmlib import Client, Invalid, SwarmError, TooLarge
from swarmlib.net.listening import ENDS, serve

from ..dockerapi import targets, times
from ..dockerapi.filters import encode
from ..dockerapi.nullable import dict_of
from ..dockerapi.numbers import integer
from ..dockerapi.parameters import texts_of
from ..enginekit.clock import Clock
from .addresses import LAST_PORT
from .process import Run
from .pulled import RYUK_LABEL

_MAX_LINE: Final = 16 * 1024
"""Bytes of a line."""
_MAX_FILTERS: Final = 1000
"""Lines that are not the same."""
_MAX_CLIENTS: Final = 256
_DEFAULTS: Final = {
    "RYUK_PORT": "8080",
    "RYUK_CONNECTION_TIMEOUT": "60s",
    "RYUK_RECONNECTION_TIMEOUT": "10s",
}
_KINDS: Final[Mapping[str, tuple[str, dict[str, Any], dict[str, Any]]]] = {
    "containers": ("Id", {"all": True}, {"force": True, "v": True}),
    "networks": ("Id", {}, {}),
    "volumes": ("Name", {}, {"force": True}),
    "images": ("Id", {}, {}),
}
"""What is removed, in this order: what names one of a kind, and how they are listed and removed."""


class Ryuk:
    """The program.

    engine: what it removes from. listening: the sockets of its container's published ports, which it closes.
    """

    def __init__(self, engine: Client, listening: Mapping[str, Sequence[socket]]) -> None:
        self._engine = engine
        self._listening = listening
        self._filters: dict[str, None] = {}
        self._clients = _Clients()

    async def __call__(self, run: Run) -> int:
        """See `Program`."""
        with ExitStack() as stack:
            sockets = {stack.enter_context(each) for published in self._listening.values() for each in published}
            try:
                port = _port(run.env)
                first, again = (_seconds(run.env, f"RYUK_{name}_TIMEOUT") for name in ("CONNECTION", "RECONNECTION"))
            except Invalid as exc:
                return await run.fail(exc.message)
            own = self._listening.get(f"{port}/tcp", ())
            for other in sockets - set(own):
                other.close()
            await _log(run, "Started!")
            await self._wait(run, own, first, again)
        await self._clean_up(run)
        return 0

    async def _wait(self, run: Run, sockets: Sequence[socket], first: float, again: float) -> None:
        """Serve clients until none has been there for long enough, or it is asked to end."""
        listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in sockets]
        with trio.CancelScope() as scope:
            for number in (signal.SIGTERM, signal.SIGINT):
                run.on_signal(number, scope.cancel)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve, listeners, partial(self._serve, run), "simulator: ryuk")
                await self._clients.absent(run.process.clock, first, again)
                nursery.cancel_scope.cancel()

    async def _serve(self, run: Run, stream: trio.SocketStream, client: str) -> None:
        """Serve one client, whose connection is closed then."""
        if self._clients.present >= _MAX_CLIENTS:
            return  # it is not even logged: writing may have to wait, and there would be no bound to those who wait
        with self._clients.one_more():
            await _log(run, f"New client connected: {client}")
            try:
                async with aclosing(_lines(stream)) as lines:
                    async for line in lines:
                        await self._add(run, line)
                        await stream.send_all(b"ACK\n")
            except (TooLarge, *ENDS) as exc:
                await _log(run, f"{client}: {exc}")
        await _log(run, f"Client disconnected: {client}")

    async def _add(self, run: Run, line: bytes) -> None:
        """Add the filters of a line; of one that is wrong it is only logged why.

        Raises:
            TooLarge: there are too many of them.
        """
        try:
            filters = _read(line)
        except Invalid as exc:
            await _log(run, f"add filter: {exc.message}")
            return
        if filters not in self._filters and len(self._filters) >= _MAX_FILTERS:
            raise TooLarge(f"there are over {_MAX_FILTERS} filters")
        self._filters[filters] = None
        await _log(run, f"Adding {filters}")

    async def _clean_up(self, run: Run) -> None:
        removed: Counter[str] = Counter()
        for filters in self._filters:
            await _log(run, f"Deleting {filters}")
            for kind in _KINDS:
                removed[kind] += await self._remove(run, kind, filters)
        counts = ", ".join(f"{removed[kind]} {kind.removesuffix('s')}(s)" for kind in _KINDS)
        await _log(run, f"Removed {counts}")

    async def _remove(self, run: Run, kind: str, filters: str) -> int:
        """Remove what fits of a kind; gives how many. What can't be is logged."""
        name, listing, removing = _KINDS[kind]
        removed = 0
        try:
            found = await self._engine.ls(kind, **listing, filters=filters)
        except SwarmError as exc:  # such as a filter that this kind does not have
            await _log(run, f"{kind}: {exc.message}")
            return 0
        for each in found:
            if kind == "containers" and dict_of(each["Labels"]).get(RYUK_LABEL) == "true":
                continue  # itself, and others like it
            try:
                await self._engine.rm(kind, each[name], **removing)
                removed += 1
            except SwarmError as exc:
                await _log(run, f"{kind}: {exc.message}")
        return removed


class _Clients:
    """How many clients are there, and since when none is."""

    def __init__(self) -> None:
        self.present = 0
        self._came = trio.Event()
        self._left = trio.Event()

    @contextmanager
    def one_more(self) -> Generator[None]:
        """Count a client, for as long as it is there."""
        self.present += 1
        if self.present == 1:
            self._came.set()
            self._left = trio.Event()
        try:
            yield
        finally:
            self.present -= 1
            if not self.present:
                self._left.set()
                self._came = trio.Event()

    async def absent(self, clock: Clock, first: float, again: float) -> None:
        """Wait until no client came for `first` seconds, or after there were some, for `again` seconds."""
        patience = first
        while True:
            with clock.until(clock.now() + patience) as scope:
                await self._came.wait()
            if scope.cancelled_caught:
                return
            await self._left.wait()
            patience = again


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncGenerator[bytes]:
    """Yield the lines that aren't empty, without their ends; the last one may have none.

    Raises:
        TooLarge: one is too long.
    """
    rest = b""
    async for part in stream:
        *whole, rest = (rest + part).split(b"\n")
        if any(len(each) > _MAX_LINE for each in (*whole, rest)):
            raise TooLarge(f"a line is over {_MAX_LINE} bytes")
        for line in whole:
            if line := line.removesuffix(b"\r"):
                yield line
    if rest:
        yield rest


def _read(line: bytes) -> str:
    """Return the filters that a line is, as the Engine API's JSON.

    Raises:
        Invalid: it is no query, or names nothing.
    """
    try:
        query = targets.read(f"/?{line.decode()}").query
        if not query:
            raise Invalid("there is no filter in it, which would fit everything")
        return encode({name: texts_of(value) for name, value in query.items()})
    except (UnicodeDecodeError, orjson.JSONEncodeError) as exc:
        raise Invalid("a filter should be UTF-8") from exc


def _seconds(env: Mapping[str, str], name: str) -> float:
    text = env.get(name) or _DEFAULTS[name]
    found = times.duration(text)
    if found is None:
        raise Invalid(f"load config: parse env: {name} should be a duration such as 10s, not {text!r}")
    return found / 1e9


def _port(env: Mapping[str, str]) -> int:
    text = env.get("RYUK_PORT") or _DEFAULTS["RYUK_PORT"]
    found = integer(text, range(LAST_PORT + 1))
    if found is None:
        raise Invalid(f"load config: parse env: RYUK_PORT should be a port's number, not {text!r}")
    return found


async def _log(run: Run, text: str) -> None:
    at = datetime.fromtimestamp(run.process.clock.now(), UTC)
    await run.stderr.send_all(f"{at:%Y/%m/%d %H:%M:%S} {text}\n".encode())
