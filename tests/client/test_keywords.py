"""What calls take: keywords that are misspelt are errors, `timeout` limits a call, and `pull` names an image whole."""

import base64
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from swarmlib import Request, Server, TimedOut, Unsupported, Verb, connect, sync
from swarmlib.client import keywords
from swarmlib_backends.dockerapi.rows import ROWS
from swarmlib_backends.simulator import Simulator

Call = Callable[[Any], Any]


class Listener(Server):
    """Notes what it is asked, and answers with nothing."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        heard.clear()
        yield

    async def ls(self, request: Request) -> list[Any]:
        return self.hear(request, [])

    async def get(self, request: Request) -> Any:
        return self.hear(request, {"Config": {}})

    async def spawn(self, request: Request) -> Any:
        return self.hear(request, {"Id": "box"})

    async def stop(self, request: Request) -> None:
        self.hear(request, None)

    def hear(self, request: Request, answer: Any) -> Any:
        heard.append(request)
        return answer


heard: list[Request] = []
MISSPELT: list[tuple[Call, str]] = [
    (lambda swarm: swarm.ls(filtres={"label": "a"}), "'filtres' of ls containers; did you mean 'filters'?"),
    (lambda swarm: swarm.ls("images", limit=3), "'limit' of ls images; there are: all, digests, filters"),
    (lambda swarm: swarm.get(verbose=True), "'verbose' of get; there are: none"),
    (lambda swarm: swarm.spawn({}, nme="box"), "'nme' of spawn containers; did you mean 'name'?"),
    (lambda swarm: swarm.stop("web", force=True), r"'force' of stop containers/\*; there are: signal, t"),
    (lambda swarm: swarm.workload("web").rm(forced=True), r"'forced' of rm containers/\*; did you mean 'force'?"),
    (lambda swarm: swarm.workload("web").logs(tial=3), r"'tial' of connect containers/\*/logs; did you mean 'tail'?"),
    (lambda swarm: swarm.run("any", Usr="nobody"), "'Usr' of run; did you mean 'User'?"),
    (lambda swarm: swarm.workload("web").exec("true", Usr="nobody"), "'Usr' of exec; did you mean 'User'?"),
    (lambda swarm: swarm.ls(timeuot=3), "'timeuot' of ls containers; there are: all"),
]
"""Calls with a keyword that isn't one, and what is said of it."""
by_call = pytest.mark.parametrize(("call", "said"), MISSPELT, ids=[said.split("'")[1] for _, said in MISSPELT])


@by_call
async def test_a_keyword_that_does_not_exist_is_an_error_and_nothing_is_asked(call: Call, said: str) -> None:
    async with connect(Listener()) as swarm:
        with pytest.raises(TypeError, match=f"unknown keyword {said}"):
            await call(swarm)
    assert heard == []


@by_call
def test_it_is_an_error_in_threads_too(call: Call, said: str) -> None:
    with sync.connect(Listener()) as swarm, pytest.raises(TypeError, match=f"unknown keyword {said}"):
        call(swarm)
    assert heard == []


async def test_an_operation_that_is_not_the_engine_apis_has_its_own_parameters() -> None:
    async with connect(Listener()) as swarm:
        await swarm.ls("things", all=True)
        await swarm.call(Verb.STOP, ("containers", "web"), params={"keep_allocated": "1"})
    assert [dict(request.params) for request in heard] == [{"all": "1"}, {"keep_allocated": "1"}]


def test_every_parameter_of_the_table_is_a_keyword_but_the_one_that_the_client_takes() -> None:
    for row in ROWS:
        declared = set(row.params.declared) - {"timeout"}
        assert declared <= set(keywords.PARAMETERS[row.verb, row.object]), row.name
        class_ = getattr(keywords, f"{row.verb.capitalize()}Params")
        assert {name.replace("-", "_") for name in declared} <= class_.__annotations__.keys()


# Timeouts.


class Silent(Server):
    """Answers nothing."""

    async def ls(self, request: Request) -> list[Any]:
        deadlines.append(request.deadline)
        await trio.sleep_forever()
        return []

    get = spawn = start = stop = rm = set = watch = connect = file = ls


