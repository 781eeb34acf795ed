"""Quotas over a simulated engine: how many calls are admitted, and what is counted behind the gateway's back."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from swarmlib import UNSENT, Chain, Client, Denied, Handler, Json, Request, Server, SwarmError, Unavailable, Verb
from swarmlib.asking import call
from swarmlib_backends.simulator import Simulator
from swarmlib_backends.tenant.quotas import Quotas
from swarmlib_backends.tenant.terms import Terms

LABELS = {"swarmlib.tenant": "alice"}
MIB = 2**20


@dataclass
class Line(Server):
    """A way to the engine that can break: before a creation gets there, or before its answer comes back."""

    before: list[SwarmError] = field(default_factory=list[SwarmError])
    after: list[SwarmError] = field(default_factory=list[SwarmError])
    events_end: trio.Event = field(default_factory=trio.Event)
    held: trio.Event | None = None
    """Creations that have had their effect are answered after this."""

    def choose(self, request: Request) -> Handler | None:
        return {Verb.SPAWN: self._spawn, Verb.WATCH: self._watch}.get(request.verb)

    async def _spawn(self, request: Request) -> Any:
        if self.before:
            raise self.before.pop()
        value = (await call(self.next, request)).value
        if self.after:
            raise self.after.pop()
        if self.held is not None:
            await self.held.wait()
        return value

    async def _watch(self, request: Request) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._until_end, nursery.cancel_scope)
            await self.forward(request, self.next)
            await trio.sleep_forever()

    async def _until_end(self, scope: trio.CancelScope) -> None:
        await self.events_end.wait()
        scope.cancel()


@asynccontextmanager
async def counted(terms: Terms) -> AsyncGenerator[tuple[Quotas, Client, Line]]:
    """Quotas, an operator's own client of the engine, and the line between them."""
    line = Line()
    line.make_stage = lambda: line  # type: ignore[method-assign]
    async with (
        Chain(Simulator()).open() as sender,
        line.open(sender) as way,
        Quotas.open(way, lambda _: terms) as quotas,
    ):
        yield quotas, Client(sender), line


def creation(name: str, **host: Any) -> Request:
    body = {"Image": "busybox", "Cmd": ["sleep", "1000"], "Labels": LABELS, "HostConfig": host}
    return Request(Verb.SPAWN, ("containers",), {"name": f"alice.{name}"}, Json.from_data(body))


async def create(quotas: Quotas, name: str, **host: Any) -> str:
    answer = await quotas.create("alice", f"alice.{name}", creation(name, **host))
    return str(answer.value["Id"])


async def start(quotas: Quotas, id: str) -> None:
    await quotas.start("alice", id, Request(Verb.START, ("containers", id)))


def used(quotas: Quotas, *names: str) -> list[int]:
    return [quotas.ledgers.of("alice").used[name] for name in names]


@pytest.mark.parametrize("engine", ["simulator", "balance simulator simulator"])
async def test_a_thousand_creations_at_once_make_as_many_as_the_quota_allows(engine: str) -> None:
    refused = list[str]()

    async def attempt(quotas: Quotas, number: int) -> None:
        try:
            await create(quotas, f"c{number}")
        except Denied as exc:
            refused.append(exc.message)

    async with Chain(engine).open() as sender, Quotas.open(sender, lambda _: Terms({"containers": 10})) as quotas:
        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(attempt, quotas, number)
        assert len(await Client(sender).ls(all=True)) == 10
    assert len(refused) == 990
    assert refused[0].startswith("the quota of tenant alice is exceeded: containers: 10 in use, 1 more requested")


async def test_what_is_removed_can_be_created_again(autojump_clock: MockClock) -> None:
    async with counted(Terms({"containers": 1})) as (quotas, engine, _):
        first = await create(quotas, "a")
        with pytest.raises(Denied):
            await create(quotas, "b")
        await engine.rm("containers", first)
        await wait_all_tasks_blocked()
        await create(quotas, "b")


async def test_only_what_runs_counts_with_its_limits(autojump_clock: MockClock) -> None:
    terms = Terms({"running": 2, "memory": 100 * MIB}, defaults={"memory": 60 * MIB})
    async with counted(terms) as (quotas, engine, _):
        one, two, three = [await create(quotas, name) for name in "abc"]
        small = await create(quotas, "d", Memory=10 * MIB)
        await wait_all_tasks_blocked()
        assert used(quotas, "containers", "running", "memory") == [4, 0, 0]
        await start(quotas, one)
        with pytest.raises(Denied, match="memory: 60MiB in use, 60MiB more requested, at most 100MiB allowed"):
            await start(quotas, two)
        await start(quotas, small)
        with pytest.raises(Denied, match="running: 2 in use"):
            await start(quotas, three)
        await engine.stop("containers", one, t=0)
        await wait_all_tasks_blocked()
        await start(quotas, two)
        assert used(quotas, "running", "memory") == [2, 70 * MIB]


