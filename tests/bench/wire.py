"""The wire between two processes, each figure beside a bare trio TCP stream between the same two.

A stream is measured against a bare one of a new connection, and against one of a connection that has carried as many
bytes before, as the wire's has: TCP paces these two differently. The ratio is that of the latter.

    python -m tests.bench.wire [--calls 5000] [--lines 100000] [--mib 256] [--channels 10000] [--rounds 3]

The rates hold for this machine at this moment, which a second table describes: where that differs between two runs, so
do the rates. What can be compared are the ratios, and the processor time that both processes take together.

Needs nothing but this machine. The figures of tractor and libchan were seen on such a machine, and stand as constants.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import quantiles

import msgpack
import trio

from swarmlib import Client, Log, ReplyReceiver, Request, Verb, ask, connect, next_reply
from swarmlib.wire.connection import open_connection
from tests.bench.calibration import Calibration, show_machine
from tests.bench.common import show
from tests.bench.wire_pair import DELAY_MS, Far, Found, Measure, delaying, far_process, in_turns

MIB = 1 << 20
IN_FLIGHT = 64


# Small calls.


async def calls(swarm: Client, count: int, in_flight: int = 1) -> float:
    """Calls a second, so many at once."""

    async def one_after_another() -> None:
        for _ in range(count // in_flight):
            await swarm.call(Verb.GET)

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(in_flight):
            nursery.start_soon(one_after_another)
    return count / (time.perf_counter() - began)


async def echoes(port: int, count: int, request: int, reply: int) -> float:
    """Round trips a second on a bare stream, of so many bytes each way."""
    async with await bare(port, f"echo {request} {reply}") as stream:
        data = bytes(request)
        began = time.perf_counter()
        for _ in range(count):
            await stream.send_all(data)
            missing = reply
            while missing:
                missing -= len(await stream.receive_some(missing))
        return count / (time.perf_counter() - began)


async def bare(port: int, line: str) -> trio.SocketStream:
    """A bare stream to the other process, which does there what `line` says."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(line.encode() + b"\n")
    return stream


class Counting(trio.abc.Stream):
    """A stream that counts."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.sent = self.received = 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += len(data)
        await self._stream.send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(max_bytes)
        self.received += len(data)
        return data

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def bytes_of_a_call(port: int) -> tuple[int, int]:
    """Bytes of a small call's request and of its reply."""
    stream = Counting(await trio.open_tcp_stream("127.0.0.1", port))
    async with open_connection(stream, service=None, initiator=True) as connection:
        swarm = Client(connection.sender)
        await calls(swarm, 10)
        sent, received = stream.sent, stream.received
        await calls(swarm, 100)
        return round((stream.sent - sent) / 100), round((stream.received - received) / 100)


# Lines one way.


async def lines(swarm: Client, count: int) -> float:
    """Log replies a second that come for one request."""
    began = time.perf_counter()
    async with swarm.request(Verb.ATTACH, params={"lines": count}) as replies:
        seen = sum([isinstance(reply, Log) async for reply in replies])
    assert seen == count, f"{seen} lines came of {count}"
    return count / (time.perf_counter() - began)


async def unpacked(port: int, count: int) -> float:
    """The same by msgpack on a bare stream, what fits into 64 KiB in one send."""
    async with await bare(port, f"lines {count}") as stream:
        unpacker = msgpack.Unpacker()
        began = time.perf_counter()
        seen = 0
        while seen < count:
            unpacker.feed(await stream.receive_some(64 * 1024))
            seen += sum(1 for _ in unpacker)
        return count / (time.perf_counter() - began)


# Streams.


async def streamed(swarm: Client, mib: int) -> float:
    """MiB a second of one stream of the wire."""
    began = time.perf_counter()
    async with await opened(swarm, mib) as stream:
        await drain(stream, mib)
    return mib / (time.perf_counter() - began)


async def opened(swarm: Client, mib: int) -> trio.abc.ReceiveStream:
    """A stream of so many MiB from the other process."""
    answer = await swarm.call(Verb.CONNECT, params={"mib": mib})
    assert answer.ack.stream is not None
    return answer.ack.stream


async def drain(stream: trio.abc.ReceiveStream, mib: int) -> None:
    """Read so many MiB: all that a stream of the wire has, and what was asked for of a bare one."""
    missing = mib * MIB
    while missing and (part := await stream.receive_some(256 * 1024)):
        missing -= len(part)
    assert not missing, f"{missing} bytes of {mib} MiB did not come"


