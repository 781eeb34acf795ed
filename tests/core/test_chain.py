"""A chain's life where something goes wrong in it, what its stages share, and libswarm's old faults."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from trio.testing import MemoryReceiveStream, MockClock, wait_all_tasks_blocked

from swarmlib import (
    CLEANUP_SECONDS,
    Chain,
    Client,
    Conflict,
    Filter,
    Internal,
    NotFound,
    Reply,
    Request,
    Sender,
    Server,
    SwarmError,
    Tap,
    TimedOut,
    Unavailable,
    Verb,
)
from swarmlib.grammar import parse


@dataclass
class Step(Filter):
    """Notes its opening and closing; closing may hang, or fail."""

    label: str
    log: list[str]
    hangs: bool = False
    fails: Exception | None = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self.log.append(f"+{self.label}")
        try:
            yield
        finally:
            self.log.append(f"-{self.label}")
            if self.fails:
                raise self.fails
            if self.hangs:
                await trio.sleep_forever()


def steps(log: list[str], labels: str = "abc", **odd: Any) -> Chain:
    """A chain of steps; `odd` are the arguments of the one labelled b."""
    return Chain(*(Step(label, log, **odd if label == "b" else {}) for label in labels))


async def test_what_the_user_raises_closes_the_chain_and_comes_out_as_itself() -> None:
    log: list[str] = []
    with pytest.raises(KeyError, match="mine"):
        async with steps(log).open():
            raise KeyError("mine")
    assert log == ["+c", "+b", "+a", "-a", "-b", "-c"]


async def test_a_stage_that_fails_to_close_does_not_keep_the_others_from_closing() -> None:
    log: list[str] = []
    with pytest.raises(Unavailable, match="half closed") as raised:
        async with steps(log, fails=Unavailable("half closed")).open():
            pass
    assert log[3:] == ["-a", "-b", "-c"]
    assert raised.value.backend == "step"


async def test_a_hanging_stage_is_cut_also_when_the_user_is_cancelled(autojump_clock: MockClock) -> None:
    log: list[str] = []
    began = trio.current_time()
    with trio.move_on_after(2):
        async with steps(log, hangs=True).open():
            await trio.sleep_forever()
    assert log[3:] == ["-a", "-b", "-c"]
    assert trio.current_time() - began == pytest.approx(2 + CLEANUP_SECONDS)


async def test_each_stage_has_its_own_time_to_close(autojump_clock: MockClock) -> None:
    log: list[str] = []
    began = trio.current_time()
    async with steps(log, "bbb", hangs=True).open():
        pass
    assert trio.current_time() - began == pytest.approx(3 * CLEANUP_SECONDS)


async def test_a_stage_that_dies_while_another_opens_ends_the_opening() -> None:
    class Dies(Server):
        @asynccontextmanager
        async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.die)
                yield next

        async def die(self) -> None:
            await wait_all_tasks_blocked()
            raise Unavailable("it died")

    class NeverOpen(Filter):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None]:
            await trio.sleep_forever()
            yield

    with pytest.raises(Unavailable, match="it died"):
        async with Chain(NeverOpen(), Dies()).open():
            raise AssertionError("it should not have opened")


async def test_a_stage_that_cannot_open_is_named() -> None:
    class Locked(Filter):
        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None]:
            raise Unavailable("no key")
            yield

    with pytest.raises(Unavailable, match="no key") as raised:
        async with Chain(Filter(), Locked(), Filter()).open():
            raise AssertionError("it should not have opened")
    assert raised.value.backend == "locked"


class Shelf(Server):
    """Things by name, each with the value that it was made with."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self.things: dict[str, Any] = {}
        yield

    async def spawn(self, request: Request) -> dict[str, str]:
        name = str(len(self.things))
        self.things[name] = request.json
        return {"Id": name}

    async def get(self, request: Request) -> Any:
        if request.path[-1] not in self.things:
            raise NotFound(f"no {request.path[-1]}")
        return self.things[request.path[-1]]

    async def rm(self, request: Request) -> None:
        del self.things[request.path[-1]]

    async def attach(self, request: Request) -> None:
        await request.reply.ack()
        await request.reply.log("/".join(request.path).encode())


class Counting(Filter):
    """Counts the requests and replies that pass, as a logger might."""

    counts: tuple[int, int]

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self.counts = (0, 0)
        yield

    async def send(self, request: Request) -> None:
        if request.path == ("counts",):
            await request.reply.ack(list(self.counts))
            await request.reply.aclose()
            return
        self.counts = (self.counts[0] + 1, self.counts[1])
        await self.next.send(request.replace(reply=Tap(request.reply, self.see)))

    def see(self, reply: Reply) -> Reply:
        self.counts = (self.counts[0], self.counts[1] + 1)
        return reply


async def test_openings_of_one_chain_side_by_side_share_neither_state_nor_life() -> None:
    chain = Chain(Counting(), Shelf())
    async with chain.open() as one:
        async with chain.open() as other:
            await Client(other).spawn("of the other")
            with pytest.raises(NotFound):
                await Client(one).get("0")
            assert await Client(other).get("counts") == [1, 1]
        with pytest.raises(Unavailable, match="is closed"):
            await Client(other).get("0")
        assert (await Client(one).spawn("mine")).id == "0"
        assert await Client(one).get("counts") == [2, 2]


