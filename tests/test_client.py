"""The client's typed verbs, over a small service in memory; and what the core may import."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MemoryReceiveStream, memory_stream_pair

from swarmlib import Chain, Client, Filter, Internal, Message, NotFound, Server, Tap, Verb


class Shelf(Server):
    """Things by name."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self.things: dict[str, Any] = {}
        self.deadlines: list[float] = []
        yield

    async def ls(self, message: Message) -> list[Any]:
        self.deadlines.append(message.deadline)
        return [name for name in self.things if message.args.get("all") or name != "hidden"]

    async def get(self, message: Message) -> Any:
        if message.path[-1] not in self.things:
            raise NotFound(f"no {message.path[-1]}")
        return self.things[message.path[-1]]

    async def spawn(self, message: Message) -> Any:
        name = message.args["name"]
        self.things[name] = message.json
        return {"Id": name}

    async def set(self, message: Message) -> None:
        self.things[message.path[-1]] = message.json

    async def rm(self, message: Message) -> None:
        del self.things[message.path[-1]]

    async def watch(self, message: Message) -> None:
        assert message.ret is not None
        await message.ret.ack()
        await message.ret.set("before")
        await message.ret.log(b"not a value")
        await message.ret.set("after")

    async def attach(self, message: Message) -> None:
        assert message.ret is not None
        await message.ret.ack()
        await message.ret.log(b"line")
        await message.ret.error(NotFound("it went")) if message.path[-1] == "bad" else await message.ret.set("end")

    async def connect(self, message: Message) -> None:
        assert message.ret is not None
        near, far = memory_stream_pair()
        await far.send_all(b"hello")
        await far.send_eof()
        await message.ret.ack(att=near if message.path[-1] == "good" else MemoryReceiveStream())

    async def file(self, message: Message) -> None:
        assert message.ret is not None
        if message.att is None:
            out = MemoryReceiveStream()
            out.put_data(b"a tar")
            out.put_eof()
            await message.ret.ack(att=out)
        else:
            async with message.att:
                self.things["tar"] = b"".join([bytes(part) async for part in message.att]).decode()


@asynccontextmanager
async def shelf() -> AsyncGenerator[Client]:
    async with Chain(Filter(), Shelf()).open() as sender:
        yield Client(sender)


async def test_an_objects_life() -> None:
    async with shelf() as swarm:
        box = await swarm.spawn({"a": 1}, name="box")
        assert (box.id, box.path, box.made) == ("box", ("containers", "box"), {"Id": "box"})
        assert await box.get() == {"a": 1}
        await swarm.set(*box.path, value={"a": 2})
        assert await box.get() == {"a": 2}
        await swarm.spawn(None, name="hidden")
        assert (await swarm.ls("things"), await swarm.ls("things", all=True)) == (["box"], ["box", "hidden"])
        await box.rm()
        with pytest.raises(NotFound, match="no box"):
            await box.get()


async def test_a_watch_gives_values_to_its_end() -> None:
    async with shelf() as swarm, swarm.watch("things") as values:
        assert [value async for value in values] == ["before", "after"]


async def test_an_attachment_gives_messages_and_raises_what_an_error_says() -> None:
    async with shelf() as swarm:
        async with swarm.attach("good") as attached:
            assert [(m.verb, m.value if m.verb is Verb.LOG else m.json) async for m in attached] == [
                (Verb.LOG, b"line"),
                (Verb.SET, "end"),
            ]
        await swarm.spawn({"b": 1}, name="mine")
        async with swarm.attach("containers", "mine") as attached:
            assert await attached.get() == {"b": 1}


async def test_streams_come_and_go() -> None:
    async with shelf() as swarm:
        stream = await swarm.connect("good")
        async with stream:
            assert b"".join([bytes(part) async for part in stream]) == b"hello"
        with pytest.raises(Internal, match="connect gave no stream"):
            await swarm.connect("bad")
        out = await swarm.file("box")
        assert out is not None
        async with out:
            assert await out.receive_some() == b"a tar"
        into = MemoryReceiveStream()
        into.put_data(b"files")
        into.put_eof()
        assert await swarm.file("box", att=into) is None
        assert await swarm.get("tar") == "files"


async def test_the_callers_deadline_travels_in_the_message() -> None:
    seen: list[float] = []

    class Look(Filter):
        async def send(self, message: Message) -> None:
            seen.append(message.deadline)
            await self.next.send(message)

    async with Chain(Look(), Shelf()).open() as sender:
        with trio.fail_after(5) as scope:
            await Client(sender).ls()
        await Client(sender).ls()
    assert seen == [scope.deadline, float("inf")]


async def test_what_is_spawned_through_filters_can_be_used() -> None:
    """In libswarm, objects spawned through debug were dead."""

    class Watching(Filter):
        async def send(self, message: Message) -> None:
            assert message.ret is not None
            await self.next.send(message.but(ret=Tap(message.ret, lambda reply: reply)))

    async with Chain(Watching(), Watching(), Shelf()).open() as sender:
        box = await Client(sender).spawn({"a": 1}, name="box")
        assert await box.get() == {"a": 1}