async def test_an_update_of_what_runs_is_admitted_by_the_sum(autojump_clock: MockClock) -> None:
    async with counted(Terms({"memory": 100 * MIB})) as (quotas, _, _):
        id = await create(quotas, "a", Memory=50 * MIB, MemorySwap=50 * MIB)
        await start(quotas, id)

        def update(**limits: int) -> Request:
            return Request(Verb.SET, ("containers", id, "update"), body=Json.from_data(limits))

        with pytest.raises(Denied, match="50MiB in use, 51MiB more"):
            await quotas.update("alice", id, update(Memory=101 * MIB, MemorySwap=101 * MIB))
        await quotas.update("alice", id, update(Memory=90 * MIB, MemorySwap=90 * MIB))
        await wait_all_tasks_blocked()
        assert used(quotas, "memory") == [90 * MIB]
        with pytest.raises(Denied, match="no limit more requested"):
            await quotas.update("alice", id, update(MemorySwap=-1))


async def test_a_container_that_may_not_start_is_removed_if_it_was_to_be_at_its_end() -> None:
    async with counted(Terms({"running": 1})) as (quotas, engine, _):
        await start(quotas, await create(quotas, "first", AutoRemove=True))
        short = await create(quotas, "short", AutoRemove=True)
        long = await create(quotas, "long")
        for each in (short, long):
            with pytest.raises(Denied, match="running: 1 in use"):
                await start(quotas, each)
        assert {each["Names"][0] for each in await engine.ls(all=True)} == {"/alice.first", "/alice.long"}


async def test_a_limit_is_required_if_its_sum_has_a_quota_and_no_default() -> None:
    async with counted(Terms({"pids": 100, "cpus": 10**9}, defaults={"cpus": 10**8})) as (quotas, engine, _):
        with pytest.raises(Denied, match=r"HostConfig\.PidsLimit is required: the tenant has a quota of pids"):
            await create(quotas, "a")
        id = await create(quotas, "a", PidsLimit=10)
        host = (await engine.get("containers", id))["HostConfig"]
        assert (host["NanoCpus"], host["PidsLimit"]) == (10**8, 10)


async def test_unlimited_swap_is_no_limit_of_memory() -> None:
    async with counted(Terms({"memory": 100 * MIB})) as (quotas, _, _):
        with pytest.raises(Denied, match="Memory is required"):
            await create(quotas, "a", Memory=MIB, MemorySwap=-1)


async def test_what_others_do_on_the_engine_is_counted(autojump_clock: MockClock) -> None:
    async with counted(Terms({"containers": 2, "memory": 2**40})) as (quotas, engine, _):
        body = {"Image": "busybox", "Cmd": ["sleep", "1000"], "Labels": LABELS, "HostConfig": {"Memory": 7 * MIB}}
        other = await engine.spawn(body, name="alice.other")
        await engine.start("containers", other.id)
        await engine.spawn({"Name": "alice.net", "Labels": LABELS}, "networks")
        await engine.spawn({"Name": "alice.data", "Labels": LABELS}, "volumes")
        await engine.spawn(body | {"Labels": {"swarmlib.tenant": "bob"}}, name="bob.other")
        await wait_all_tasks_blocked()
        assert used(quotas, "containers", "networks", "volumes", "memory") == [1, 1, 1, 7 * MIB]
        await create(quotas, "a", Memory=8 * MIB)
        with pytest.raises(Denied):
            await create(quotas, "b", Memory=8 * MIB)
        await engine.rm("containers", other.id, force=True)
        await engine.rm("volumes", "alice.data")
        await wait_all_tasks_blocked()
        assert used(quotas, "containers", "volumes", "memory") == [1, 0, 0]


async def test_after_a_restart_the_same_is_counted(autojump_clock: MockClock) -> None:
    async with Chain(Simulator()).open() as engine:
        terms = Terms({"containers": 2, "memory": 2**40})
        async with Quotas.open(engine, lambda _: terms) as quotas:
            id = await create(quotas, "a", Memory=9 * MIB)
            await start(quotas, id)
            await quotas.create(
                "alice",
                "alice.v",
                Request(Verb.SPAWN, ("volumes",), body=Json.from_data({"Name": "alice.v", "Labels": LABELS})),
            )
            await wait_all_tasks_blocked()
            before = used(quotas, "containers", "running", "memory", "volumes")
        async with Quotas.open(engine, lambda _: terms) as quotas:
            await create(quotas, "b", Memory=8 * MIB)
            with pytest.raises(Denied):
                await create(quotas, "c", Memory=8 * MIB)
            assert used(quotas, "containers", "running", "memory", "volumes") == [before[0] + 1, *before[1:]]