deadlines: list[float] = []
LATE: dict[str, Call] = {
    "ls": lambda swarm: swarm.ls(timeout=3),
    "get": lambda swarm: swarm.get("containers", "web", timeout=3),
    "set": lambda swarm: swarm.set("containers", "web", "pause", timeout=3),
    "spawn": lambda swarm: swarm.spawn({}, timeout=3),
    "start": lambda swarm: swarm.start("web", timeout=3),
    "stop": lambda swarm: swarm.stop("web", timeout=3),
    "rm": lambda swarm: swarm.rm("images", timeout=3),
    "connect": lambda swarm: swarm.connect("containers", "web", timeout=3),
    "file": lambda swarm: swarm.file("containers", "web", "archive", path="/", timeout=3),
    "pull": lambda swarm: swarm.pull("redis", timeout=3),
    "handle.get": lambda swarm: swarm.workload("web").get("top", timeout=3),
    "handle.start": lambda swarm: swarm.workload("web").start(timeout=3),
    "handle.stop": lambda swarm: swarm.workload("web").stop(timeout=3),
    "handle.rm": lambda swarm: swarm.workload("web").rm(timeout=3),
    "handle.spawn": lambda swarm: swarm.workload("web").spawn({}, "exec", timeout=3),
    "details": lambda swarm: swarm.workload("web").details(timeout=3),
    "kill": lambda swarm: swarm.workload("web").kill(timeout=3),
    "wait": lambda swarm: swarm.workload("web").wait(timeout=3),
    "logs": lambda swarm: swarm.workload("web").logs(timeout=3),
    "exec": lambda swarm: swarm.workload("web").exec("true", timeout=3),
}


@pytest.mark.parametrize("name", LATE)
async def test_a_call_that_takes_too_long_is_cancelled(name: str, autojump_clock: MockClock) -> None:
    deadlines.clear()
    async with connect(Silent()) as swarm:
        began = trio.current_time()
        with pytest.raises(TimedOut, match="timed out: "):
            await LATE[name](swarm)
        assert deadlines == [pytest.approx(began + 3)], "it travels with the call"


def test_a_timeout_in_threads() -> None:
    with sync.connect(Silent()) as swarm, pytest.raises(TimedOut, match="timed out: "):
        swarm.workload("web").details(timeout=0.01)


async def test_a_timeout_that_is_none_is_refused() -> None:
    async with connect(Silent()) as swarm:
        with pytest.raises(ValueError, match="non-negative"):
            await swarm.ls(timeout=-1)


async def test_a_run_whose_time_is_up_leaves_nothing() -> None:
    async with connect(Simulator()) as swarm:
        with pytest.raises(TimedOut, match=r"no answer within 0\.2 s"):
            await swarm.run("busybox", "sleep 1000", timeout=0.2)
        assert await swarm.ls(all=True) == []


# Images.


@pytest.mark.parametrize(
    ("image", "asked"),
    [
        ("redis", {"fromImage": "redis", "tag": "latest"}),
        ("redis:7", {"fromImage": "redis", "tag": "7"}),
        ("localhost:5000/a/b", {"fromImage": "localhost:5000/a/b", "tag": "latest"}),
        ("localhost:5000/a/b:c", {"fromImage": "localhost:5000/a/b", "tag": "c"}),
        ("redis:7@sha256:abc", {"fromImage": "redis", "tag": "sha256:abc"}),
    ],
)
async def test_a_pull_names_one_image(image: str, asked: dict[str, str]) -> None:
    async with connect(Listener()) as swarm:
        await swarm.pull(image)
    (request,) = heard
    assert (request.verb, request.path, dict(request.params)) == (Verb.SPAWN, ("images",), asked)
    assert request.meta.headers == ()


async def test_a_pull_may_name_a_platform_and_credentials() -> None:
    async with connect(Listener()) as swarm:
        await swarm.pull("redis", platform="linux/arm64", credentials={"username": "me", "password": "s?cret"})
    (request,) = heard
    assert request.params["platform"] == "linux/arm64"
    sent = base64.urlsafe_b64decode(request.meta.header("x-registry-auth") or "")
    assert json.loads(sent) == {"username": "me", "password": "s?cret"}


async def test_what_was_pulled_can_be_run() -> None:
    async with connect(Simulator()) as swarm:
        await swarm.pull("redis:7")
        assert [image.tags for image in await swarm.ls("images", filters={"reference": "redis"})] == [["redis:7"]]
        with pytest.raises(Unsupported, match="not of linux/arm64"):
            await swarm.pull("redis:7", platform="linux/arm64")
