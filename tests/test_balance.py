"""balance over members in memory: where each verb goes, and what a member that fails does to the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing

from swarmlib import Ambiguous, Chain, Client, Conflict, Message, NotFound, Server, SwarmError, TimedOut, Unavailable
from swarmlib import connect as open_chain
from swarmlib_backends.balance import Balance, merge


@dataclass
class Engine(Server):
    """An engine in memory; it fails with the first of `trouble`, and `frozen` never answers."""

    label: str
    containers: dict[str, str] = field(default_factory=dict[str, str])
    images: Sequence[dict[str, Any]] = ()
    trouble: list[SwarmError] = field(default_factory=list[SwarmError])
    frozen: bool = False
    asked: list[str] = field(default_factory=list[str])

    @property
    def name(self) -> str:
        return self.label

    async def _enter(self, message: Message) -> None:
        self.asked.append(f"{message.verb} {'/'.join(message.path)}".strip())
        if self.frozen:
            await trio.sleep_forever()
        if self.trouble:
            raise self.trouble[0]

    async def ls(self, message: Message) -> Any:
        await self._enter(message)
        if message.path == ("images",):
            return list(self.images)
        return [{"Id": full, "Names": [f"/{name}"], "Created": 1} for full, name in self.containers.items()]

    async def get(self, message: Message) -> Any:
        await self._enter(message)
        if message.path == ():
            return {"Containers": len(self.containers), "NCPU": 2, "Warnings": None}
        if message.path == ("version",):
            return {"ApiVersion": "1.9" if self.label == "old" else "1.41"}
        ref = message.path[1]
        for full, name in self.containers.items():
            if ref in (full, name) or full.startswith(ref):
                return {"Id": full, "Name": f"/{name}"}
        raise NotFound(f"No such container: {ref}")

    async def spawn(self, message: Message) -> Any:
        await self._enter(message)
        if message.path == ("images",) and message.ret:
            await message.ret.set({"status": f"pulling on {self.label}"})
            return None
        full = f"{self.label}{len(self.containers)}".ljust(64, "0")
        self.containers[full] = message.args.get("name", full)
        return {"Id": full}

    async def start(self, message: Message) -> None:
        await self._enter(message)

    async def watch(self, message: Message) -> None:
        await self._enter(message)
        assert message.ret
        await message.ret.ack()
        await message.ret.set({"Action": "start", "from": self.label})


ID_A, ID_B = "a" * 64, "b" * 64


def two(**changes: Any) -> tuple[Engine, Engine]:
    return Engine("A", {ID_A: "web"}, **changes), Engine("B", {ID_B: "db"})


def over(*engines: Engine, **options: Any) -> Chain:
    return Chain(Balance([Chain(engine) for engine in engines], **options))


async def test_lists_are_merged_and_each_object_tells_its_engine() -> None:
    async with open_chain(over(*two())) as swarm:
        found = await swarm.ls()
    assert {(item["Names"][0], item["Node"]) for item in found} == {("/web", "A"), ("/db", "B")}


@pytest.mark.parametrize("ref", [ID_B, "db", "bbb"], ids=["id", "name", "prefix"])
async def test_a_call_reaches_the_owner_alone(ref: str) -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.start("containers", ref)
    assert f"start containers/{ref}" in b.asked
    assert f"start containers/{ref}" not in a.asked


async def test_an_id_that_was_spawned_here_needs_no_search() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        made = await swarm.spawn({"Image": "x"})
        a.asked.clear()
        b.asked.clear()
        await made.start()
    assert a.asked + b.asked == [f"start containers/{made.id}"]


async def test_a_prefix_that_two_engines_know_is_ambiguous_and_the_candidates_are_named() -> None:
    a, b = Engine("A", {"abc".ljust(64, "1"): "x"}), Engine("B", {"abc".ljust(64, "2"): "y"})
    async with open_chain(over(a, b)) as swarm:
        with pytest.raises(Ambiguous, match="A/x, B/y"):
            await swarm.start("containers", "abc")


async def test_what_no_engine_has_is_not_found_but_unknown_while_one_is_down() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        with pytest.raises(NotFound, match="No such container: nosuch"):
            await swarm.start("containers", "nosuch")
        a.trouble.append(Unavailable("A is down"))
        with pytest.raises(Unavailable, match="A is down"):
            await swarm.start("containers", "nosuch")


async def test_spread_fills_the_emptiest_and_round_robin_takes_turns() -> None:
    for strategy, expected in (("spread", (3, 3)), ("round-robin", (4, 2))):
        a, b = Engine("A", {ID_A: "one", "c" * 64: "two"}), Engine("B")
        async with open_chain(over(a, b, strategy=strategy)) as swarm:
            for _ in range(4):
                await swarm.spawn({"Image": "x"})
        assert (len(a.containers), len(b.containers)) == expected


async def test_a_burst_is_spread_too() -> None:
    a, b = Engine("A"), Engine("B")
    async with open_chain(over(a, b)) as swarm, trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(swarm.spawn, {"Image": "x"})
    assert len(a.containers) + len(b.containers) == 10
    assert min(len(a.containers), len(b.containers)) >= 3


async def test_a_name_that_any_engine_has_is_taken() -> None:
    async with open_chain(over(*two())) as swarm:
        with pytest.raises(Conflict, match=r'"/db" is already in use .* on B'):
            await swarm.spawn({"Image": "x"}, name="db")


async def test_a_dead_engine_does_not_spoil_the_rest_and_info_says_it_is_missing() -> None:
    a, b = two(trouble=[Unavailable("connection refused")])
    async with open_chain(over(a, b)) as swarm:
        assert [item["Node"] for item in await swarm.ls()] == ["B"]
        info = await swarm.get()
        made = await swarm.spawn({"Image": "x"})
    assert info["Warnings"] == ["A is missing: connection refused"]
    assert made.id in b.containers


async def test_a_frozen_engine_holds_up_a_list_for_its_deadline_at_most(autojump_clock: trio.testing.MockClock) -> None:
    a, b = two(frozen=True)
    async with open_chain(over(a, b, deadline=2.0)) as swarm:
        start = trio.current_time()
        assert [item["Node"] for item in await swarm.ls()] == ["B"]
        assert trio.current_time() - start == pytest.approx(2.0)


async def test_when_all_are_down_the_first_failure_is_the_answer(autojump_clock: trio.testing.MockClock) -> None:
    async with open_chain(over(Engine("A", frozen=True), Engine("B", trouble=[Unavailable("gone")]))) as swarm:
        with pytest.raises(TimedOut, match="A did not answer within 5 s"):
            await swarm.ls()


async def test_events_of_all_engines_come_in_one_stream() -> None:
    async with open_chain(over(*two())) as swarm, swarm.watch() as events:
        seen = {(await anext(events))["from"] for _ in range(2)}
    assert seen == {"A", "B"}


async def test_a_pull_goes_to_every_engine_and_fails_if_one_fails() -> None:
    a, b = two()
    async with open_chain(over(a, b)) as swarm:
        await swarm.spawn(None, "images", fromImage="busybox")
        assert "spawn images" in a.asked
        assert "spawn images" in b.asked
        b.trouble.append(Unavailable("B is down"))
        with pytest.raises(Unavailable, match="B is down"):
            await swarm.spawn(None, "images", fromImage="busybox")


async def test_the_version_is_the_lowest_and_the_counts_are_summed() -> None:
    async with open_chain(over(Engine("new", {ID_A: "x"}), Engine("old", {ID_B: "y"}))) as swarm:
        assert (await swarm.get("version"))["ApiVersion"] == "1.9"
        info = await swarm.get()
    assert (info["Containers"], info["NCPU"]) == (2, 4)


def test_an_image_on_two_engines_is_listed_once_with_all_its_tags() -> None:
    one = {"Id": "sha256:1", "RepoTags": ["a:1"], "Created": 1}
    other = {"Id": "sha256:1", "RepoTags": ["b:1"], "Created": 1}
    assert merge.images([("A", [one]), ("B", [other])]) == [{**one, "RepoTags": ["a:1", "b:1"], "RepoDigests": []}]
    assert one["RepoTags"] == ["a:1"]


def test_what_prunes_removed_is_added_up() -> None:
    one, other = ({"ContainersDeleted": removed, "SpaceReclaimed": size} for removed, size in ((["1"], 5), (None, 2)))
    parts = [("A", one), ("B", other)]
    assert merge.deleted(parts) == {"ContainersDeleted": ["1"], "SpaceReclaimed": 7}


async def test_a_caller_that_goes_away_leaves_no_placement_pending() -> None:
    a = Engine("A")
    async with over(a).open() as sender:
        client = Client(sender)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.spawn, {"Image": "x"})
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        await client.spawn({"Image": "y"})
    assert a.containers
