"""Attack: one member of a balance lies, answers garbage, floods, or makes a task of balance's own raise.

What must happen: that member is left out, by name, and nothing else changes: the good members' answers stay, their
objects stay theirs, their calls are not given to the liar, and balance goes on serving. A request that every member
refuses is the client's fault and is answered in the members' words.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
import trio
import trio.testing

from swarmlib import (
    Ambiguous,
    BadAnswer,
    Chain,
    Client,
    Conflict,
    Denied,
    Error,
    Internal,
    Invalid,
    Json,
    NotFound,
    Reply,
    Request,
    SwarmError,
    Unavailable,
    Verb,
    connect,
    open_reply,
)
from swarmlib_backends import Docker, DockerServer
from swarmlib_backends.balance import Balance, containers, mirror
from swarmlib_backends.balance.containers import Containers
from swarmlib_backends.balance.events import _Feed  # pyright: ignore[reportPrivateUsage]
from swarmlib_backends.balance.forwarding import Forwarded
from swarmlib_backends.balance.history import Position
from swarmlib_backends.balance.index import Table
from swarmlib_backends.balance.member import Member
from swarmlib_backends.balance.members import Members
from swarmlib_backends.balance.members_file import MembersFile
from swarmlib_backends.balance.mirror import Mirror
from swarmlib_backends.balance.objects import Item
from swarmlib_backends.balance.placement.rules import Rule
from swarmlib_backends.balance.rescheduling import Rescheduler
from tests.support.simulated import Engine

ID = "a" * 64
POLICY = {"com.docker.swarm.reschedule-policies": '["on-node-failure"]'}


@dataclass
class Liar(Engine):
    """An engine that says what it is told to, to the requests that `lies` names by their first words."""

    lies: dict[str, bytes | SwarmError] = field(default_factory=dict[str, bytes | SwarmError])

    def _lie(self, request: Request) -> Any:
        lie = self.lies.get(" ".join([request.verb, *request.path[:1]]))
        if isinstance(lie, SwarmError):
            raise lie
        return None if lie is None else Json(lie)

    async def ls(self, request: Request) -> Any:
        return self._lie(request) or await super().ls(request)

    async def get(self, request: Request) -> Any:
        if request.path[:1] == ("df",) and "get df" not in self.lies:
            return {"LayersSize": 1}
        return self._lie(request) or await super().get(request)

    async def spawn(self, request: Request) -> Any:
        return self._lie(request) or await super().spawn(request)

    async def rm(self, request: Request) -> Any:
        return self._lie(request) or await super().rm(request)

    async def watch(self, request: Request) -> None:
        if (lie := self.lies.get("watch")) is None or request.params.get("filters") is None:
            await super().watch(request)
            return
        if isinstance(lie, SwarmError):
            raise lie
        await request.reply.ack()
        await request.reply.set(Json(lie))
        await trio.sleep_forever()


def over(*engines: Engine, **options: Any) -> Chain:
    return Chain(Balance(list(map(Chain, engines)), **options))


def good_and_bad() -> tuple[Engine, Liar]:
    good, bad = Engine("good"), Liar("bad")
    good.add("web", ID)
    return good, bad


LISTS: dict[str, tuple[Verb, tuple[str, ...], dict[str, str]]] = {
    "ls containers": (Verb.LS, ("containers",), {"all": "1", "size": "1"}),
    "ls images": (Verb.LS, ("images",), {}),
    "ls networks": (Verb.LS, ("networks",), {}),
    "ls volumes": (Verb.LS, ("volumes",), {}),
    "get": (Verb.GET, (), {}),
    "get version": (Verb.GET, ("version",), {}),
    "get df": (Verb.GET, ("df",), {}),
    "rm containers": (Verb.RM, ("containers",), {}),
}
ANYWHERE = [b"\xff\xfe", b"<html>", b'"x"', b"5", b"[1,2]", b"[null]", b"1e400", b"[" * 5000, b'{"a":']
GARBAGE: list[tuple[str, bytes]] = [
    *((what, raw) for what in LISTS for raw in ANYWHERE),
    *((what, b"null") for what in LISTS if what != "rm containers"),
    ("ls containers", b'[{"Id":5}]'),
    ("ls containers", b'[{"Names":["/x"]}]'),
    ("ls containers", b'[{"Id":"a","Names":"x"}]'),
    ("ls containers", b'[{"Id":"a","Names":[5]}]'),
    ("ls containers", b'[{"Id":"a","Labels":["x"]}]'),
    ("ls containers", b'[{"Id":"a","Labels":{"x":5}}]'),
    ("ls containers", b'[{"Id":"a","Created":"now"}]'),
    ("ls containers", b'[{"Id":"a","Created":1e18}]'),
    ("ls containers", b'[{"Id":"..","Names":[]}]'),
    ("ls containers", b'[{"Id":"../../images/x"}]'),
    ("ls containers", b'[{"Id":"a\\u001b[2J"}]'),
    ("ls containers", b'[{"Id":"a","Names":["/x\\r\\ny"]}]'),
    ("ls containers", b'[{"Id":""}]'),
    ("ls images", b'[{"Id":"a","RepoTags":{}}]'),
    ("ls images", b'[{"RepoTags":[]}]'),
    ("ls images", b'[{"Id":"a","Containers":"many"}]'),
    ("ls networks", b'[{"Name":"x"}]'),
    ("ls networks", b'[{"Name":5,"Id":"x"}]'),
    ("ls volumes", b'{"Volumes":5}'),
    ("ls volumes", b'{"Volumes":[{"Name":null}]}'),
    ("ls volumes", b'{"Volumes":[],"Warnings":"x"}'),
    ("get", b'{"NCPU":"x"}'),
    ("get", b'{"NCPU":-1}'),
    ("get", b'{"MemTotal":[]}'),
    ("get", b'{"MemTotal":1e300}'),
    ("get", b'{"Labels":5}'),
    ("get", b'{"Labels":[5]}'),
    ("get", b'{"Plugins":3}'),
    ("get", b'{"Runtimes":[]}'),
    ("get", b'{"DriverStatus":"x"}'),
    ("get", b'{"Swarm":[]}'),
    ("get", b'{"Warnings":{}}'),
    ("get version", b"{}"),
    ("get version", b'{"ApiVersion":"0.1"}'),
    ("get version", b'{"ApiVersion":"1.41","MinAPIVersion":"9.0"}'),
    ("get version", b'{"ApiVersion":5}'),
    ("get version", b'{"ApiVersion":"' + b"9" * 5000 + b'.1"}'),
    ("get version", b'{"ApiVersion":"1.41/../x"}'),
    ("get version", b'{"ApiVersion":"1.41","MinAPIVersion":[]}'),
    ("get version", b'{"ApiVersion":"1.41","Components":[5]}'),
    ("get version", b'{"ApiVersion":"1.41","Components":[{"Name":"Engine","Details":[]}]}'),
    ("get df", b'{"LayersSize":"x"}'),
    ("get df", b'{"Images":{}}'),
    ("get df", b'{"Containers":5}'),
    ("get df", b'{"Containers":[5]}'),
    ("get df", b'{"Volumes":[{}]}'),
    ("rm containers", b'{"SpaceReclaimed":"all"}'),
    ("rm containers", b'{"ContainersDeleted":"x"}'),
    ("rm containers", b'{"ContainersDeleted":[5]}'),
]
ids = [f"{what}-{raw[:40].decode('latin-1')}" for what, raw in GARBAGE]


def has_the_good_ones(what: str, value: Any) -> object:
    match what:
        case "ls containers":
            return [each["Id"] for each in value] == [ID]
        case "ls images":
            return value[0]["Nodes"] == ["good"]
        case "ls networks":
            return {each["Name"] for each in value} == {"bridge", "host", "none"}
        case "ls volumes":
            return value == {"Volumes": [], "Warnings": None}
        case "get":
            return value["Containers"] == 1
        case "get version":
            return value["ApiVersion"] == "1.41"
        case "rm containers":
            return value == {"ContainersDeleted": None, "SpaceReclaimed": 0}
        case _:
            return value["LayersSize"] == 1


@pytest.mark.parametrize(("what", "raw"), GARBAGE, ids=ids)
async def test_garbage_in_a_merged_answer_is_its_member_s_failure_alone(what: str, raw: bytes) -> None:
    good, bad = Liar("good"), Liar("bad")
    good.add("web", ID)
    verb, path, args = LISTS[what]
    async with over(good, bad).open() as sender:
        assert len((await Client(sender).call(Verb.LS, ("containers",))).before[0].details) == 0  # both are up
        bad.lies[what] = raw
        answer = await Client(sender).call(verb, path, params=args)
        said = answer.before[0].details["warnings"]
        assert has_the_good_ones(what, answer.value)
        assert len(said) == 1
        assert said[0].startswith("bad is missing: bad gave a malformed answer to ")
        bad.lies.clear()
        assert "warnings" not in (await Client(sender).call(verb, path, params=args)).before[0].details


@pytest.mark.parametrize("failure", [Invalid, NotFound, Denied, Conflict, Internal, BadAnswer, Unavailable])
@pytest.mark.parametrize("what", LISTS)
async def test_what_one_member_refuses_is_its_failure_and_what_all_refuse_the_client_s(
    what: str, failure: type[SwarmError]
) -> None:
    good, bad = Liar("good"), Liar("bad")
    good.add("web", ID)
    verb, path, args = LISTS[what]
    async with over(good, bad).open() as sender:
        await Client(sender).call(Verb.LS, ("containers",))
        bad.lies[what] = failure("<html>no</html>")
        answer = await Client(sender).call(verb, path, params=args)
        assert has_the_good_ones(what, answer.value)
        assert answer.before[0].details["warnings"] == ["bad is missing: <html>no</html>"]
        good.lies[what] = bad.lies[what] = failure("in the engines' words", details={"status": 418})
        with pytest.raises(failure, match="in the engines' words") as refused:
            await Client(sender).call(verb, path, params=args)
        assert refused.value.details["status"] == 418


@pytest.mark.parametrize(("what", "raw"), [each for each in GARBAGE if each[0][:2] != "rm"])
async def test_a_member_that_answers_garbage_from_the_start_is_down_and_comes_back(
    what: str, raw: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    good, bad = good_and_bad()
    bad.add("other")
    bad.lies[what] = raw
    async with connect(over(good, bad)) as swarm:
        seen = {each["Names"][0] for each in await swarm.ls()}
        assert "/web" in seen
        assert seen == {"/web"} or what == "get df"
        bad.lies.clear()
        await trio.sleep(10)
        assert {each["Names"][0] for each in await swarm.ls()} == {"/web", "/other"}


@pytest.mark.parametrize("raw", [b"[]", b"5", b"null", b"<html>", b'{"Config":5}', b'{"Config":{"Labels":[]}}'])
async def test_garbage_in_an_inspection_is_a_bad_answer_that_names_the_member(raw: bytes) -> None:
    _, bad = good_and_bad()
    bad.add("other")
    async with connect(over(bad)) as swarm:
        await swarm.ls()
        bad.lies["get containers"] = raw
        with pytest.raises(BadAnswer, match="bad gave a malformed answer to get containers"):
            await swarm.get("containers", "other")


@pytest.mark.parametrize("raw", [b"[]", b"5", b"<html>", b'{"Id":5}', b'{"Id":"../x"}', b'{"Id":"x","Warnings":5}'])
@pytest.mark.parametrize("path", [("containers",), ("networks",), ("containers", "other", "exec")])
async def test_garbage_in_the_answer_to_a_create_is_a_bad_answer(path: tuple[str, ...], raw: bytes) -> None:
    _, bad = good_and_bad()
    bad.add("other")
    async with connect(over(bad)) as swarm:
        await swarm.ls()
        bad.lies[f"spawn {path[0]}"] = raw
        with pytest.raises(BadAnswer, match="bad gave a malformed answer to spawn"):
            await swarm.spawn({"Image": "busybox", "Name": "x", "Cmd": ["true"]}, *path)


# Over real sockets.


async def serve_raw(answers: dict[bytes, bytes], stream: trio.abc.Stream) -> None:
    """An engine behind a proxy that answers some targets itself, and everything else like an empty engine."""
    usual = {b"/version": b'{"ApiVersion":"1.41"}', b"/info": b"{}", b"/_ping": b"OK", b"/volumes": b"{}"}
    received: bytes = b""
    while piece := bytes(await stream.receive_some()):
        received += piece
        while b"\r\n\r\n" in received:
            head, _, received = received.partition(b"\r\n\r\n")
            target = head.split()[1].partition(b"?")[0].removeprefix(b"/v1.41")
            if target == b"/events":
                await stream.send_all(b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n")
                continue
            body = usual.get(target, b"[]")
            said = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: %d\r\n\r\n" % len(body)
            await stream.send_all(answers.get(target) or said + body)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 429, 500, 502, 503])
async def test_a_proxy_s_page_in_place_of_a_list_loses_nobody_s_objects(status: int, tmp_path: Path) -> None:
    answers: dict[bytes, bytes] = {}
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(tmp_path / "bad"))
    listener.listen()
    page = b"<html>proxy</html>"
    async with trio.open_nursery() as nursery:
        listeners = [trio.SocketListener(listener)]
        nursery.start_soon(trio.serve_listeners, partial(serve_raw, answers), listeners)
        bad = Docker(f"unix://{tmp_path / 'bad'}")
        good = Engine("good")
        gateway = Chain(DockerServer([f"unix://{tmp_path / 'gw'}"]), Balance([Chain(bad, label="bad"), Chain(good)]))
        async with gateway.open(), connect(f"docker unix://{tmp_path / 'gw'}") as swarm:
            await swarm.ls("images")
            answers[b"/images/json"] = b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%s" % (status, len(page), page)
            async with await trio.open_unix_socket(str(tmp_path / "gw")) as client:
                await client.send_all(b"GET /images/json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = b"".join([piece async for piece in client])
        nursery.cancel_scope.cancel()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'Warning: 199 swarmlib "bad is missing: ' in head
    assert [each["RepoTags"] for each in orjson.loads(body)] == [["busybox:latest"]]


# Events.

EVENTS: list[bytes] = [
    b"[1,2]",
    b"null",
    b"{}",
    b'{"Type":5}',
    b'{"Type":"container","Action":[]}',
    b'{"Type":"container","Actor":[]}',
    b'{"Type":"container","Actor":{"ID":5}}',
    b'{"Type":"container","Actor":{"ID":"a\\u0000b"}}',
    b'{"Type":"container","Actor":{"Attributes":[]}}',
    b'{"Type":"container","Actor":{"Attributes":{"name":5}}}',
    b'{"Type":"container","timeNano":1e400}',
    b'{"Type":"container","timeNano":-1}',
    b'{"Type":"container","timeNano":99999999999999999999}',
    b'{"Type":"container","timeNano":"soon"}',
    b"\xff",
]
HARMLESS: list[bytes] = [
    b'{"Type":"container"}',
    b'{"Type":"container","Action":"create"}',
    b'{"Type":"container","Action":"destroy","Actor":null}',
    b'{"Type":"nonsense","Action":"x","Actor":{"ID":"y"}}',
    b'{"Type":"container","Action":"start","Actor":{"ID":"nosuch"}}',
    b'{"Type":"network","Action":"connect","Actor":{"ID":"x","Attributes":null}}',
    b'{"Type":"container","Action":"start","Actor":{"ID":"x"},"timeNano":9223372036854775807}',
    b'{"Type":"container","Action":"die","Actor":{"ID":"' + ID.encode() + b'"}}',
]


BOTH = '{"type": ["container", "daemon"]}'


async def tell(bad: Engine, raw: bytes) -> None:
    for watcher in list(bad.watchers):
        await watcher.send(Json(raw))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize("raw", [*EVENTS, *HARMLESS])
async def test_garbage_in_events_is_its_member_s_failure_and_ends_no_watch(
    raw: bytes, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = good_and_bad()
    async with connect(over(good, bad)) as swarm, swarm.watch(filters='{"type": ["container"]}') as events:
        await trio.testing.wait_all_tasks_blocked()
        await tell(bad, raw)
        assert [each["Node"] for each in await swarm.ls()] == ["good"]
        good.add("new")
        while (event := await anext(events))["Node"] != "good":
            pass
        assert event["Action"] == "create"
        await trio.sleep(20)
        bad.add("later")
        while (await anext(events))["Actor"]["Attributes"].get("name") != "later":
            pass
        assert len(await swarm.ls()) == 3
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_events_that_every_engine_refuses_are_refused_in_its_words(
    autojump_clock: trio.testing.MockClock,
) -> None:
    good, bad = Liar("good"), Liar("bad")
    async with connect(over(good, bad)) as swarm:
        await swarm.ls()
        refusal = Internal('strconv.ParseInt: parsing "yesterday": invalid syntax', details={"status": 500})
        good.lies["watch"] = bad.lies["watch"] = refusal
        with trio.fail_after(1), pytest.raises(Internal, match="yesterday") as refused:
            async with swarm.watch(filters=BOTH):
                pass
        assert refused.value.details["status"] == 500
        with trio.fail_after(1), pytest.raises(Internal, match="yesterday"):
            async with swarm.watch(until="1", filters=BOTH):
                pass


async def test_an_engine_that_refuses_events_which_others_give_is_missing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    good, bad = good_and_bad()
    async with connect(over(good, bad)) as swarm:
        await swarm.ls()
        bad.lies["watch"] = Invalid("unknown filter")
        async with swarm.watch(filters=BOTH) as events:
            missing = await anext(events)
            good.add("new")
            assert (await anext(events))["Node"] == "good"
    assert (missing["Action"], missing["Node"]) == ("engine_disconnect", "bad")
    assert missing["Actor"]["Attributes"]["error"] == "unknown filter"


async def test_an_engine_that_refuses_while_the_other_goes_down_is_believed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    good, bad = good_and_bad()
    async with connect(over(good, bad)) as swarm:
        await swarm.ls()
        good.delay = 1.0
        bad.lies["watch"] = Invalid("unknown filter")
        async with trio.open_nursery() as nursery:

            async def refused() -> None:
                with pytest.raises(Invalid, match="unknown filter"):
                    async with swarm.watch(filters=BOTH):
                        pass

            nursery.start_soon(refused)
            await trio.testing.wait_all_tasks_blocked()
            good.trouble.append(Unavailable("gone"))
            good.cut()


def test_what_is_remembered_of_events_is_bounded() -> None:
    position = Position(0)
    for number in range(5000):
        assert position.take({"Type": "container", "Action": str(number)})
        assert not position.take({"Type": "container", "Action": str(number)})
    assert len(position._seen) == 1000  # pyright: ignore[reportPrivateUsage]


# Theft.


@pytest.mark.parametrize("claimed", [ID, "web", ID[:12], ID[:6]])
@pytest.mark.parametrize("as_id", [True, False])
async def test_no_claim_takes_a_container_from_its_engine(claimed: str, as_id: bool) -> None:
    good, bad = good_and_bad()
    bad.add("x" if as_id else claimed, claimed if as_id else "")
    async with connect(over(good, bad)) as swarm:
        assert len(await swarm.ls()) == 2
        bad.asked.clear()
        for call in (swarm.start, swarm.stop):
            with pytest.raises(Ambiguous, match=r"bad/.*good/web"):
                await call("containers", claimed)
        assert [each for each in bad.asked if not each.startswith(("ls", "get"))] == []
        await swarm.stop("containers", "good/web")
    assert good.boxes[ID].state == "exited"


async def test_a_name_that_looks_like_a_short_id_stays_usable() -> None:
    good, other = Engine("good"), Engine("other")
    good.add("cafe")
    other.add("x", "cafe".ljust(64, "0"))
    async with connect(over(good, other)) as swarm:
        await swarm.ls()
        await swarm.stop("containers", "cafe")
    assert [box.state for box in good.boxes.values()] == ["exited"]


async def test_a_container_is_not_addressed_by_a_name_that_names_another_engine() -> None:
    good, bad = good_and_bad()
    bad.add("good/web")
    async with connect(over(bad, good)) as swarm:
        await swarm.ls()
        await swarm.stop("containers", "good/web")
    assert good.boxes[ID].state == "exited"


async def test_a_process_or_network_that_two_engines_claim_is_neither_s() -> None:
    good, bad = good_and_bad()
    async with connect(over(good, bad)) as swarm:
        await swarm.ls()
        made = await swarm.spawn({"Cmd": ["x"]}, "containers", "web", "exec")
        for each in (good, bad):
            each.networks["good-net"] = {"Name": "net", "Id": "good-net"}
            each.tell_of("network", "create", "good-net", {"name": "net"})
        evil = bad.add("evil")
        bad.execs.add(made.id)
        bad.tell("exec_create: x", evil, execID=made.id)
        await trio.testing.wait_all_tasks_blocked()
        for path in (("exec", made.id), ("networks", "good-net"), ("networks", "net")):
            with pytest.raises(Ambiguous):
                await swarm.rm(*path)
        listed = [(each["Id"], each.node) for each in await swarm.ls("networks") if each["Name"] == "net"]
    assert listed == [("good-net", "good"), ("good-net", "bad")]


# Bounds.


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> list[Members]:
    """The members of the balances that a test opens."""
    found: list[Members] = []
    join = Members.join

    async def seen(self: Members, chain: Chain) -> Any:
        found.append(self)
        return await join(self, chain)

    monkeypatch.setattr(Members, "join", seen)
    return found


async def test_a_flood_of_events_ends_the_member_not_the_memory(
    registries: list[Members], monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(containers, "MAX_OBJECTS", 50)
    monkeypatch.setattr(mirror, "_KNOWN_EXECS", 5)
    good, bad = good_and_bad()
    async with connect(over(good, bad)) as swarm:
        await swarm.ls()
        box = bad.add("box")
        for number in range(20):
            bad.tell("exec_create: x", box, execID=f"e{number}")
        await trio.testing.wait_all_tasks_blocked()
        assert len(registries[0].index.execs._by_id) == 5  # pyright: ignore[reportPrivateUsage]
        for kind in ("container", "volume"):
            for number in range(60):
                bad.tell_of(kind, "create", f"{kind}{number}", {"name": f"n{number}"})
            await trio.testing.wait_all_tasks_blocked()
            assert [each["Node"] for each in await swarm.ls()] == ["good"]
            await trio.sleep(20)
            assert len(await swarm.ls()) == 2


async def test_ports_that_nobody_holds_any_more_are_forgotten(registries: list[Members]) -> None:
    a = Engine("A")
    async with connect(over(a)) as swarm:
        for number in range(5):
            binding = {"HostPort": "80", "HostIp": f"10.0.0.{number}"}
            made = await swarm.spawn({"Image": "busybox", "HostConfig": {"PortBindings": {"80/tcp": [binding]}}})
            await swarm.ls(all="1")
            await swarm.rm("containers", made.id)
        await swarm.ls(all="1")
        assert registries[0].all[0].ports == {}


async def test_a_member_that_takes_for_ever_to_list_itself_holds_up_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    good, slow = Engine("good"), Engine("slow", delay=4.0)
    good.add("web")
    for number in range(500):
        slow.add(str(number))
    async with connect(over(good, slow)) as swarm:
        start = trio.current_time()
        assert len(await swarm.ls()) == 1
        assert trio.current_time() - start <= 20.1


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(.*)*x", "((a*)*)*$", "a?" * 200 + "a" * 200])
def test_a_client_s_pattern_takes_linear_time(pattern: str) -> None:
    begun = time.perf_counter()
    for rule in (f"container==/{pattern}/"[:490], "container==" + "*a" * 200 + "b"):
        try:
            Rule.read(rule).fits("a" * 4000 + "!")
        except Invalid:
            continue
    assert time.perf_counter() - begun < 1


@pytest.mark.parametrize("rule", [r"x==/(?<=a)b/", r"x==/(a)\1/", "x==/(/", "x==" + "a" * 501, f"x==/{'a' * 501}/"])
def test_a_pattern_that_can_not_be_bounded_is_refused(rule: str) -> None:
    with pytest.raises(Invalid, match=r"not a regular expression of RE2's syntax|the maximum is 500"):
        Rule.read(rule)


@pytest.mark.parametrize(
    "body",
    [
        5,
        [],
        {"Labels": []},
        {"Labels": {"a": 5}},
        {"Env": [5]},
        {"Env": "A=b"},
        {"Env": {}},
        {"Image": 5},
        {"HostConfig": []},
        {"HostConfig": 5},
        {"HostConfig": {"PortBindings": 5}},
        {"HostConfig": {"PortBindings": {"80/tcp": [5]}}},
        {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": 5}]}}},
        {"HostConfig": {"Memory": "x"}},
        {"HostConfig": {"NanoCpus": {}}},
        {"HostConfig": {"Binds": 5}},
        {"HostConfig": {"Mounts": [5]}},
        {"HostConfig": {"NetworkMode": 5}},
        {"NetworkingConfig": 5},
        {"NetworkingConfig": {"EndpointsConfig": []}},
        {"Labels": {"com.docker.swarm.constraints": "[5"}},
        {"Labels": {"com.docker.swarm.constraints": "[5]"}},
        {"Labels": {"com.docker.swarm.constraints": "{}"}},
        {"Labels": {"com.docker.swarm.affinities": orjson.dumps(["a==b"] * 101).decode()}},
    ],
)
async def test_wrong_types_in_a_create_are_the_client_s_fault(body: Any) -> None:
    async with connect(over(Engine("A"))) as swarm:
        with pytest.raises(Invalid):
            await swarm.spawn(body)


@pytest.mark.parametrize("ports", [{"80/tcp": [{"HostPort": "²"}]}, {"x": [{"HostPort": "9" * 5000}]}, {"a": None}])
async def test_ports_that_are_no_numbers_are_left_to_the_engine(ports: Any) -> None:
    engine = Engine("A")
    host = {"Image": "busybox", "HostConfig": {"NetworkMode": "host"}, "ExposedPorts": {"80-90/tcp": {}}}
    async with connect(over(engine)) as swarm:
        await swarm.spawn({"Image": "busybox", "HostConfig": {"PortBindings": ports}})
        await swarm.spawn(host)
    bound, exposed = (box.body for box in engine.boxes.values())
    assert bound["HostConfig"]["PortBindings"] == ports
    assert exposed["ExposedPorts"] == host["ExposedPorts"]


# Supervision: whatever a task of balance raises, it ends nothing but itself, and is begun again.


async def serves(swarm: Client) -> bool:
    await trio.sleep(60)
    return {each["Names"][0] for each in await swarm.ls()} == {"/web", "/other"}


TASKS: list[tuple[type, str]] = [
    (Member, "_follow"),
    (Member, "_check"),
    (Member, "_learn"),
    (Member, "_take_events"),
    (Mirror, "sync"),
    (Mirror, "_relist"),
    (Containers, "_inspect"),
    (Mirror, "drift"),
    (Rescheduler, "_follow"),
    (Rescheduler, "_when_dead"),
    (Rescheduler, "_move"),
    (_Feed, "_follow"),
    (MembersFile, "_follow"),
]


class Fails:
    """Makes a method raise where it works for B, or for no engine, for as long as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.failing = True
        self.raised = 0
        original: Callable[..., Awaitable[Any]] = getattr(owner, name)

        async def failing(*args: Any, **kwargs: Any) -> Any:
            member = getattr(args[0], "member", getattr(args[0], "_node", args[0]))
            if self.failing and getattr(member, "name", "B") == "B":
                self.raised += 1
                raise ZeroDivisionError(name)
            return await original(*args, **kwargs)

        monkeypatch.setattr(owner, name, failing)


