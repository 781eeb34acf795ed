"""Attack: a label that anybody can set makes balance, or azure, do something to another's object.

What must happen: reserved labels are taken out of what clients send, and nothing is done because of one, however it
came to be there. An original that was made anew elsewhere is removed only on the word of balance's own memory.
"""

from typing import Any

import orjson
import pytest
import trio
import trio.testing

from swarmlib import Ack, Chain, Client, Json, Request, Verb, connect, open_reply
from swarmlib_backends.azure.spec import TAG, Spec, is_reserved
from swarmlib_backends.azure.workloads import _changes  # pyright: ignore[reportPrivateUsage]
from swarmlib_backends.balance import Balance, labels
from tests.support.engines import docker, engine, swarmd, wait_until
from tests.support.simulated import Box, Engine

FROM, NODE = "swarmlib.rescheduled-from", "swarmlib.node"
POLICY = {"com.docker.swarm.reschedule-policies": '["on-node-failure"]'}


def over(*engines: Engine, **options: Any) -> Chain:
    return Chain(Balance(list(map(Chain, engines)), reschedule_after=10.0, **options))


async def back_after(engine: Engine, seconds: float) -> None:
    with engine.down():
        await trio.sleep(seconds)
    await trio.sleep(10)


async def test_a_client_s_label_removes_nobody_s_container(autojump_clock: trio.testing.MockClock) -> None:
    a, b = Engine("A"), Engine("B")
    precious = a.add("precious", Labels=POLICY)
    async with connect(over(a, b)) as swarm:
        body = {"Image": "busybox", "Labels": {FROM: precious.id, **POLICY}, "Env": ["constraint:node==B"]}
        await (await swarm.spawn(body, name="evil")).start()
        await back_after(a, 1)
        assert precious.id in a.boxes
    async with connect(over(a, b)) as swarm:
        await back_after(a, 1)
        assert len(await swarm.ls()) == 2