async def test_two_stages_of_one_backend_in_one_chain_share_no_state() -> None:
    twice = Counting()
    seen: list[Any] = []

    class Between(Filter):
        async def send(self, request: Request) -> None:
            seen.append(await Client(self.next).get("counts"))
            await self.next.send(request)

    async with Chain(twice, Between(), twice, Shelf()).open() as sender:
        await Client(sender).spawn()
        await Client(sender).get("0")
        assert await Client(sender).get("counts") == [2, 2]
    assert seen == [[0, 0], [1, 1]]


async def test_a_chain_can_be_put_before_an_open_one_and_leaves_it_open() -> None:
    async with Chain(Shelf()).open() as shelf:
        for number in range(2):
            async with Chain(Counting()).open(shelf) as sender:
                assert (await Client(sender).spawn()).id == str(number)
        assert await Client(shelf).get("1") is None


async def test_an_error_behind_filters_is_that_error_and_no_sudden_end() -> None:
    """In libswarm, a handler's error was dropped, and the caller saw an unexpected EOF."""
    async with Chain(Counting(), Filter(), Counting(), Shelf()).open() as sender:
        with pytest.raises(NotFound, match=r"^no box$") as raised:
            await Client(sender).get("containers", "box")
    assert (raised.value.backend, raised.value.path) == ("shelf", ("containers", "box"))


async def test_a_handle_from_behind_filters_lives_as_long_as_its_object() -> None:
    """In libswarm, what was spawned through debug was dead, and nothing could be removed."""
    async with Chain(Counting(), Filter(), Counting(), Shelf()).open() as sender:
        box = await Client(sender).spawn({"Image": "busybox"})
        assert await box.get() == {"Image": "busybox"}
        await box.rm()
        with pytest.raises(NotFound):
            await box.get()


async def test_a_child_can_be_attached_to_through_filters_and_below_it_too() -> None:
    """In libswarm, attaching to a child through an aggregate was not implemented."""
    web = ("containers", "web")
    async with Chain(Counting(), Filter(), Shelf()).open() as sender, Client(sender).attach(*web) as child:
        assert [reply.line async for reply in child] == [b"containers/web"]
        async with child.attach("exec") as grandchild:
            assert [reply.line async for reply in grandchild] == [b"containers/web/exec"]


async def test_a_stream_of_the_wrong_kind_is_refused_and_closed() -> None:
    stream = MemoryReceiveStream()

    class OneWay(Server):
        async def connect(self, request: Request) -> None:
            await request.reply.ack(stream=stream)

    async with Chain(Filter(), OneWay()).open() as sender:
        with pytest.raises(Internal, match="connect returned no stream for box"):
            await Client(sender).connect("box")
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()


@pytest.mark.parametrize("kind", [SwarmError, ValueError])
async def test_each_of_many_calls_is_answered_once_when_their_stage_dies(kind: type[Exception]) -> None:
    outcomes: list[type[Exception]] = []

    class Mortal(Server):
        """Its own task dies when asked to, and with it all that it does."""

        @asynccontextmanager
        async def lifespan(self) -> AsyncGenerator[None]:
            async with trio.open_nursery() as self.tasks:
                yield

        async def get(self, _: Request) -> None:
            await trio.sleep_forever()

        async def stop(self, _: Request) -> None:
            self.tasks.start_soon(self.die)

        async def die(self) -> None:
            raise Conflict("end of life") if kind is SwarmError else ValueError("end of life")

    async def ask(client: Client) -> None:
        try:
            await client.get("x")
        except SwarmError as exc:
            outcomes.append(type(exc))

    async def use(nursery: trio.Nursery) -> None:
        async with Chain(Filter(), Mortal()).open() as sender:
            for _ in range(50):
                nursery.start_soon(ask, Client(sender))
            await wait_all_tasks_blocked()
            await sender.send(Request(Verb.STOP))
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        with pytest.raises(kind, match="end of life"):
            await use(nursery)
    assert outcomes == [Unavailable] * 50


@pytest.mark.parametrize(
    "read",
    [
        lambda: Chain.read("debug | exec"),
        lambda: Chain.read(parse("debug | exec")),
        lambda: Chain.read(Chain.read("debug | exec")),
        lambda: Chain.read([{"backend": "debug"}, {"backend": "exec"}]),
        lambda: Chain.read([*Chain.read("debug").backends, {"backend": "exec"}]),
        lambda: Chain("debug", "exec"),
        lambda: Chain("debug | exec"),
    ],
    ids=["text", "tree", "chain", "tables", "mixed", "words", "word"],
)
def test_a_chain_is_read_from_each_form(read: Callable[[], Chain]) -> None:
    assert read().name == "debug | exec"


async def test_a_call_that_comes_after_its_deadline_is_a_timeout() -> None:
    class Backdate(Filter):
        async def send(self, request: Request) -> None:
            await self.next.send(request.replace(deadline=trio.current_time() - 1))

    class Asleep(Server):
        async def get(self, _: Request) -> None:
            await trio.sleep_forever()

    async with Chain(Backdate(), Asleep()).open() as sender:
        with pytest.raises(TimedOut, match="get before its deadline"):
            await Client(sender).get("x")
