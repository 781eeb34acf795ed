"""Ways round a person's approval, and round the label of protected objects; and attacks on the person who approves."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from swarmlib import (
    Chain,
    Client,
    Denied,
    Invalid,
    Json,
    NotFound,
    Request,
    Sender,
    Server,
    SwarmError,
    Unavailable,
    Verb,
)
from swarmlib_backends import DockerServer, Simulator, control
from swarmlib_backends.policy import Policy, holding
from tests.backends.policy.test_holding import REMOVE, RULES, SLEEPS, Stage, opened
from tests.backends.policy.test_protection import asked, protected
from tests.support.command import invoke
from tests.support.engines import Engine

HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\u202eevil\n00000000  ContainerDelete containers/nothing, asked by uid:0"
OLD, NEW = {"Name": "data", "Labels": {"is": "old"}}, {"Name": "data", "Labels": {"is": "new"}}


async def settled(stage: Stage, *done: str) -> None:
    """Hold how calls ended, once no task can go on."""
    await wait_all_tasks_blocked(0.01)
    assert stage.done == list(done)


# The person who approves.


async def printed(stage: Stage, folder: Path, *words: str) -> str:
    async with control.serving(stage.desk, folder / "c.sock"):
        env = {"SWARMD_CONTROL": str(folder / "c.sock")}
        return (await trio.to_thread.run_sync(partial(invoke, "policy", "pending", *words, env=env))).stdout


@pytest.mark.parametrize("words", [(), ("--json",)])
async def test_what_is_pending_has_no_control_of_the_terminal(words: tuple[str, ...], tmp_path: Path) -> None:
    async with opened(tmp_path) as stage, trio.open_nursery() as nursery:
        body = SLEEPS | {"Labels": {HOSTILE: HOSTILE}, "Env": [HOSTILE], "Cmd": [HOSTILE], HOSTILE: HOSTILE}
        create = Request(Verb.SPAWN, ("containers",), {"name": "web"}, Json.from_data(body))
        nursery.start_soon(stage.ask, create, f"cert:{HOSTILE}")
        assert len(await stage.waiting()) == 1
        text = await printed(stage, tmp_path, *words)
        assert all(each.isprintable() for each in text.splitlines())
        assert not any(line.startswith("00000000") for line in text.split("\n"))  # ids are random
        nursery.cancel_scope.cancel()


async def test_a_body_hides_no_parameter_and_need_not_be_an_object(tmp_path: Path) -> None:
    rules = f"{RULES.replace('VolumeDelete', 'PluginSet')}plugins = ['**']\nplugin_settings = ['*']\n"
    async with opened(tmp_path, rules) as stage, trio.open_nursery() as nursery:
        shadowing = SLEEPS | {"name": "harmless"}
        calls = [
            Request(Verb.SPAWN, ("containers",), {"name": "database"}, Json.from_data(shadowing)),
            Request(Verb.SET, ("plugins", "x"), body=Json.from_data(["DEBUG=1"])),
        ]
        for each in calls:
            nursery.start_soon(stage.ask, each)
        assert len(await stage.waiting()) == 2
        text = await printed(stage, tmp_path)
        assert '  name: "database"' in text
        assert "PluginSet plugins/x" in text
        nursery.cancel_scope.cancel()


async def test_a_call_that_nobody_could_read_is_not_held(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage:
        body = SLEEPS | {"Env": [f"E{number}=" for number in range(9000)]}
        await stage.ask(Request(Verb.SPAWN, ("containers",), {}, Json.from_data(body)))
        assert stage.done == [
            "ContainerCreate can't be held for approval: it is larger than the 65536 bytes that are shown"
        ]
        assert await stage.waiting() == []
        assert await stage.engine.ls(all=True) == []


# The queue.


async def test_a_client_that_fills_the_queue_stops_nobody_else(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage, trio.open_nursery() as nursery:
        await stage.engine.spawn(SLEEPS, name="web")
        containers = [f"tenant:red/container:{number:064x}" for number in range(200)]
        for caller in ["cert:greedy"] * 200 + containers:
            nursery.start_soon(stage.ask, REMOVE, caller)
        assert len(await stage.waiting()) == 2 * holding.MAX_HELD_EACH
        assert len(stage.done) == 400 - 2 * holding.MAX_HELD_EACH
        nursery.start_soon(stage.ask, REMOVE, "uid:1")
        *_, last = await stage.waiting()
        assert last["caller"] == "uid:1"
        await stage.operate(Verb.START, last["id"])
        await wait_all_tasks_blocked(0.01)
        assert stage.done[-1] == "done"
        nursery.cancel_scope.cancel()


@dataclass
class Counting(Server):
    """Counts the requests that pass."""

    seen: list[Request] = field(default_factory=list[Request])

    def choose(self, request: Request) -> None:
        self.seen.append(request)


async def test_what_is_too_much_does_not_even_make_the_engine_work(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    counting = Counting()
    chain = Chain(Policy(tmp_path / "rules.toml"), counting, "chaos --latency 5s", Simulator())
    async with chain.open() as policy, trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(_asked, policy)
        await wait_all_tasks_blocked(0.01)
        assert len(counting.seen) == holding.MAX_HELD_EACH
        nursery.cancel_scope.cancel()


async def _asked(policy: Sender) -> None:
    with suppress(Unavailable):
        await asked(policy, REMOVE)


async def test_a_client_whose_connection_ends_leaves_the_queue_and_nothing_is_done(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    async with opened(tmp_path) as stage:
        await stage.engine.spawn(SLEEPS, name="web")
        async with DockerServer([f"unix://{path}"]).open(stage.policy):
            client = await trio.open_unix_socket(path)
            await client.send_all(b"DELETE /containers/web?force=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            while not (held := await stage.waiting()):
                pass
            await client.aclose()
            while await stage.waiting():
                pass
            for verb in (Verb.START, Verb.STOP):
                with pytest.raises(NotFound):
                    await stage.operate(verb, held[0]["id"])
        await stage.engine.get("containers", "web")


# Decisions.


async def test_a_decision_is_made_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage, trio.open_nursery() as nursery:
        for name in ("one", "two"):
            await stage.engine.spawn(SLEEPS, name=name)
            nursery.start_soon(stage.ask, Request(Verb.RM, ("containers", name)))
            await wait_all_tasks_blocked(0.01)
        one, two = await stage.waiting()
        await stage.operate(Verb.STOP, one["id"], reason="no")
        await stage.operate(Verb.START, two["id"])
        for id in (one["id"], two["id"]):  # before the calls have gone on
            for verb in (Verb.START, Verb.STOP):
                with pytest.raises(NotFound, match=f"no call waits as {id}"):
                    await stage.operate(verb, id)
        await wait_all_tasks_blocked(0.01)
        assert sorted(stage.done) == ["ContainerDelete was not approved: no", "done"]
        for id in (two["id"], one["id"][:4], "*", one["id"].upper() + "X"):
            with pytest.raises(NotFound):
                await stage.operate(Verb.START, id)
        await stage.engine.get("containers", "one")


async def test_nothing_is_decided_after_the_deadline(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with opened(tmp_path) as stage, trio.open_nursery() as nursery:
        await stage.engine.spawn(SLEEPS, name="web")
        nursery.start_soon(stage.ask, REMOVE)
        (held,) = await stage.waiting()
        await trio.sleep(601)
        assert stage.done == ["ContainerDelete was not approved: nobody decided within 10m"]
        for verb in (Verb.START, Verb.STOP):
            with pytest.raises(NotFound):
                await stage.operate(verb, held["id"])
        await stage.engine.get("containers", "web")


async def test_a_volume_that_has_taken_the_name_of_the_approved_one_stays(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage, trio.open_nursery() as nursery:
        await stage.engine.spawn(OLD, "volumes")
        nursery.start_soon(stage.ask, Request(Verb.RM, ("volumes", "data")))
        (held,) = await stage.waiting()
        await stage.engine.rm("volumes", "data")
        await stage.engine.spawn(NEW, "volumes")
        await stage.operate(Verb.START, held["id"])
        await settled(stage, "VolumeDelete was approved for another object: volumes/data has been made anew since")
        assert (await stage.engine.get("volumes", "data"))["Labels"] == {"is": "new"}


async def test_a_volume_that_was_not_there_when_the_call_came_stays(tmp_path: Path) -> None:
    async with opened(tmp_path) as stage, trio.open_nursery() as nursery:
        nursery.start_soon(stage.ask, Request(Verb.RM, ("volumes", "data"), {"force": "1"}))
        (held,) = await stage.waiting()
        await stage.engine.spawn(NEW, "volumes")
        await stage.operate(Verb.START, held["id"])
        await settled(stage, "VolumeDelete was approved for another object: volumes/data has been made anew since")
        assert (await stage.engine.get("volumes", "data"))["Labels"] == {"is": "new"}


async def test_an_image_that_has_taken_the_name_of_the_approved_one_stays(tmp_path: Path) -> None:
    rules = f"{RULES.replace('VolumeDelete', 'ImageDelete')}tags = ['**']\n"
    async with opened(tmp_path, rules) as stage, trio.open_nursery() as nursery:
        await stage.engine.set("images", "busybox", "tag", repo="thing")
        await stage.engine.spawn(SLEEPS, name="web")
        nursery.start_soon(stage.ask, Request(Verb.RM, ("images", "thing")))
        (held,) = await stage.waiting()
        await stage.engine.call(Verb.SPAWN, ("commit",), params={"container": "web", "repo": "thing"})
        await stage.operate(Verb.START, held["id"])
        await wait_all_tasks_blocked(0.01)
        assert "was approved for another object" in stage.done[0]
        await stage.engine.get("images", "thing")


async def test_what_is_protected_after_the_call_came_is_protected(tmp_path: Path) -> None:
    rules = RULES.replace("VolumeDelete", "NetworkDelete")
    async with opened(tmp_path, f'protect = "keep"\n{rules}') as stage, trio.open_nursery() as nursery:
        await stage.engine.spawn({"Name": "app"}, "networks")
        nursery.start_soon(stage.ask, Request(Verb.RM, ("networks", "app")))
        (held,) = await stage.waiting()
        kept = SLEEPS | {"Labels": {"keep": ""}, "HostConfig": {"NetworkMode": "app"}}
        await stage.engine.spawn(kept, name="web")
        await stage.operate(Verb.START, held["id"])
        await wait_all_tasks_blocked(0.01)
        assert "is used by containers/web, which is protected" in stage.done[0]
        await stage.engine.get("networks", "app")


# Protection.


def pruning(kind: str, *filters: str) -> Request:
    return Request(Verb.RM, (kind,), {"filters": json.dumps({"label!": list(filters)})})


DISGUISES = [
    ("nonsense",),
    ("swarmlib.protect", "nonsense"),
    ("swarmlib.protect=nonsense",),
    ("SWARMLIB.PROTECT",),
    ("\u017fwarmlib.protect",),
    (" swarmlib.protect",),
    ("swarmlib.protect ",),
    ("",),
    (),
]


@pytest.mark.parametrize("filters", DISGUISES, ids=ascii)
@pytest.mark.parametrize("kind", ["containers", "volumes", "networks", "images"])
async def test_no_filter_makes_a_prune_take_what_is_protected(
    kind: str, filters: tuple[str, ...], tmp_path: Path
) -> None:
    async with protected(tmp_path) as (policy, engine):
        await keep_some(engine)
        with pytest.raises(Denied, match="all the labels of that filter"):
            await asked(policy, pruning(kind, *filters))
        await still_kept(engine)


async def test_a_prune_that_leaves_out_what_is_protected_by_itself_passes(tmp_path: Path) -> None:
    async with protected(tmp_path) as (policy, engine):
        await keep_some(engine)
        for kind in ("containers", "volumes"):
            await asked(policy, pruning(kind, "swarmlib.protect"))
        await still_kept(engine)
        with pytest.raises(NotFound):
            await engine.get("containers", "other")


async def keep_some(engine: Client) -> None:
    for kind in ("volumes", "networks"):
        await engine.spawn({"Name": "kept", "Labels": {"swarmlib.protect": ""}}, kind)


async def still_kept(engine: Client) -> None:
    for kind, name in (("volumes", "kept"), ("networks", "kept"), ("containers", "web"), ("networks", "app")):
        await engine.get(kind, name)


async def networks_and_volumes(sender: Sender, folder: Path) -> None:
    """Have protected objects pruned by the filters of a prune, and while their container waits for its restart."""
    rules, engine = folder / "rules.toml", Client(sender)
    rules.write_text(f'protect = "swarmlib.protect"\n{RULES.replace("hold", "#hold")}')
    async with Policy(rules).open(sender) as policy:
        await keep_some(engine)
        await engine.spawn({"Name": "app"}, "networks")
        host = {"NetworkMode": "app", "RestartPolicy": {"Name": "always"}}
        fails = {"Image": "busybox", "Cmd": ["false"], "Labels": {"swarmlib.protect": ""}, "HostConfig": host}
        web = await engine.spawn(fails, name="web")
        await web.start()
        with trio.fail_after(20):
            while (await engine.get("containers", "web"))["State"]["Status"] != "restarting":
                await trio.lowlevel.checkpoint()
        with pytest.raises(Denied, match="containers/web"):
            await asked(policy, Request(Verb.RM, ("networks",)))
        for kind in ("volumes", "networks"):
            with pytest.raises(Denied, match="all the labels"):
                await asked(policy, pruning(kind, "nonsense"))
        await asked(policy, Request(Verb.RM, ("volumes",)))
        await still_kept(engine)


async def test_a_container_that_waits_for_its_restart_keeps_its_network(tmp_path: Path) -> None:
    async with Chain(Simulator()).open() as sender:
        await networks_and_volumes(sender, tmp_path)


@pytest.mark.engine
async def test_a_real_engine_prunes_nothing_that_is_protected(tmp_path: Path, engines: tuple[Engine, Engine]) -> None:
    async with Chain(f"docker {engines[0].host}").open() as sender:
        engine = Client(sender)
        try:
            await networks_and_volumes(sender, tmp_path)
        finally:
            await engine.rm("containers", "web", force=True)
            for kind, name in (("volumes", "kept"), ("networks", "kept"), ("networks", "app")):
                await engine.rm(kind, name)


NAMES = ["web", "/web", "linked/db", "/linked/db"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("params", [{"force": "1"}, {"force": "1", "v": "1"}, {"link": "1"}], ids=str)
async def test_no_other_name_takes_the_protection_away(name: str, params: dict[str, str], tmp_path: Path) -> None:
    async with protected(tmp_path) as (policy, engine):
        link = {"Image": "busybox", "HostConfig": {"Links": ["web:db"], "NetworkMode": "bridge"}}
        before = (await engine.get("containers", "web"))["Id"]
        with suppress(SwarmError):  # not every engine links containers in networks of their own
            await engine.spawn(link, name="linked")
        with pytest.raises(SwarmError) as caught:
            await asked(policy, Request(Verb.RM, ("containers", name), params))
        assert isinstance(caught.value, Denied | NotFound | Invalid)
        assert (await engine.get("containers", "web"))["Id"] == before


async def test_a_label_of_the_image_protects_as_one_of_the_container_does(tmp_path: Path) -> None:
    async with protected(tmp_path) as (policy, engine):
        changes = {"container": "other", "repo": "guarded", "changes": "LABEL swarmlib.protect=1"}
        await engine.call(Verb.SPAWN, ("commit",), params=changes)
        await engine.spawn({"Image": "guarded", "Cmd": ["true"]}, name="of-image")
        for path in (("containers", "of-image"), ("images", "guarded"), ("images", "guarded:latest")):
            with pytest.raises(Denied, match="is protected"):
                await asked(policy, Request(Verb.RM, path, {"force": "1"}))


STRANGERS = [
    "",
    "uid:",
    "uid:00",
    "uid:0 ",
    "uid:0/uid:0",
    "UID:0",
    "cert:uid:0",
    "cert:0",
    "cert:admins",
    "ip:0",
    "token:0",
    f"container:{'0' * 64}",
    "tenant:0/uid:1",
    "tenant:admins/uid:1",
    "tenant:uid:0/uid:1",
]


@pytest.mark.parametrize("caller", STRANGERS)
async def test_only_those_who_are_listed_may_override(caller: str, tmp_path: Path) -> None:
    async with protected(tmp_path) as (policy, engine):
        with pytest.raises(Denied, match="is protected"):
            await asked(policy, Request(Verb.RM, ("containers", "web"), {"force": "1"}), caller)
        await engine.get("containers", "web")