async def test_a_creation_that_the_engine_refuses_takes_nothing(autojump_clock: MockClock) -> None:
    async with counted(Terms({"containers": 1})) as (quotas, _, line):
        line.before.append(Unavailable("connection refused", details={UNSENT: True}))
        with pytest.raises(Unavailable):
            await create(quotas, "a")
        assert used(quotas, "containers") == [0]
        await create(quotas, "a")


async def test_a_creation_whose_answer_is_lost_counts_by_what_is_there(autojump_clock: MockClock) -> None:
    async with counted(Terms({"containers": 1})) as (quotas, engine, line):
        line.after.append(Unavailable("the connection broke"))
        with pytest.raises(Unavailable):
            await create(quotas, "a")
        with pytest.raises(Denied):
            await create(quotas, "b")
        line.before.append(Unavailable("the connection broke"))
        (made,) = await engine.ls(all=True)
        await engine.rm("containers", made["Id"])
        await wait_all_tasks_blocked()
        with pytest.raises(Unavailable):
            await create(quotas, "c")
        await wait_all_tasks_blocked()
        await create(quotas, "c")


async def test_a_client_that_leaves_does_not_uncount_what_it_made(autojump_clock: MockClock) -> None:
    async with counted(Terms({"containers": 1})) as (quotas, engine, line):
        line.held = trio.Event()
        with trio.move_on_after(1):
            await create(quotas, "a")
        assert len(await engine.ls(all=True)) == 1
        assert used(quotas, "containers") == [1]
        with pytest.raises(Denied):
            await create(quotas, "b")
        line.held.set()
        await wait_all_tasks_blocked()
        assert used(quotas, "containers") == [1]


async def test_nobody_with_a_quota_is_admitted_while_the_events_are_lost(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with counted(Terms({"containers": 5})) as (quotas, engine, line):
        await create(quotas, "a")
        events, line.events_end = line.events_end, trio.Event()
        events.set()
        await wait_all_tasks_blocked()
        await engine.spawn({"Image": "busybox", "Labels": LABELS}, name="alice.unseen")
        await create(quotas, "b")  # waits until all has been listed again
        assert used(quotas, "containers") == [3]
    assert "the engine's events were lost: they ended" in caplog.text


async def test_an_engine_that_does_not_answer_admits_nobody_with_a_quota(autojump_clock: MockClock) -> None:
    class Down(Server):
        def choose(self, request: Request) -> Handler:
            return self._fail

        async def _fail(self, _: Request) -> None:
            raise Unavailable("connection refused", details={UNSENT: True})

    async with Down().open(None) as sender, Quotas.open(sender, lambda _: Terms({"containers": 5})) as quotas:  # type: ignore[arg-type]
        with pytest.raises(Unavailable, match="what the tenant uses is not known"):
            await create(quotas, "a")


async def test_a_demanded_runtime_is_stamped_and_others_are_refused() -> None:
    terms = Terms(runtime="runsc")
    assert terms.container({"Image": "x"})["HostConfig"]["Runtime"] == "runsc"
    with pytest.raises(Denied, match=r"HostConfig\.Runtime must be 'runsc', not 'runc'"):
        terms.container({"HostConfig": {"Runtime": "runc"}})


async def test_without_egress_networks_are_internal() -> None:
    assert Terms(egress=False).network({"Name": "a", "Internal": False}) == {"Name": "a", "Internal": True}
    assert Terms().network({"Name": "a"}) == {"Name": "a"}


async def test_tags_of_a_tenant_are_counted(autojump_clock: MockClock) -> None:
    async with counted(Terms({"images": 1})) as (quotas, engine, _):
        async with quotas.tagging("alice", "tenant.invalid/alice/web:1"):
            await engine.set("images", "busybox", "tag", repo="tenant.invalid/alice/web", tag="1")
        await wait_all_tasks_blocked()
        assert used(quotas, "images") == [1]
        with pytest.raises(Denied, match="images: 1 in use"):
            async with quotas.tagging("alice", "tenant.invalid/alice/web:2"):
                pass
        async with quotas.tagging("alice", "tenant.invalid/alice/web:1"):
            pass  # the same tag, which moves