async def sent(port: int, mib: int) -> float:
    """MiB a second of a bare stream that has just been opened."""
    began = time.perf_counter()
    async with await bare(port, f"send {mib}") as stream:
        await drain(stream, mib)
    return mib / (time.perf_counter() - began)


async def sent_again(stream: trio.SocketStream, mib: int) -> float:
    """MiB a second of a bare stream that is open."""
    began = time.perf_counter()
    await stream.send_all(b"send %d\n" % mib)
    await drain(stream, mib)
    return mib / (time.perf_counter() - began)


async def latencies(swarm: Client, count: int) -> float:
    """The 99th percentile of a call, in milliseconds."""
    found: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        await swarm.call(Verb.GET)
        found.append(time.perf_counter() - began)
    return quantiles(found, n=100)[98] * 1e3


async def latencies_beside_a_stream(swarm: Client, mib: int) -> float:
    """The same while a stream runs beside it, from its begin to its end."""
    found: list[float] = []
    async with await opened(swarm, mib) as stream, trio.open_nursery() as nursery:

        async def ask() -> None:
            while True:
                began = time.perf_counter()
                await swarm.call(Verb.GET)
                found.append(time.perf_counter() - began)

        nursery.start_soon(ask)
        await drain(stream, mib)
        nursery.cancel_scope.cancel()
    return quantiles(found, n=100)[98] * 1e3


# Many channels.


