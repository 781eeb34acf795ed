"""A balance with a provisioner: nodes are made when a container fits on no other; and what is said without nodes."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from swarmlib import Chain, Client, NotFound, Request, Unavailable, Unsupported, connect
from swarmlib_backends.balance import Balance
from swarmlib_backends.balance.members import Members
from swarmlib_backends.balance.node import Node
from swarmlib_backends.balance.placement.request import PlacementRequest
from swarmlib_backends.balance.provisioner import Provisioner
from tests.support.simulated import Engine


class Boards(Provisioner):
    """Up to two engines, each for one container; those whose names are in `asleep` are not at hand."""

    name = "boards"

    def __init__(self) -> None:
        self.made: list[Engine] = []
        self.asleep: set[str] = set()
        self.requests: list[PlacementRequest] = []

    @asynccontextmanager
    async def provision(self, members: Members, /) -> AsyncGenerator[None]:
        self._members = members
        yield

    async def make_room(self, request: PlacementRequest, unfit: Callable[[], Unavailable | None], /) -> None:
        self.requests.append(request)
        reason = unfit()
        assert reason is not None
        if len(self.made) == 2:
            raise Unavailable(f"both boards are full: {reason.message}")
        self.made.append(Engine(f"board{len(self.made)}", info={"Labels": ["containerslots=1"]}))
        member = await self._members.join(Chain(self.made[-1]))
        await member.wait_up()
        assert unfit() is None

    def capacity(self) -> Mapping[str, Any]:
        return {"NCPU": 99}

    def at_hand(self, node: Node, /) -> bool:
        return node.name not in self.asleep

    async def when_empty(self, request: Request, /) -> Any:
        if request.path:
            raise NotFound("there is no board yet")
        return {"Name": "boards", **self.capacity()}


async def spawned(swarm: Client, name: str, **body: Any) -> str:
    await swarm.spawn({"Image": "busybox", **body}, name=name)
    return next(each.node for each in await swarm.ls(all=True) if each.name == name)


async def test_a_node_is_made_for_what_fits_on_no_other() -> None:
    boards = Boards()
    async with connect(Balance(provisioner=boards)) as swarm:
        assert await spawned(swarm, "one") == "board0"
        assert await spawned(swarm, "two", Env=["constraint:node==nosuch"]) == "board1"
        with pytest.raises(Unavailable, match=r"both boards are full: .*all its 1 container slots are taken"):
            await swarm.spawn({"Image": "busybox"}, name="three")
        assert [each.name for each in boards.requests] == ["one", "two", "three"]
        await swarm.rm("containers", "one")
        assert await spawned(swarm, "four") == "board0"
        assert len(boards.requests) == 3
        assert (await swarm.get())["NCPU"] == 99


async def test_while_there_is_no_node_lists_are_empty_and_the_provisioner_is_asked_for_the_rest() -> None:
    async with connect(Balance(provisioner=Boards(), strict=True)) as swarm:
        assert [await swarm.ls(kind) for kind in ("containers", "images", "networks")] == [[], [], []]
        assert await swarm.get() == {"Name": "boards", "NCPU": 99}
        with pytest.raises(NotFound, match="no board yet"):
            await swarm.get("containers", "web")
        with pytest.raises(Unsupported, match="no node of boards runs"):
            await swarm.spawn(None, "images", fromImage="busybox")


async def test_a_node_that_is_not_at_hand_gets_what_fits_nowhere_else_and_no_pulled_image() -> None:
    boards = Boards()
    async with connect(Balance(provisioner=boards)) as swarm:
        await spawned(swarm, "one")
        await spawned(swarm, "two")
        await swarm.rm("containers", "one")
        await swarm.rm("containers", "two")
        boards.asleep = {"board0"}
        assert await spawned(swarm, "three") == "board1"
        assert await spawned(swarm, "four") == "board0"
        await swarm.spawn(None, "images", fromImage="new", tag="1")
        assert ["spawn images" in each.asked for each in boards.made] == [False, True]


async def test_a_name_that_is_taken_makes_no_node() -> None:
    boards = Boards()
    async with connect(Balance(provisioner=boards)) as swarm:
        await spawned(swarm, "web")
        with pytest.raises(Exception, match="already in use"):
            await swarm.spawn({"Image": "busybox"}, name="web")
    assert len(boards.made) == 1


def test_a_balance_needs_members_or_a_provisioner() -> None:
    assert Balance(provisioner=Boards()).name == "boards"
    assert Balance(["exec"]).name == "balance"