@pytest.mark.parametrize(("owner", "name"), TASKS, ids=[f"{owner.__name__}.{name}" for owner, name in TASKS])
async def test_a_task_that_raises_ends_nothing_else_and_is_begun_again(
    owner: type,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    a, b = Engine("A"), Engine("B")
    a.add("web")
    b.add("other", Labels=POLICY)
    members = tmp_path / "members"
    members.write_text("")
    fails = Fails(monkeypatch, owner, name)
    fails.failing = owner is Rescheduler or owner is MembersFile
    async with connect(over(a, b, watch_file=str(members), reschedule_after=1.0)) as swarm, swarm.watch() as events:
        await swarm.ls()
        fails.failing = True
        with b.down():
            await trio.sleep(80)
            assert "/web" in {each["Names"][0] for each in await swarm.ls()}
        await trio.sleep(70)
        assert "/web" in {each["Names"][0] for each in await swarm.ls()}
        fails.failing = False
        assert await serves(swarm)
        a.add("new")
        while (await anext(events))["Actor"]["Attributes"].get("name") != "new":
            pass
    assert fails.raised
    assert "ZeroDivisionError" in caplog.text


async def test_a_member_whose_stage_crashes_is_opened_again(autojump_clock: trio.testing.MockClock) -> None:
    crash = trio.Event()
    opened: list[int] = []

    class Crashing(Engine):
        @asynccontextmanager
        async def lifespan(self):  # type: ignore[no-untyped-def]
            opened.append(1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._crash)
                yield
                nursery.cancel_scope.cancel()

        async def _crash(self) -> None:
            await crash.wait()
            if len(opened) == 1:
                raise ZeroDivisionError

    a, b = Engine("A"), Crashing("B")
    a.add("web")
    b.add("other")
    async with connect(over(a, b)) as swarm:
        assert len(await swarm.ls()) == 2
        crash.set()
        await trio.testing.wait_all_tasks_blocked()
        assert [each["Node"] for each in await swarm.ls()] == ["A"]
        assert await serves(swarm)


async def test_a_forwarded_call_with_a_malformed_answer_is_answered_once() -> None:
    def see(_: Reply) -> Reply | None:
        raise BadAnswer("malformed")

    inner, replies = open_reply()
    under_way: set[Forwarded] = set()
    forwarded = Forwarded(inner, see, may_go_on=True, under_way=under_way)
    assert under_way == {forwarded}
    gone: list[int] = []
    forwarded.on_gone(lambda: gone.append(1))
    async with replies:
        await forwarded.set({})
        with pytest.raises(trio.BrokenResourceError):
            await forwarded.ack()
        told = await replies.receive()
        assert isinstance(told, Error)
        assert isinstance(told.error, BadAnswer)
        with pytest.raises(trio.EndOfChannel):
            await replies.receive()
    assert gone == [1]
    assert under_way == set()


def test_an_index_gives_an_object_of_each_engine_that_claims_a_reference() -> None:
    class AMember:
        up = True

    first, second = AMember(), AMember()
    table = Table[Item]()
    by_id = Item(first, "web", ())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    by_name = Item(second, ID, ["web"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    table.add(by_id)
    table.add(by_name)
    assert table.find("web") == (by_id, by_name)