def resident(pid: int | str) -> float:
    """MiB that a process has resident now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@asynccontextmanager
async def channels(swarm: Client, count: int) -> AsyncGenerator[None]:
    """So many calls under way, each with a channel for its replies; no task holds them, as tasks take memory too."""
    held: list[ReplyReceiver] = []
    for _ in range(count):
        held.append(await ask(swarm.sender, Request(Verb.WATCH)))
    for replies in held:
        await next_reply(replies)
    yield
    for replies in held:
        await replies.aclose()


# The table.


def row(what: str, reference: str, ours: str, ratio: float | None, goal: str, cpu: str = "") -> tuple[object, ...]:
    """A row of it."""
    return (what, reference, ours, "" if ratio is None else f"{ratio:.2f}", goal, cpu)


def micros(found: Found) -> str:
    """The processor time of one call or line."""
    return f"{found.cpu * 1e6:.1f} µs"


def against(bare: Found, wire: Found) -> str:
    """The processor time of a GiB, and what a bare stream takes."""
    return f"{wire.cpu * 1024:.2f} s (bare {bare.cpu * 1024:.2f})"


async def measure(given: argparse.Namespace, far: Far, delayed: tuple[int, int]) -> list[tuple[object, ...]]:
    """All the rows."""
    async with connect(f"remote tcp://127.0.0.1:{far.port}") as swarm:
        return [
            *await small_calls(given, far, swarm),
            await lines_one_way(given, far, swarm),
            await one_stream(given, far, swarm),
            await calls_beside_a_stream(given, far, swarm),
            *await many_channels(given, far, swarm),
            await far_away(given, far, delayed),
        ]


async def small_calls(given: argparse.Namespace, far: Far, swarm: Client) -> list[tuple[object, ...]]:
    """One at a time, and many in flight."""
    request, reply = await bytes_of_a_call(far.port)
    subjects: dict[str, Measure] = {
        "bare": partial(echoes, far.bare, given.calls, request, reply),
        "one": partial(calls, swarm, given.calls),
        "many": partial(calls, swarm, given.calls * 4, IN_FLIGHT),
    }
    found = await in_turns(far, subjects, given.rounds)
    title = f"calls/s, one at a time ({request} B there, {reply} B back)"
    known = "tractor 180 to 320, libchan over TCP 14,000"
    ratio = found["one"].figure / found["bare"].figure
    return [
        row(
            title,
            f"bare echo {found['bare'].figure:,.0f}",
            f"{found['one'].figure:,.0f}",
            ratio,
            "0.5 of the bare echo",
            micros(found["one"]),
        ),
        row(
            f"calls/s, {IN_FLIGHT} in flight",
            known,
            f"{found['many'].figure:,.0f}",
            None,
            "20,000",
            micros(found["many"]),
        ),
    ]


async def lines_one_way(given: argparse.Namespace, far: Far, swarm: Client) -> tuple[object, ...]:
    """Replies that follow each other."""
    subjects: dict[str, Measure] = {
        "bare": partial(unpacked, far.bare, given.lines),
        "wire": partial(lines, swarm, given.lines),
    }
    found = await in_turns(far, subjects, given.rounds)
    known = f"bare msgpack {found['bare'].figure:,.0f}; tractor 6,500, libchan 131,000"
    ratio = found["wire"].figure / found["bare"].figure
    return row("log lines/s, one way", known, f"{found['wire'].figure:,.0f}", ratio, "150,000/s", micros(found["wire"]))


async def one_stream(given: argparse.Namespace, far: Far, swarm: Client) -> tuple[object, ...]:
    """The bytes of one stream, on connections that have all carried as many before, and on a new one."""
    async with await bare(far.bare, f"send {given.mib}") as used:
        await drain(used, given.mib)
        await streamed(swarm, given.mib)
        subjects: dict[str, Measure] = {
            "new": partial(sent, far.bare, given.mib),
            "used": partial(sent_again, used, given.mib),
            "wire": partial(streamed, swarm, given.mib),
        }
        found = await in_turns(far, subjects, given.rounds)
    again, wire = found["used"], found["wire"]
    title, cpu = f"a stream of {given.mib} MiB, MiB/s", against(again, wire)
    known = f"bare, used before {again.figure:.0f}, new {found['new'].figure:.0f}"
    return row(title, known, f"{wire.figure:.0f}", wire.figure / again.figure, "0.85", cpu)


async def calls_beside_a_stream(given: argparse.Namespace, far: Far, swarm: Client) -> tuple[object, ...]:
    """The latency of calls, alone and beside a stream."""
    subjects: dict[str, Measure] = {
        "idle": partial(latencies, swarm, given.calls),
        "beside": partial(latencies_beside_a_stream, swarm, given.mib),
    }
    found = await in_turns(far, subjects, given.rounds)
    ratio = found["beside"].figure / found["idle"].figure
    title = f"p99 of a call beside a stream of {given.mib} MiB, ms"
    return row(
        title, f"idle {found['idle'].figure:.2f}", f"{found['beside'].figure:.2f}", ratio, "under 2 times the idle p99"
    )


async def many_channels(given: argparse.Namespace, far: Far, swarm: Client) -> list[tuple[object, ...]]:
    """What open channels cost: memory in both processes, and the speed of a call."""
    before = {pid: resident(pid) for pid in ("self", far.process.pid)}
    idle = await calls(swarm, given.calls)
    async with channels(swarm, given.channels):
        here, there = (resident(pid) - before[pid] for pid in before)
        beside = await calls(swarm, given.calls)
    title = f"{given.channels:,} open channels"
    return [
        row(f"{title}, MiB here and there", "", f"{here:.0f} and {there:.0f}", None, "under 60"),
        row(
            f"{title}, calls/s beside them",
            f"idle {idle:,.0f}",
            f"{beside:,.0f}",
            idle / beside,
            "under 1.2 times slower",
        ),
    ]


async def far_away(given: argparse.Namespace, far: Far, delayed: tuple[int, int]) -> tuple[object, ...]:
    """The bytes of one stream through a relay that delays."""
    async with connect(f"remote tcp://127.0.0.1:{delayed[0]}") as swarm:
        subjects: dict[str, Measure] = {
            "bare": partial(sent, delayed[1], given.mib),
            "wire": partial(streamed, swarm, given.mib),
        }
        found = await in_turns(far, subjects, given.rounds)
    bare, wire = found["bare"], found["wire"]
    title = f"a stream of {given.mib} MiB, {2 * DELAY_MS} ms away, MiB/s"
    ratio, cpu = wire.figure / bare.figure, against(bare, wire)
    return row(title, f"bare {bare.figure:.0f}", f"{wire.figure:.0f}", ratio, "0.9", cpu)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--mib", type=int, default=256, help="of a stream; the goals are for 1024")
    parser.add_argument("--channels", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with far_process() as far, delaying(far.port) as slow, delaying(far.bare) as slow_bare:
        before = Calibration.now()
        rows = trio.run(measure, given, far, (slow, slow_bare))
    columns = ["what", "beside it", "the wire", "ratio", "goal", "CPU of both, each or per GiB"]
    show("The wire between two processes", columns, rows)
    show_machine(before, Calibration.now())


if __name__ == "__main__":
    main()
