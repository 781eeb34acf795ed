"""A switch: where requests go, and when the former way is empty."""

from typing import Any

import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from swarmlib import Chain, Client, Request, Server, Verb, ask
from swarmlib_backends.switch import Switch


class Named(Server):
    """Answers with its name; `connect` gives a stream, and `start` waits for `go`."""

    async def get(self, request: Request) -> Any:
        return self.name

    async def start(self, request: Request) -> None:
        await trio.sleep_forever()

    async def connect(self, request: Request) -> None:
        stream, self.far = memory_stream_pair()
        await request.reply.ack(stream=stream)


class One(Named):
    pass


class Two(Named):
    pass


async def test_requests_go_the_present_way() -> None:
    async with Chain(One()).open() as one, Chain(Two()).open() as two:
        switch = Switch(one)
        client = Client(switch)
        assert await client.get() == "one"
        former = switch.turn(two)
        assert await client.get() == "two"
        await former.drained()


async def test_a_way_is_drained_when_its_calls_and_streams_have_ended() -> None:
    drained = trio.Event()
    async with Chain(One()).open() as one, Chain(Two()).open() as two, trio.open_nursery() as nursery:
        switch = Switch(one)
        replies = await ask(switch, Request(Verb.START, ("containers", "x")))
        stream = await Client(switch).connect("containers", "x")
        former = switch.turn(two)

        async def drain() -> None:
            await former.drained()
            drained.set()

        nursery.start_soon(drain)
        await wait_all_tasks_blocked()
        assert len(former.calls) == 2
        await replies.aclose()
        await wait_all_tasks_blocked()
        assert not drained.is_set()
        await stream.aclose()
        await drained.wait()
