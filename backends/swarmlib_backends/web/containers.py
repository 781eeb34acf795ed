"""The containers of all engines with what they use now, and the lines of their logs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, cast

import trio

from swarmlib import Ack, BadAnswer, Meta, Request, Sender, Set, SwarmError, Verb, ask, next_reply
from swarmlib.asking import call
from swarmlib.client.multiplexed import lines

from ..dockerapi.nullable import dict_of, list_of

MAX_MEASURED: Final = 50
"""The most containers that are asked what they use."""
STATS_SECONDS: Final = 3.0
"""How long one of them may take to say so."""
AT_ONCE: Final = 8
TAIL: Final = "200"
"""The last lines of a log that are shown before those that follow."""


class Containers:
    """The containers behind a channel. What a viewer sees of them, the stages behind may restrict as for any client."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._before: dict[str, tuple[float, float]] = {}
        """The last readings of the CPU time of each container, and of its engine."""

    async def list(self, caller: str) -> Sequence[Mapping[str, Any]]:
        """Return all containers; of the first running ones also their share of the CPUs, and their memory in bytes.

        Raises:
            SwarmError: the list can't be had.
        """
        asked = Request(Verb.LS, ("containers",), {"all": "1"}, meta=Meta(caller))
        with trio.fail_after(STATS_SECONDS * 2):
            found = list_of((await call(self._sender, asked)).value)
        rows = [_row(dict_of(each)) for each in found]
        running = [row for row in rows if row["state"] == "running"][:MAX_MEASURED]
        limit = trio.CapacityLimiter(AT_ONCE)
        async with trio.open_nursery() as nursery:
            for row in running:
                nursery.start_soon(self._measure, row, caller, limit)
        self._before = {row["id"]: self._before[row["id"]] for row in running if row["id"] in self._before}
        return rows

    async def _measure(self, row: dict[str, Any], caller: str, limit: trio.CapacityLimiter) -> None:
        params = {"stream": "0", "one-shot": "1"}
        asked = Request(Verb.WATCH, ("containers", row["id"], "stats"), params, meta=Meta(caller))
        async with limit:
            with trio.move_on_after(STATS_SECONDS):
                try:
                    self._read(row, await _first(self._sender, asked))
                except (SwarmError, trio.EndOfChannel) as exc:
                    row["trouble"] = str(exc)

    def _read(self, row: dict[str, Any], stats: Mapping[str, Any]) -> None:
        memory, cpu = dict_of(stats.get("memory_stats")), dict_of(stats.get("cpu_stats"))
        row["memory"] = _number(memory.get("usage"))
        now = (_number(dict_of(cpu.get("cpu_usage")).get("total_usage")), _number(cpu.get("system_cpu_usage")))
        used, of_all = (new - old for new, old in zip(now, self._before.get(row["id"], (0.0, 0.0)), strict=True))
        if row["id"] in self._before and of_all > 0:
            row["cpu"] = round(100 * used / of_all * (_number(cpu.get("online_cpus")) or 1), 2)
        self._before[row["id"]] = now

    @asynccontextmanager
    async def log(self, id: str, caller: str) -> AsyncGenerator[AsyncGenerator[Mapping[str, str]]]:
        """Open the log of a container, and yield its lines, which follow as they are written.

        Raises:
            SwarmError: there is no such container, or its log can't be read.
        """
        meta = Meta(caller)
        about = dict_of((await call(self._sender, Request(Verb.GET, ("containers", id), meta=meta))).value)
        tty = bool(dict_of(about.get("Config")).get("Tty"))
        params = {"follow": "1", "stdout": "1", "stderr": "1", "tail": TAIL}
        asked = Request(Verb.CONNECT, ("containers", id, "logs"), params, meta=meta)
        stream = (await call(self._sender, asked)).ack.stream
        if stream is None:
            raise BadAnswer("the answer to logs has no stream")
        async with stream, aclosing(_lines(stream, tty=tty)) as found:
            yield found


async def _lines(stream: trio.abc.ReceiveStream, *, tty: bool) -> AsyncGenerator[Mapping[str, str]]:
    async with aclosing(lines(stream, tty=tty)) as found:
        async for each in found:
            yield {"stream": each.stream, "line": each.data.decode("utf-8", "replace")}


async def _first(sender: Sender, request: Request) -> Mapping[str, Any]:
    """Return the first object of a watch, and end it."""
    async with await ask(sender, request) as replies:
        while isinstance(reply := await next_reply(replies), Ack):
            pass
        return dict_of(reply.json) if isinstance(reply, Set) else {}


def _row(about: Mapping[str, Any]) -> dict[str, Any]:
    names = list_of(about.get("Names")) or [""]
    return {
        "id": str(about.get("Id", "")),
        "name": str(names[0]).removeprefix("/"),
        "image": str(about.get("Image", "")),
        "state": str(about.get("State", "")),
        "status": str(about.get("Status", "")),
        "engine": str(about.get("Node", "")),
        "cpu": None,
        "memory": None,
    }


def _number(value: object) -> float:
    return float(cast("float", value)) if isinstance(value, int | float) else 0.0
