"""Engines of which some manage a swarm: what concerns the swarm goes to a manager, and comes from one."""

from typing import Any

import pytest
import trio
import trio.testing

from swarmlib import Chain, Client, SwarmError, Unavailable, connect
from swarmlib_backends.balance import Balance, merge
from swarmlib_backends.balance.node import Node
from tests.support.simulated import Engine

NOT_A_MANAGER = "This node is not a swarm manager."


def over(*engines: Engine) -> Chain:
    return Chain(Balance([Chain(each) for each in engines], deadline=0.5))


class SwarmEngine(Engine):
    """An engine of a swarm: only a manager, as its `info` says, does what concerns the swarm."""

    async def ls(self, request: Any) -> Any:
        if request.path == ("services",):
            return [{"ID": self._managing(request)}]
        return await super().ls(request)

    async def set(self, request: Any) -> Any:
        if request.path == ("swarm", "unlock"):
            self.asked.append("set swarm/unlock")
            return None
        return await super().set(request)

    async def rm(self, request: Any) -> Any:
        if request.path[0] == "networks":
            self._managing(request)
            del self.networks[request.path[1]]
            return None
        return await super().rm(request)

    def _managing(self, request: Any) -> str:
        self.asked.append(f"{request.verb} {'/'.join(request.path)}")
        if not self.info["Swarm"]["ControlAvailable"]:
            raise SwarmError(NOT_A_MANAGER)
        return self.label


def engine(name: str, managers: str = "M", state: str = "active", error: str = "") -> SwarmEngine:
    about = {
        "NodeID": name,
        "LocalNodeState": state,
        "ControlAvailable": name in managers and state == "active",
        "RemoteManagers": [{"NodeID": each} for each in managers],
        "Error": error,
    }
    return SwarmEngine(name, info={"Swarm": about})


async def services(swarm: Client) -> list[str]:
    return [each["ID"] for each in await swarm.ls("services")]


async def test_services_are_a_manager_s_wherever_it_stands() -> None:
    async with connect(over(engine("W"), engine("M"))) as swarm:
        assert await services(swarm) == ["M"]
        assert (await swarm.get())["Swarm"]["NodeID"] == "M"


async def test_a_manager_that_has_lost_the_others_does_not_speak_for_the_swarm() -> None:
    lost = engine("L", "LM", error="The swarm does not have a leader.")
    async with connect(over(lost, engine("M", "LM"))) as swarm:
        assert await services(swarm) == ["M"]
        assert (await swarm.get())["Swarm"]["NodeID"] == "M"
    async with connect(over(engine("W"), lost)) as swarm:
        assert await services(swarm) == ["L"]  # which says what is wrong


async def test_another_manager_stands_in_for_one_that_is_down_and_without_any_the_error_names_it() -> None:
    one, other = engine("M", "MN"), engine("N", "MN")
    async with connect(over(engine("W", "MN"), one, other)) as swarm:
        with one.down():
            assert await services(swarm) == ["N"]
            with other.down(), pytest.raises(Unavailable, match=r"[MN], which manages the swarm, does not answer: .*"):
                await swarm.ls("services")


async def test_a_manager_that_hangs_is_named() -> None:
    manager = engine("M")
    async with connect(over(engine("W"), manager)) as swarm:
        await swarm.ls()
        manager.frozen = True
        with pytest.raises(Unavailable, match="M, which manages the swarm, does not answer"):
            await swarm.ls("services")


async def test_without_a_manager_an_engine_says_so() -> None:
    async with connect(over(engine("W", ""))) as swarm:
        with pytest.raises(SwarmError, match=NOT_A_MANAGER):
            await swarm.ls("services")


async def test_an_unlock_goes_to_the_engine_that_is_locked() -> None:
    worker, locked, manager = engine("W"), engine("L", state="locked"), engine("M")
    async with connect(over(worker, manager, locked)) as swarm:
        await swarm.set("swarm", "unlock", body={"UnlockKey": "key"})
    assert "set swarm/unlock" in locked.asked
    async with connect(over(worker, manager)) as swarm:
        await swarm.set("swarm", "unlock", body={"UnlockKey": "key"})
    assert "set swarm/unlock" in manager.asked


def overlay(*engines: Engine) -> None:
    for each in engines:
        each.networks["net"] = {"Name": "web", "Id": "net", "Scope": "swarm", "Of": each.label}


async def test_a_network_of_the_swarm_is_a_manager_s_to_remove_also_if_a_worker_has_it() -> None:
    worker, manager = engine("W"), engine("M")
    overlay(worker, manager)
    async with connect(over(worker, manager)) as swarm:
        assert (await swarm.get("networks", "web"))["Of"] == "M"
        await swarm.rm("networks", "web")
        assert manager.networks == {}


