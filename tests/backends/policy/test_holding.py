"""Held calls: they wait until a person approves them, and nothing else lets them pass."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from swarmlib import Chain, Client, Json, Meta, NotFound, Request, Sender, SwarmError, Verb
from swarmlib.asking import call
from swarmlib_backends import Policy, Simulator, control
from swarmlib_backends.policy import document, holding
from tests.support.command import invoke

RULES = """
[[rule]]
name = "clean up"
allow = ["*"]
hold = ["ContainerDelete", "VolumeDelete", "ContainerCreate"]
hold_for = "10m"
[rule.container]
images = ["**"]
fields = ["**"]
"""
SLEEPS = {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}}


@dataclass
class Stage:
    """A policy with its engine, and the operator's way to it."""

    policy: Sender
    engine: Client
    desk: control.Desk
    operator: Sender
    done: list[str] = field(default_factory=list[str])

    async def ask(self, request: Request, caller: str = "uid:1") -> None:
        """Note how a call ends."""
        try:
            await call(self.policy, request.replace(meta=Meta(caller=caller)))
        except SwarmError as exc:
            self.done.append(exc.message)
        else:
            self.done.append("done")

    async def operate(self, verb: Verb, *path: str, **params: str) -> Any:
        return (await call(self.operator, Request(verb, ("held", *path), params))).value

    async def waiting(self) -> list[dict[str, Any]]:
        await wait_all_tasks_blocked(0.01)
        found: list[dict[str, Any]] = await self.operate(Verb.LS)
        return found


@asynccontextmanager
async def opened(folder: Path, text: str = RULES) -> AsyncGenerator[Stage]:
    """A policy of these rules over the simulator."""
    (folder / "rules.toml").write_text(text)
    with control.desk() as desk:
        rules = folder / "rules.toml"
        async with (
            Chain(Simulator()).open() as engine,
            Policy(rules).open(engine) as policy,
            desk.open(engine) as operator,
        ):
            yield Stage(policy, Client(engine), desk, operator)


REMOVE = Request(Verb.RM, ("containers", "web"), {"force": "1", "v": "1"})


