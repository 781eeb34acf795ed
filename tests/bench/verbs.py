"""Calls a second through chains of 0, 1 and 10 filters, against a bare request and reply over trio's memory channels.

python -m tests.bench.verbs [--seconds 0.5] [--rounds 7]
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import trio

from swarmlib import Chain, Client, Filter, Request, Server, Verb
from tests.bench.common import in_turns, show

_BATCH = 500
_GOALS = {0: 0.7, 10: 0.6}


class InTask(Filter):
    """Answers in the caller's own task, as a filter does."""

    async def send(self, request: Request) -> None:
        """Acknowledge anything."""
        await request.reply.ack()
        await request.reply.aclose()


class OwnTask(Server):
    """Answers in a task for each call, as a server does."""

    async def get(self, _: Request) -> None:
        """Acknowledge."""


async def _bare(seconds: float) -> float:
    """Each request carries a fresh channel for its reply, as libswarm's messages did."""
    to_server, requests = trio.open_memory_channel[trio.MemorySendChannel[int]](0)

    async def serve() -> None:
        async for reply in requests:
            await reply.send(1)

    async def call() -> None:
        reply, replies = trio.open_memory_channel[int](1)
        await to_server.send(reply)
        await replies.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        rate = await _rate(call, seconds)
        nursery.cancel_scope.cancel()
    return rate


async def _chain(leaf: Filter | Server, filters: int, seconds: float) -> float:
    async with Chain(*(Filter() for _ in range(filters)), leaf).open() as sender:
        return await _rate(partial(Client(sender).call, Verb.GET, ("box",)), seconds)


async def _rate(call: partial[object] | object, seconds: float) -> float:
    calls, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        for _ in range(_BATCH):
            await call()  # type: ignore[operator]
        calls += _BATCH
    return calls / took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    subjects = {"bare trio channels": partial(trio.run, _bare, given.seconds)}
    for leaf in (OwnTask(), InTask()):
        for filters in (0, 1, 10):
            name = f"{filters} filters, {'a task a call' if isinstance(leaf, Server) else 'in the caller task'}"
            subjects[name] = partial(trio.run, _chain, leaf, filters, given.seconds)
    found = in_turns(subjects, given.rounds)
    bare = found["bare trio channels"]
    goals = {name: goal for name in found for filters, goal in _GOALS.items() if name.startswith(f"{filters} ")}
    rows = [(name, f"{rate:,.0f}", f"{rate / bare:.2f}", goals.get(name, "")) for name, rate in found.items()]
    show("One call after another", ["through", "calls/s", "of bare", "goal"], rows)


if __name__ == "__main__":
    main()
