"""The API from threads and from asyncio is the trio API: the same names, parameters and types, so none can drift."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmlib.client import aio, client, handles, sync, watch
from tests.support.desk import Desk

OF_MESSAGES = {"sender", "request", "call", "watch_at", "client", "replies"}
"""What speaks of messages and channels, which live in the loop."""

OWN = {"close", "enter", "held", "inner", "over", "wait_for"}

TWINS: list[tuple[type[Any], type[Any]]] = [
    (client.Client, sync.Client),
    (handles.Handle, sync.Handle),
    (handles.Workload, sync.Workload),
    (handles.Attachment, sync.Attachment),
    (watch.Watch, sync.Watch),
]


def public(thing: Any) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


@pytest.fixture
def one_of_each() -> Iterator[list[sync.Blocking[Any]]]:
    with sync.connect(Desk()) as swarm, swarm.watch() as events, swarm.attach("box") as conversation:
        yield [swarm, events, conversation, swarm.spawn(name="box"), swarm.spawn({"Name": "net"}, "networks")]


def test_both_have_the_same_names(one_of_each: list[sync.Blocking[Any]]) -> None:
    for blocking in one_of_each:
        assert public(blocking.inner) - OF_MESSAGES - {"aclose"} == public(blocking) - OWN
    assert {type(blocking) for blocking in one_of_each} == {blocking for _, blocking in TWINS}


@pytest.mark.parametrize(
    ("awaited", "blocking"),
    [
        pytest.param(getattr(awaited, name), getattr(blocking, name), id=f"{blocking.__name__}.{name}")
        for awaited, blocking in TWINS
        for name in sorted(public(awaited) & public(blocking))
    ],
)
def test_a_method_has_the_same_parameters_and_says_what_it_does(awaited: Any, blocking: Any) -> None:
    assert blocking.__doc__
    if not isinstance(awaited, property):
        assert inspect.iscoroutinefunction(blocking) is False
        assert shape(blocking) == shape(awaited)


def shape(method: Any) -> list[tuple[str, Any, Any]]:
    """Each parameter's name, kind and default; not its type, as `att` is a stream here and a file there."""
    return [(each.name, each.kind, each.default) for each in inspect.signature(method).parameters.values()]


def test_connecting_takes_the_same() -> None:
    assert shape(sync.connect) == shape(aio.connect) == shape(client.connect)


PROGRAM = """
from typing import Any, assert_type
from swarmlib import Client, Event, Finished, Image, Line, Workload, WorkloadSummary, aio, sync


def blocking(swarm: sync.Client) -> None:
    assert_type(swarm.ls(all=True), list[WorkloadSummary])
    assert_type(swarm.ls("images"), list[Image])
    assert_type(swarm.get("info"), Any)
    assert_type(swarm.run("any", "true", check=True), Finished)
    assert_type(swarm.spawn({}), sync.Workload)
    assert_type(swarm.spawn({}, "networks"), sync.Handle)
    assert_type(swarm.workload("box").logs(tail=1), list[Line])
    assert_type(swarm.workload("box").wait(), int)
    assert_type(swarm.connect("box"), sync.Stream)
    assert_type(swarm.file("containers", "box", "archive", path="/"), sync.Stream | None)
    assert_type(swarm.pull("redis:7", timeout=60), None)
    assert_type(swarm.workload("box").wait(timeout=1.5), int)
    for event in swarm.watch(filters={"type": "container"}):
        assert_type(event, Event)
    with swarm.watch("box", "stats") as stats, swarm.attach("box") as conversation, sync.connect("exec") as other:
        assert_type(next(stats), Any)
        assert_type(next(conversation.lines()), Line)
        assert_type(other, sync.Client)
    with swarm.workload("box").follow() as lines:
        assert_type(next(lines), Line)


async def awaited() -> None:
    async with aio.connect("debug | exec") as swarm:
        assert_type(swarm, Client)
        assert_type(await swarm.spawn({}), Workload)
"""
WRONG = """
def wrong(swarm: sync.Client) -> None:
    swarm.ls(1)
    swarm.run(image=3)
    swarm.spawn({}).kill(9)
    swarm.nothing()
    swarm.ls(filtres={"label": "a"})
    swarm.ls(timeout="soon")
    swarm.get("containers", "web", sise=True)
    swarm.run("any", Usr="nobody")
    swarm.spawn({}, nme="box")
    swarm.spawn({}, "networks", labels={}, nme="box")
    swarm.watch(filtres={})
    swarm.pull("redis", plattform="linux/amd64")
    swarm.attach("box", logs=True)
    swarm.file("containers", "web", "archive", pth="/")
    swarm.workload("box").logs(tial=1)
    swarm.workload("box").follow(tial=1)
    swarm.workload("box").exec("true", Usr="nobody")
    swarm.workload("box").rm(forced=True)


async def wrong_too(swarm: Client) -> None:
    await swarm.ls(filtres={"label": "a"})
    await swarm.ls("images", filtres={"label": "a"})
    await swarm.get("containers", "web", sise=True)
    await swarm.run("any", Usr="nobody")
    await swarm.workload("box").logs(tial=1)
    await swarm.workload("box").stop(grace=1)
"""


@pytest.mark.engine
@pytest.mark.parametrize(
    "checker",
    [("mypy", "--strict"), ("pyright", "--pythonpath", sys.executable)],
    ids=lambda checker: str(checker[0]),
)
def test_type_checkers_know_what_each_method_takes_and_gives(checker: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM + WRONG)
    check = [sys.executable, "-m", *checker, str(tmp_path / "program.py")]
    done = subprocess.run(check, capture_output=True, text=True, timeout=100, check=False)
    first_wrong = PROGRAM.count("\n") + 3
    lines = [int(line.split(":")[1]) for line in done.stdout.splitlines() if " error: " in line or " - error" in line]
    wrong = [first_wrong + n for n, line in enumerate(WRONG.splitlines()[2:]) if line.startswith("    ")]
    assert sorted(set(lines)) == wrong, done.stdout