async def test_a_call_waits_until_it_is_approved(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage, trio.open_nursery() as nursery:
        web = await stage.engine.spawn(SLEEPS, name="web")
        nursery.start_soon(stage.ask, REMOVE)
        (held,) = await stage.waiting()
        assert (held["operation"], held["caller"], held["rule"]) == ("ContainerDelete", "uid:1", "clean up")
        assert held["object"] == {"kind": "containers", "id": web.id, "name": "web"}
        assert held["lost"]["image"] == "busybox"
        assert held["lost"].keys() >= {"created", "bytes", "anonymous volumes", "state"}
        assert held["since"] < held["until"]
        assert stage.done == []
        with pytest.raises(NotFound, match="no call waits as nosuch"):
            await stage.operate(Verb.START, "nosuch")
        await stage.operate(Verb.START, held["id"])
        assert await stage.waiting() == []
        assert stage.done == ["done"]
        with pytest.raises(NotFound):
            await stage.engine.get("containers", "web")


async def test_what_was_approved_is_what_is_done(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage, trio.open_nursery() as nursery:
        await stage.engine.spawn(SLEEPS, name="web")
        nursery.start_soon(stage.ask, REMOVE)
        (held,) = await stage.waiting()
        await stage.engine.call(Verb.SET, ("containers", "web", "rename"), params={"name": "old"})
        await stage.engine.spawn(SLEEPS, name="web")
        await stage.operate(Verb.START, held["id"])
        await stage.waiting()
        assert [each["Names"] for each in await stage.engine.ls(all=True)] == [["/web"]]


async def test_a_call_that_is_denied_says_why(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage, trio.open_nursery() as nursery:
        await stage.engine.spawn(SLEEPS, name="web")
        nursery.start_soon(stage.ask, REMOVE)
        (held,) = await stage.waiting()
        await stage.operate(Verb.STOP, held["id"], reason="not before the backup")
        await stage.waiting()
        assert stage.done == ["ContainerDelete was not approved: not before the backup"]
        await stage.engine.get("containers", "web")


async def test_nobody_is_waited_for_longer_than_the_rule_says(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with opened(tmp_path) as stage:
        await stage.engine.spawn(SLEEPS, name="web")
        begin = trio.current_time()
        await stage.ask(REMOVE)
        assert trio.current_time() - begin == pytest.approx(600, abs=1)
        assert stage.done == ["ContainerDelete was not approved: nobody decided within 10m"]
        await stage.engine.get("containers", "web")


async def test_a_client_that_leaves_waits_no_longer(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        await stage.engine.spawn(SLEEPS, name="web")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.ask, REMOVE)
            assert len(await stage.waiting()) == 1
            nursery.cancel_scope.cancel()
        assert await stage.waiting() == []
        await stage.engine.get("containers", "web")


async def test_so_many_calls_wait_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "MAX_HELD", 3)
    monkeypatch.setattr(holding, "MAX_HELD_EACH", 2)
    async with opened(tmp_path) as stage, trio.open_nursery() as nursery:
        await stage.engine.spawn(SLEEPS, name="web")
        for caller in ("uid:1", "uid:1", "uid:1", "uid:2", "uid:2"):
            nursery.start_soon(stage.ask, REMOVE, caller)
            await wait_all_tasks_blocked(0.01)
        assert [held["caller"] for held in await stage.waiting()] == ["uid:1", "uid:1", "uid:2"]
        assert [message.partition(" for approval")[0] for message in stage.done] == [
            "2 of your calls wait",
            "3 calls wait",
        ]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("callers", "clients"),
    [
        (["ip:2001:db8::1", "ip:2001:db8::ffff:1", "ip:2001:db8:0:0:1::"], 1),
        (["ip:2001:db8::1", "ip:2001:db8:0:1::1"], 2),
        (["ip:fe80::1%eth0", "ip:fe80::2%eth0"], 1),
        (["ip:::ffff:10.0.0.1", "ip:10.0.0.1"], 1),
        (["ip:10.0.0.1", "ip:10.0.0.2", "ip:unknown", "uid:1", "cert:fe80"], 5),
    ],
)
async def test_all_addresses_of_one_machine_wait_as_one_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, callers: list[str], clients: int
) -> None:
    monkeypatch.setattr(holding, "MAX_HELD_EACH", 1)
    async with opened(tmp_path) as stage, trio.open_nursery() as nursery:
        await stage.engine.spawn(SLEEPS, name="web")
        for caller in callers:
            nursery.start_soon(stage.ask, Request(Verb.RM, ("containers", "web")), caller)
            await wait_all_tasks_blocked(0.01)
        assert len(await stage.waiting()) == clients
        nursery.cancel_scope.cancel()


async def test_what_a_call_asks_for_is_shown_without_secrets(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage, trio.open_nursery() as nursery:
        body = SLEEPS | {"Env": ["TOKEN=hunter2"]}
        nursery.start_soon(stage.ask, Request(Verb.SPAWN, ("containers",), {"name": "web"}, Json.from_data(body)))
        (held,) = await stage.waiting()
        assert (held["params"], held["body"]["Image"], held["body"]["Env"]) == (
            {"name": "web"},
            "busybox",
            ["TOKEN=***"],
        )
        assert await stage.engine.ls(all=True) == []
        nursery.cancel_scope.cancel()


async def test_the_users_of_a_volume_are_shown(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage, trio.open_nursery() as nursery:
        await stage.engine.spawn(SLEEPS | {"HostConfig": {"NetworkMode": "none", "Binds": ["data:/data"]}}, name="web")
        nursery.start_soon(stage.ask, Request(Verb.RM, ("volumes", "data")))
        (held,) = await stage.waiting()
        assert held["lost"]["used by"] == ["/web"]
        nursery.cancel_scope.cancel()


async def test_an_operator_approves_by_the_command_line(tmp_path: Path) -> None:
    async with (
        opened(tmp_path) as stage,
        control.serving(stage.desk, tmp_path / "c.sock"),
        trio.open_nursery() as nursery,
    ):
        env = {"SWARMD_CONTROL": str(tmp_path / "c.sock")}

        async def run(*words: str, code: int = 0) -> str:
            done = await trio.to_thread.run_sync(partial(invoke, "policy", *words, code=code, env=env))
            return done.stdout + done.stderr

        for name in ("one", "two"):
            await stage.engine.spawn(SLEEPS, name=name)
            nursery.start_soon(stage.ask, Request(Verb.RM, ("containers", name)))
            await wait_all_tasks_blocked(0.01)
        assert "ContainerDelete containers/one, asked by uid:1" in await run("pending")
        one, two = (json.loads(line) for line in (await run("pending", "--json")).splitlines())
        assert await run("approve", one["id"]) == ""
        assert await run("deny", "--reason", "no", two["id"]) == ""
        assert "no call waits as" in await run("approve", one["id"], code=1)
        await wait_all_tasks_blocked(0.01)
        assert sorted(stage.done) == ["ContainerDelete was not approved: no", "done"]


@pytest.mark.parametrize(
    ("keys", "line", "says"),
    [
        ('hold = ["ContainerStop"]', 3, "ContainerStop is held, but not allowed"),
        ('hold_for = "1m"', 3, "hold_for requires hold"),
        ('hold = ["ContainerList"]\nhold_for = "long"', 4, "hold_for: "),
    ],
)
def test_a_mistake_is_named(keys: str, line: int, says: str) -> None:
    with pytest.raises(SwarmError, match=says) as caught:
        document.parse(f'[[rule]]\nallow = ["ContainerList"]\n{keys}\n', "rules.toml")
    assert caught.value.message.startswith(f"rules.toml:{line}: ")


STARTS = """
[clients.maker]
users = [1]
[[rule]]
allow = ["ContainerStart"]
hold = ["ContainerStart"]
hold_for = "1s"
[[rule]]
allow = ["Container*"]
clients = ["maker"]
[rule.container]
images = ["**"]
fields = ["**"]
"""


@pytest.mark.parametrize(("caller", "left"), [("uid:1", 0), ("uid:2", 1)], ids=["may remove", "may not remove"])
async def test_one_that_removes_itself_is_removed_if_its_start_is_denied(
    tmp_path: Path, autojump_clock: MockClock, caller: str, left: int
) -> None:
    async with opened(tmp_path, STARTS) as stage:
        host = {"NetworkMode": "none", "AutoRemove": True}
        made = await stage.engine.spawn({**SLEEPS, "HostConfig": host})
        kept = await stage.engine.spawn(SLEEPS)
        running = await stage.engine.spawn({**SLEEPS, "HostConfig": host})
        await running.start()
        for each in (made, kept, running):
            await stage.ask(Request(Verb.START, ("containers", each.id)), caller)
        assert stage.done == ["ContainerStart was not approved: nobody decided within 1s"] * 3
        there = {each["Id"] for each in await stage.engine.ls(all=True)}
        assert there == {kept.id, running.id} | ({made.id} if left else set())
