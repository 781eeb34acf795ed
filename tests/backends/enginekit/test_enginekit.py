"""What backends that play an engine share: a leaf of a few lines has all that a client expects of its containers."""

import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest
import trio

from swarmlib import Client, Conflict, Internal, Invalid, NotFound, Request, Server, Unsupported, connect
from swarmlib.testing import check_backend
from swarmlib_backends import Exec
from swarmlib_backends.enginekit import (
    FILTERS,
    HONOURED,
    USUAL,
    Accepted,
    Container,
    ContainerServer,
    ContainerStore,
    Filter,
    Piece,
    answers,
    one_of,
    only,
)
from tests.support.leaves import processes


class Program(Container):
    """`cat`, `say WORDS`, and `sleep`."""

    async def run(self) -> int:
        match self.command:
            case ["cat"]:
                async for data in self.stdin:
                    await self.output.add(Piece(1, time.time(), bytes(data)))
            case ["say", *words]:
                for word in words:
                    await self.say(f"{word}\n")
            case _:
                await trio.sleep_forever()
        return 0


@dataclass
class Programs(ContainerServer[Program]):
    accepted: ClassVar[Accepted] = Accepted(
        "a program", USUAL | {"Env"}, {**HONOURED, "Memory": only(1 << 20)}, advice=": it is too small for that"
    )
    filters: ClassVar[Mapping[str, Filter[Container]]] = {
        **ContainerServer.filters,
        "network": one_of(lambda each, value: each.network_mode == value),
    }

    def make(self, id: str, name: str, body: dict[str, Any]) -> Program:
        return Program(id, name, body)

    @answers("ContainerTop")
    async def top(self, request: Request) -> dict[str, Any]:
        return {"Processes": [self.store.find(request.path[1]).command]}

    @answers("SystemDataUsage")
    async def disk_usage(self, request: Request) -> dict[str, Any]:
        return {"LayersSize": 7}


@pytest.fixture
async def programs() -> AsyncGenerator[Client]:
    async with connect(Programs()) as client:
        yield client


async def test_a_leaf_of_a_few_lines_keeps_the_contract(autojump_clock: trio.testing.MockClock) -> None:
    leaf = replace(processes(), talks={"Cmd": ["say", "one", "", "three"]})
    leaf = replace(leaf, lines=(b"one", b"", b"three"))
    report = await check_backend(Programs, leaf=leaf)
    assert {"gives_every_line", "half_closes_streams", "holds_back_a_stream_that_nobody_reads"} <= {*report.passed}


async def test_a_method_answers_the_row_that_it_is_marked_with(programs: Client) -> None:
    made = await programs.spawn({"Cmd": ["say", "it"]})
    assert await programs.get("containers", made.id, "top") == {"Processes": [["say", "it"]]}
    assert await programs.get("df") == {"LayersSize": 7}, "in place of what every backend of this kind answers"


def test_a_method_that_is_marked_with_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match="the routing table has no row ContainerTops"):
        answers("ContainerTops", "ContainerTop")


async def test_a_list_has_the_filters_that_its_backend_declares(programs: Client) -> None:
    for name, label in (("one", "a=b"), ("two", "a=c")):
        await programs.spawn({"Cmd": ["say"], "Labels": dict([label.split("=")])}, name=name)
    await programs.start("containers", "two")

    async def names(**params: Any) -> list[str]:
        return [each["Names"][0] for each in await programs.ls(**params)]

    assert await names(filters={"status": ["created"]}) == ["/one"]
    assert await names(all=True) == ["/two", "/one"]
    assert await names(all=True, limit=1) == ["/two"]
    assert await names(all=True, filters={"label": ["a=b"]}) == ["/one"]
    assert await names(all=True, filters={"network": ["none"], "name": ["^t"]}) == ["/two"]
    assert await names(all=True, filters={"network": ["other"]}) == []
    with pytest.raises(Unsupported, match=r"the filter volume is not supported; expected one of .*network"):
        await names(filters={"volume": ["x"]})
    with pytest.raises(Invalid, match="Invalid filter 'colour'"):
        await names(filters={"colour": ["x"]})
    with pytest.raises(Invalid, match="Invalid filter 'status=red'"):
        await names(filters={"status": ["red"]})


@pytest.mark.parametrize("backend", [Exec, Programs])
async def test_a_filter_that_no_engine_knows_is_invalid_everywhere(backend: type[Server]) -> None:
    async with connect(backend()) as client:
        for asked in (client.ls("images", filters={"x": ["y"]}), client.rm("containers", filters={"x": ["y"]})):
            with pytest.raises(Invalid, match="Invalid filter 'x'"):
                await asked


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"User": "root"}, "User"),
        ({"HostConfig": {"Memory": 5, "Binds": ["/a:/b"]}}, "HostConfig.Memory, HostConfig.Binds"),
        ({"HostConfig": {"NetworkMode": "host"}}, "HostConfig.NetworkMode"),
        ({"HostConfig": {"RestartPolicy": {"Name": "always"}}}, "HostConfig.RestartPolicy"),
    ],
)
def test_what_a_body_asks_for_in_vain_is_refused_by_name(body: dict[str, Any], refused: str) -> None:
    with pytest.raises(Unsupported) as caught:
        Programs.accepted.check(body)
    assert caught.value.message == f"a program can't have {refused}: it is too small for that"


def test_what_says_nothing_is_taken() -> None:
    host = {
        "Memory": 1 << 20,
        "NetworkMode": "default",
        "RestartPolicy": {"Name": "no"},
        "Binds": [],
        "AutoRemove": True,
    }
    body = {"Cmd": ["say"], "User": "", "Env": ["A=b"], "HostConfig": {**host, "ConsoleSize": [24, 80]}}
    assert Programs.accepted.check(body) is body
    with pytest.raises(Invalid, match="must be a JSON object"):
        Programs.accepted.check(["Cmd"])


@dataclass(eq=False)
class Named:
    id: str
    name: str
    labels: dict[str, str] = field(default_factory=dict[str, str])


def test_a_store_finds_as_an_engine_does() -> None:
    store = ContainerStore[Named]()
    one, two = Named("abc1", "web"), Named("abc2", "db")
    store.add(one)
    store.add(two)
    assert [store.find(ref) for ref in ("web", "/web", "abc1", "abc2", "db")] == [one, one, one, two, two]
    with pytest.raises(Internal, match="Multiple IDs found with provided prefix: abc"):
        store.find("abc")
    for ref, error in (("nosuch", NotFound), ("", Invalid)):
        with pytest.raises(error):
            store.find(ref)
    with pytest.raises(Conflict, match='already in use by container "abc1"'):
        store.rename(two, "web")
    with pytest.raises(Invalid, match="Renaming a container with the same name"):
        store.rename(two, "db")
    store.rename(two, "/data")
    assert (store.find("data"), store.named("db"), store.free_name("/db")) == (two, None, "db")
    assert (store.remove(one), store.remove(one), store.free_name("web"), list(store)) == (True, False, "web", [two])


def test_the_filters_of_every_list_take_no_values_for_all() -> None:
    each = Container("abc", "web", {"Labels": {"a": "b"}})
    assert all(make([])(each) for make in FILTERS.values())