async def test_a_manager_is_asked_also_while_only_a_worker_shows_the_network() -> None:
    worker, manager = engine("W"), engine("M")
    overlay(worker)
    async with connect(over(Engine("A"), worker, manager)) as swarm:
        await swarm.ls("networks")
        overlay(manager)  # without an event
        assert (await swarm.get("networks", "web"))["Of"] == "M"
        await swarm.rm("networks", "web")
        assert manager.networks == {}


async def manager_loses_sight(worker: Engine, manager: Engine) -> None:
    """Their engines stop and begin to use a network of the swarm, and tell that as the end and the start of it."""
    overlay(worker, manager)
    manager.tell_of("network", "destroy", "net", {"name": "web"})
    worker.tell_of("network", "create", "net", {"name": "web"})
    await trio.testing.wait_all_tasks_blocked()


async def test_a_manager_is_asked_also_if_a_worker_has_just_begun_to_use_the_network() -> None:
    worker, manager = engine("W"), engine("M")
    overlay(manager)
    async with connect(over(worker, manager)) as swarm:
        await swarm.ls("networks")
        await manager_loses_sight(worker, manager)
        await swarm.rm("networks", "web")
        assert manager.networks == {}


async def test_a_network_that_a_worker_has_just_begun_to_use_can_be_used_on_all_nodes_of_the_swarm() -> None:
    worker, manager = engine("W"), engine("M")
    overlay(manager)
    on_manager = manager.add("on_manager")
    async with connect(over(worker, manager)) as swarm:
        await swarm.ls("networks")
        await manager_loses_sight(worker, manager)
        await swarm.spawn({"Image": "busybox", "HostConfig": {"NetworkMode": "web"}, "Env": ["constraint:node==M"]})
        await manager_loses_sight(worker, manager)
        await swarm.set("networks", "net", "connect", body={"Container": on_manager.id})
    assert "set networks/net/connect" in manager.asked


async def test_a_network_of_the_swarm_can_be_used_on_all_its_nodes_and_on_no_other() -> None:
    worker, manager, alone = engine("W"), engine("M"), Engine("A")
    overlay(manager)
    async with connect(over(alone, worker, manager)) as swarm:
        for name in ("one", "two"):
            await swarm.spawn({"Image": "busybox", "HostConfig": {"NetworkMode": "web"}}, name=name)
        assert [len(each.boxes) for each in (alone, worker, manager)] == [0, 1, 1]
        away = alone.add("away")
        await swarm.ls()
        with pytest.raises(SwarmError, match=r"the network web is on M, W, but the container 0.* is on A"):
            await swarm.set("networks", "web", "connect", body={"Container": away.id})
    assert not any("connect" in text for text in worker.asked)


async def test_what_all_managers_tell_of_the_swarm_is_told_once(autojump_clock: trio.testing.MockClock) -> None:
    one, other = engine("M", "MN"), engine("N", "MN")

    def tell(action: str, *nanos: int) -> None:
        for each, nano in zip((one, other), nanos, strict=True):
            actor = {"ID": "s", "Attributes": {"name": "s"}}
            happened = {"Type": "service", "Action": action, "Actor": actor, "scope": "swarm", "timeNano": nano}
            for watcher in each.watchers:
                watcher.send_nowait(happened)

    async with connect(over(one, other)) as swarm, swarm.watch() as events:
        await trio.testing.wait_all_tasks_blocked()
        tell("create", 1, 1)
        tell("update", 2, 2)
        tell("update", 3, 3)
        tell("remove", 4, 5)  # each manager sees a removal at a time of its own
        seen = [await anext(events) for _ in range(4)]
        with trio.move_on_after(60):
            pytest.fail(f"{await anext(events)} came besides")
    assert [each["Action"] for each in seen] == ["create", "update", "update", "remove"]


def test_a_volume_of_the_swarm_is_listed_once() -> None:
    parts: list[tuple[Node, Any]] = [
        (Node(name), {"Volumes": [{"Name": "v", "ClusterVolume": {"ID": "1"}}, {"Name": "local"}]}) for name in "MN"
    ]
    found = merge.volumes(parts)["Volumes"]
    assert [(each["Name"], each["Node"]["Name"]) for each in found] == [("v", "M"), ("local", "M"), ("local", "N")]


async def test_a_network_that_only_a_worker_still_has_is_not_listed() -> None:
    worker, manager = engine("W"), engine("M")
    overlay(worker)
    for other in ([manager], []):
        async with connect(over(worker, *other)) as swarm:
            assert ("web" in [each["Name"] for each in await swarm.ls("networks")]) is not bool(other)
