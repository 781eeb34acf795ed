"""Chains that serve, and become others while they do: clients stay connected, and calls under way end as they began.

What did not change is kept: a chain, its source with its sockets, and the stages at its end. What did is opened beside
the former stages, and then gets all further requests; the former stages are closed once their calls have ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from swarmlib import Chain, Sender, SwarmError, Unhandled
from swarmlib.chain import OpenStage
from swarmlib.errors import ungrouped
from swarmlib.net.handover import Handover, Listening
from swarmlib.observing import Observer
from swarmlib_backends.switch import Switch, Way

from .announcing import announce
from .show import plain


class _Server(NamedTuple):
    """The source of a chain, with what it listens on."""

    stage: OpenStage
    listening: Listening


class Running:
    """One chain."""

    def __init__(self, handover: Handover, nursery: trio.Nursery, observer: Observer | None) -> None:
        self._handover = handover
        self._nursery = nursery
        self._observer = observer
        self.announced = False

    async def open(self, chain: Chain) -> None:
        """Open a chain.

        Raises:
            SwarmError: a stage can't be opened; none is open then.
        """
        stages = chain.stages(self._observer)
        source, *others = stages
        try:
            await self._open(others, Unhandled())
            self._switch = Switch(_first(others))
            self._server = await self._serve(source)
        except BaseException:
            await _close(stages)
            raise
        self.chain, self._stages = chain, others

    @property
    def listening(self) -> Listening:
        """What it listens on."""
        return self._server.listening

    async def become(self, chain: Chain) -> None:
        """Become another chain, which keeps the stages that are the same.

        Raises:
            SwarmError: a stage can't be opened; the chain stays as it was.
        """
        stages = chain.stages(self._observer)
        source, *others = stages
        kept = self._stages[len(self._stages) - _same_at_the_end(self._stages, others) :]
        changed = others[: len(others) - len(kept)]
        try:
            await self._open(changed, _first(kept))
            server = self._server if _same(self._server.stage, source) else await self._serve(source)
        except BaseException:
            await _close(stages)
            raise
        await _close([each for each in (source, *others[len(changed) :]) if each is not server.stage])
        former, self._stages = self._stages, changed + kept
        way = self._switch.turn(_first(self._stages))
        self._nursery.start_soon(_end_stages, way, former[: len(former) - len(kept)])
        if server is not self._server:
            self._server.listening.retire()
            self._nursery.start_soon(_end_server, self._server)
            self.announced = False
        self._server, self.chain = server, chain

    def retire(self) -> None:
        """Accept no more connections."""
        self._server.listening.retire()

    async def end(self) -> None:
        """Close once the connections of a chain that has retired have ended. Cancelled, close at once."""
        try:
            await _end_server(self._server)
        finally:
            await _close(self._stages)

    async def _serve(self, source: OpenStage) -> _Server:
        with self._handover.server() as listening:
            await self._open([source], self._switch)
        return _Server(source, listening)

    async def _open(self, stages: Sequence[OpenStage], next: Sender) -> None:
        """Open stages in front of `next`, the last one first."""
        for stage in reversed(stages):
            with ungrouped():
                next = await stage.open(next, self._nursery)


@dataclass
class Fleet:
    """All chains that run, by their names.

    observer: observes them; None if nobody does.
    """

    nursery: trio.Nursery
    observer: Observer | None = None
    handover: Handover = field(default_factory=Handover)
    running: dict[str, Running] = field(default_factory=dict[str, Running])

    async def open(self, chains: Mapping[str, Chain]) -> None:
        """Open the first chains. Raises as `Running.open`."""
        for name, chain in chains.items():
            await self._begin(name, chain)

    async def become(self, chains: Mapping[str, Chain]) -> list[str]:
        """Change, begin and end chains, and return a sentence about each one that is not as before.

        A chain that can't be opened changes nothing for the others.
        """
        said = [await self._change(name, chain) for name, chain in chains.items()]
        for name in self.running.keys() - chains.keys():
            ending = self.running.pop(name)
            ending.retire()
            self.nursery.start_soon(ending.end)
            said.append(f"chain {name} takes no more connections")
        return [each for each in said if each]

    def announce(self) -> None:
        """Say where the chains serve whose source is new, and who answers behind them."""
        for each in self.running.values():
            if not each.announced:
                each.announced = True
                announce(each.chain, each.listening, self.nursery)

    async def close(self) -> None:
        """Close all chains at once."""
        with trio.CancelScope() as scope:
            scope.cancel()
            async with trio.open_nursery() as nursery:
                for each in self.running.values():
                    each.retire()
                    nursery.start_soon(each.end)

    async def _begin(self, name: str, chain: Chain) -> None:
        running = Running(self.handover, self.nursery, self.observer)
        await running.open(chain)
        self.running[name] = running

    async def _change(self, name: str, chain: Chain) -> str:
        running = self.running.get(name)
        try:
            if running is None:
                await self._begin(name, chain)
                return f"chain {name} is new"
            if plain(running.chain) == plain(chain):
                return ""
            await running.become(chain)
        except SwarmError as exc:
            where = f"{exc.backend}: " if exc.backend else ""
            return f"error: chain {name} stays as it was: {where}{exc.message}"
        return f"chain {name} has changed"


def _first(stages: Sequence[OpenStage]) -> Sender:
    return stages[0].sender if stages else Unhandled()


def _same(one: OpenStage, other: OpenStage) -> bool:
    return bool(plain(Chain(one.backend)) == plain(Chain(other.backend)))


def _same_at_the_end(stages: Sequence[OpenStage], others: Sequence[OpenStage]) -> int:
    """Return how many of the last stages are open already."""
    number = 0
    for stage, other in zip(reversed(stages), reversed(others), strict=False):
        if not _same(stage, other):
            break
        number += 1
    return number


async def _close(stages: Sequence[OpenStage]) -> None:
    for stage in stages:
        await stage.close()


async def _end_stages(way: Way, stages: Sequence[OpenStage]) -> None:
    """Close stages once the calls that go through them have ended. Cancelled, close them at once."""
    try:
        await way.drained()
    finally:
        await _close(stages)


async def _end_server(server: _Server) -> None:
    try:
        await server.listening.ended.wait()
    finally:
        await server.stage.close()