async def test_a_container_made_past_balance_removes_nothing_and_is_reported(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = Engine("A"), Engine("B")
    original = a.add("web", Labels=POLICY)
    b.add("web", Labels={FROM: original.id, **POLICY})
    async with connect(over(a, b)) as swarm:
        await swarm.ls()
        await back_after(a, 1)
        assert sorted(each["Node"] for each in await swarm.ls()) == ["A", "B"]
    assert "B/web seems to replace A/web: remove one of them" in caplog.messages


async def test_a_swarmd_that_starts_anew_removes_nothing_and_reports_what_may_be_there_twice(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = Engine("A"), Engine("B")
    box = a.add("web", Labels=POLICY)
    async with connect(over(a, b)) as swarm:
        await swarm.ls()
        with a.down():
            await trio.sleep(20)
            assert [each["Node"] for each in await swarm.ls()] == ["B"]
    async with connect(over(a, b)) as swarm:
        assert len(await swarm.ls()) == 2
        await trio.sleep(20)
    assert box.id in a.boxes
    assert "B/web seems to replace A/web: remove one of them" in caplog.messages


def _remove(a: Engine, b: Engine, stand_in: Box) -> None:
    b.remove(stand_in)


def _stop(a: Engine, b: Engine, stand_in: Box) -> None:
    stand_in.state = "exited"
    b.tell("die", stand_in)


def _rename(a: Engine, b: Engine, stand_in: Box) -> None:
    stand_in.name = "other"
    b.tell("rename", stand_in)


def _lose_policy(a: Engine, b: Engine, stand_in: Box) -> None:
    for box in a.boxes.values():
        box.body["Labels"] = {}


@pytest.mark.parametrize("change", [_remove, _stop, _rename, _lose_policy])
async def test_an_original_stays_unless_its_stand_in_runs_under_its_name(
    change: Any, autojump_clock: trio.testing.MockClock
) -> None:
    a, b = Engine("A"), Engine("B")
    box = a.add("web", Labels=POLICY)
    async with connect(over(a, b)) as swarm:
        await swarm.ls()
        with a.down():
            await trio.sleep(20)
            change(a, b, next(iter(b.boxes.values())))
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(10)
    assert box.id in a.boxes


async def test_what_is_taken_out_is_said_in_the_answer_unless_balance_itself_showed_it() -> None:
    a = Engine("A")
    async with over(a).open() as sender:
        sent = {"Image": "busybox", "Labels": {NODE: "A", FROM: "0" * 64, "mine": "1"}}
        answer = await Client(sender).call(Verb.SPAWN, ("containers",), body=Json.from_data(sent))
        assert answer.value["Warnings"] == [f"the label {FROM} is reserved, and was left out"]
        seen = (await Client(sender).call(Verb.GET, ("containers", answer.value["Id"]))).value
        again = {**seen["Config"], "Image": "busybox"}
        assert (
            "Warnings" not in (await Client(sender).call(Verb.SPAWN, ("containers",), body=Json.from_data(again))).value
        )
    assert [box.body["Labels"] for box in a.boxes.values()] == [{"mine": "1"}] * 2


RESERVED = {NODE: "a", FROM: "b"}


@pytest.mark.parametrize(
    ("verb", "path", "body", "left"),
    [
        (Verb.SPAWN, ("networks",), {"Name": "n", "Labels": RESERVED}, {"Name": "n", "Labels": {}}),
        (Verb.SPAWN, ("volumes",), {"Labels": {**RESERVED, "x": "y"}}, {"Labels": {"x": "y"}}),
        (Verb.SPAWN, ("commit",), {"Labels": RESERVED}, {"Labels": {}}),
        (Verb.SET, ("containers", "web", "update"), {"Labels": RESERVED}, {"Labels": {}}),
        (
            Verb.SPAWN,
            ("services",),
            {"Labels": RESERVED, "TaskTemplate": {"ContainerSpec": {"Image": "i", "Labels": RESERVED}}},
            {"Labels": {}, "TaskTemplate": {"ContainerSpec": {"Image": "i", "Labels": {}}}},
        ),
        (Verb.SET, ("swarm", "update"), {"Spec": {"Labels": RESERVED}}, {"Spec": {"Labels": {}}}),
    ],
)
async def test_every_body_that_has_labels_loses_the_reserved_ones(
    verb: Verb, path: tuple[str, ...], body: Any, left: Any
) -> None:
    to, replies = open_reply()
    request = labels.unreserved(Request(verb, path, {}, Json.from_data(body), reply=to))
    assert request.json == left
    async with replies:
        await request.reply.ack({"Id": "x"})
        await request.reply.aclose()
        reply = await replies.receive()
    assert isinstance(reply, Ack)
    assert reply.details["warnings"] == [f"the label {FROM} is reserved, and was left out"]


async def test_a_build_s_labels_lose_the_reserved_ones_too() -> None:
    given = orjson.dumps({**RESERVED, "mine": "1"}).decode()
    assert labels.unreserved(Request(Verb.SPAWN, ("build",), {"labels": given})).params["labels"] == '{"mine":"1"}'


@pytest.mark.parametrize("body", [{"Labels": {"a": "b"}}, {"Labels": None}, {"Labels": 5}, [], None, {"Spec": []}])
async def test_what_has_no_reserved_label_passes_untouched(body: Any) -> None:
    request = Request(Verb.SPAWN, ("containers",), {}, Json.from_data(body))
    assert labels.unreserved(request) is request


async def test_a_label_does_not_make_a_machine_on_azure_an_engine_of_ours() -> None:
    spec = Spec(name="web", location="l", size="s", image="debian", key="k")
    forged = {TAG: "engine", f"{TAG}.attempt": "x", f"{TAG}.reach": "tls", "tier": "db"}
    assert spec.described_by(forged).tags == {"tier": "db"}
    assert [name for name in (*forged, "swarmlib.isolation", "swarmlibrary") if is_reserved(name)] == [*forged][:3]
    assert _changes({"Labels": forged}) == ({"tier": "db"}, "")


@pytest.mark.engine
def test_on_real_engines_a_forged_label_harms_nothing_and_the_cli_shows_the_warning() -> None:
    with engine() as real:
        host = real.host
        precious = docker(host, "run", "-d", "--name", "precious", "busybox", "sleep", "1000").stdout.decode().strip()
        docker(host, "create", "--name", "forged", "--label", f"{FROM}={precious}", "busybox", "true", check=True)
        with swarmd(f"balance (a=docker {host})") as gateway:
            made = docker(gateway.host, "create", "--label", f"{FROM}={precious}", "--label", f"{NODE}=a", "busybox")
            assert made.returncode == 0
            assert made.stderr.decode() == f"WARNING: the label {FROM} is reserved, and was left out\n"
            inspect = docker(host, "inspect", "-f", "{{json .Config.Labels}}", made.stdout.decode().strip())
            assert orjson.loads(inspect.stdout) == {}
            real.kill()
            wait_until(lambda: b"a is down" in gateway.log.read_bytes(), "a is missed")
            real.start()
            wait_until(lambda: b"a is up again" in gateway.log.read_bytes(), "a is back")
        assert docker(host, "inspect", "-f", "{{.Name}}", "precious", "forged").stdout == b"/precious\n/forged\n"
