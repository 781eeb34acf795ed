"""aggregate: what is asked of it reaches every chain that it holds."""

from dataclasses import dataclass
from typing import Any

import pytest

from swarmlib import Chain, Client, Filter, Log, NotFound, Request, Server, SwarmError, Unavailable, connect
from swarmlib_backends.aggregate import Aggregate
from tests.support.simulated import Engine


@dataclass(eq=False)
class Passing(Filter):
    """Passes on to a chain that is open elsewhere."""

    to: Client

    async def send(self, request: Request) -> None:
        await self.to.sender.send(request)


def _chain() -> tuple[Engine, Engine, Chain]:
    a, b = Engine("A"), Engine("B")
    for each in (a, b):
        each.add("both", running=False)
    a.add("only", running=False)
    return a, b, Chain(Aggregate([Chain(a), Chain(b)]))


async def test_all_is_listed_and_started_where_it_is() -> None:
    a, b, chain = _chain()
    async with connect(chain) as swarm:
        assert sorted((each["Names"][0], each["Node"]) for each in await swarm.ls(all="1")) == [
            ("/both", "A"),
            ("/both", "B"),
            ("/only", "A"),
        ]
        await swarm.start("containers", "both")
        await swarm.start("containers", "only")
        states = [box.state for each in (a, b) for box in each.boxes.values()]
        assert states == ["running", "running", "running"]
        await swarm.stop("containers", "both")
    assert [box.state for each in (a, b) for box in each.boxes.values()] == ["exited", "running", "exited"]


async def test_what_none_has_is_not_found_and_a_failure_is_told() -> None:
    _, b, chain = _chain()
    async with connect(chain) as swarm:
        with pytest.raises(NotFound, match="nosuch"):
            await swarm.start("containers", "nosuch")
        b.trouble.append(Unavailable("B is down"))
        with pytest.raises(Unavailable, match="B is down"):
            await swarm.start("containers", "only")


async def _said(swarm: Client, *path: str) -> set[tuple[str, Any]]:
    said: set[tuple[str, Any]] = set()
    async with swarm.attach(*path) as conversation:
        await swarm.start(*path)
        async for message in conversation:
            if isinstance(message, Log):
                said.add((message.details["member"], message.line))
    return said


async def test_an_attachment_is_to_every_one_of_that_name() -> None:
    async with connect("aggregate (a=exec) (b=exec)") as swarm:
        with pytest.raises(NotFound):
            await _said(swarm, "containers", "nosuch")
    async with connect("exec") as first, connect("exec") as second:
        chain = Chain(Aggregate([Chain(Passing(each), label=name) for name, each in (("a", first), ("b", second))]))
        for word, each in (("one", first), ("two", second)):
            await each.spawn({"Image": "any", "Cmd": ["echo", word]}, name="talker")
        async with connect(chain) as swarm:
            assert await _said(swarm, "containers", "talker") == {("a", b"one"), ("b", b"two")}


@dataclass(eq=False)
class Talker(Server):
    """Says a word to who attaches, and then ends well or with an error."""

    word: bytes
    error: SwarmError | None = None

    async def attach(self, request: Request) -> None:
        await request.reply.ack()
        await request.reply.log(self.word)
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [Unavailable("the engine broke off"), NotFound("it was removed")])
async def test_an_attachment_that_breaks_off_is_told_once_the_others_have_ended(error: SwarmError) -> None:
    said: list[bytes] = []

    async def listen(swarm: Client) -> None:
        async with swarm.attach("containers", "x") as conversation:
            async for message in conversation:
                said.append(message.line)

    async with connect(Aggregate([Chain(Talker(b"one", error)), Chain(Talker(b"two"))])) as swarm:
        with pytest.raises(type(error), match=error.message):
            await listen(swarm)
    assert sorted(said) == [b"one", b"two"]


async def test_chains_of_one_name_are_told_apart() -> None:
    async with connect(Aggregate([Chain(_holding("first")), Chain(_holding("second"))])) as swarm:
        listed = [(each["Names"][0], each["Node"]) for each in await swarm.ls(all="1")]
    assert listed == [("/first", "engine"), ("/second", "engine#2")]


def _holding(name: str) -> Engine:
    engine = Engine("engine")
    engine.add(name, running=False)
    return engine
