"""The stage `audit`: each call has its line, at its end; the file goes on after restarts, rotations and full disks."""

import json
import os
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from swarmlib import (
    Ack,
    Chain,
    Client,
    Conflict,
    Denied,
    Invalid,
    Json,
    Meta,
    NotFound,
    Request,
    Server,
    Unavailable,
    Verb,
    ask,
    connect,
    next_reply,
)
from swarmlib.asking import call
from swarmlib_backends import Audit, Policy, Simulator
from swarmlib_backends.audit import journal, writer
from swarmlib_backends.audit.line import Line
from swarmlib_backends.audit.verify import Verification
from swarmlib_backends.audit.writer import GATHERED_BYTES, GATHERED_LINES, Writer

SLEEPS = {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}}


def lines(path: Path, first: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()[first:]]


def calls(path: Path) -> list[dict[str, Any]]:
    return [line for line in lines(path) if "operation" in line]


def events(path: Path) -> list[str]:
    return [line["event"] for line in lines(path) if "event" in line]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def tear(path: Path, left: int) -> None:
    """Cut the last line off after some bytes, as a crash does."""
    content = path.read_bytes()
    begin = content.rstrip(b"\n").rindex(b"\n") + 1
    path.write_bytes(content[: min(begin + left, len(content) - 1)])


def rename(path: Path, to: Path) -> None:
    path.rename(to)


def problems(*paths: Path) -> list[str]:
    found = Verification()
    for path in paths:
        with path.open("rb") as file:
            found.read(path.name, file)
    found.end()
    return found.problems


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


async def test_a_line_says_who_did_what_to_which_object(log: Path) -> None:
    async with connect(Audit(str(log)), Simulator()) as swarm:
        made = await swarm.spawn(SLEEPS, name="web")
        await swarm.start("web")
        command = await made.spawn({"Cmd": ["sh", "-c", "rm -rf /data"]}, "exec")
        with pytest.raises(NotFound):
            await swarm.get("containers", "nosuch")
        image = (await swarm.get("containers", "web"))["Image"]
    created, started, made_in, missing, inspected = calls(log)
    assert created["object"] == {"kind": "containers", "id": made.id, "name": "web"}
    assert (created["operation"], created["status"], created["image"]) == ("ContainerCreate", 201, "busybox")
    assert created["in"] > 0 < created["out"]
    assert (started["operation"], started["object"]) == ("ContainerStart", {"kind": "containers", "name": "web"})
    assert started["status"] == 204
    assert (made_in["object"]["id"], made_in["made"], made_in["argv"]) == (made.id, command.id, "sh -c 'rm -rf /data'")
    assert (missing["status"], missing["error"]) == (404, "No such container: nosuch")
    assert (inspected["object"]["id"], inspected["digest"]) == (made.id, image)
    assert inspected["out"] > 1000
    assert len({line["id"] for line in calls(log)}) == 5
    assert events(log) == ["opened", "closed"]
    assert problems(log) == []
    assert mode(log) == 0o600


STAGES = {
    "tenant": '[clients.a]\nusers = [1]\n[tenant.alice]\nclients = ["a"]\nimages = ["**"]\n',
    "policy": 'protect = "x"\n[[rule]]\nallow = ["*"]\n[rule.container]\nimages = ["**"]\ntags = ["**"]\n',
}
BALANCE = "balance (simulator) (simulator)"


@pytest.mark.parametrize("stage", [*STAGES, BALANCE])
async def test_a_name_comes_with_the_id_that_a_stage_has_looked_up(log: Path, tmp_path: Path, stage: str) -> None:
    (tmp_path / "rules.toml").write_text(STAGES.get(stage, ""))
    meta = Meta(caller="uid:1")
    behind = (stage,) if stage == BALANCE else (f"{stage} {tmp_path}/rules.toml", Simulator())
    async with Chain(Audit(str(log)), *behind).open() as sender:
        made = await call(
            sender, Request(Verb.SPAWN, ("containers",), {"name": "web"}, Json.from_data(SLEEPS), meta=meta)
        )
        await call(sender, Request(Verb.STOP, ("containers", "web"), meta=meta))
        await call(sender, Request(Verb.SET, ("images", "busybox", "tag"), {"repo": "mine"}, meta=meta))
        await call(sender, Request(Verb.RM, ("images", "mine"), meta=meta))
    stopped, _, removed = calls(log)[1:]
    assert stopped["object"] == {"kind": "containers", "id": made.value["Id"], "name": "web"}
    assert "changed" not in stopped or stage == "policy"
    if stage != BALANCE:  # which removes the images of this name from all its engines
        assert removed["object"]["id"].startswith("sha256:")


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ("uid:7", {"caller": "uid:7"}),
        ("tenant:red/uid:7", {"caller": "uid:7", "tenant": "red"}),
        ("", {}),
    ],
)
async def test_the_caller_and_its_tenant(log: Path, caller: str, expected: dict[str, str]) -> None:
    async with Chain(Audit(str(log)), Simulator()).open() as sender:
        await call(sender, Request(Verb.LS, ("containers",), meta=Meta(caller=caller)))
    assert {name: each for name, each in calls(log)[0].items() if name in ("caller", "tenant")} == expected


RULES = """
[[rule]]
name = "mine"
own = "team=red"
allow = ["ContainerCreate", "ContainerDelete", "ContainerInspect"]
[rule.container]
images = ["busybox"]
"""


async def test_the_verdict_of_a_policy_and_what_it_changed(log: Path, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    async with connect(Audit(str(log)), Policy(tmp_path / "rules.toml"), Simulator()) as swarm:
        made = await swarm.spawn(SLEEPS, name="web")
        await swarm.rm("containers", "web")
        with pytest.raises(Denied):
            await swarm.ls()
        with pytest.raises(Denied):
            await swarm.spawn(SLEEPS | {"HostConfig": {"Privileged": True}})
    created, removed, listed, denied = calls(log)
    assert (created["verdict"], created["rule"]) == ("allowed", "mine")
    assert created["changed"] == {"Labels": {"team": "***"}}
    assert removed["object"] == {"kind": "containers", "id": made.id, "name": "web"}
    assert removed["changed"] == {"path": f"containers/{made.id}"}
    assert (listed["verdict"], listed["status"], "rule" in listed) == ("denied", 403, False)
    assert "no rule allows ContainerList" in listed["reason"]
    assert (denied["rule"], denied["verdict"]) == ("mine", "denied")
    assert "HostConfig.Privileged" in denied["reason"]


class Streams(Server):
    """Answers with a stream whose other end the test holds."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self.ends = memory_stream_pair()
        ENDS.append(self.ends[1])
        yield

    async def connect(self, request: Request) -> None:
        await request.reply.send(Ack(stream=self.ends[0]))

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        await request.reply.set({"Type": "container"})


ENDS: list[Any] = []


async def test_a_conversation_has_its_line_at_its_end(log: Path) -> None:
    async with Chain(Audit(str(log), sync=True), Streams()).open() as sender:
        stream: Any = (await call(sender, Request(Verb.CONNECT, ("containers", "web")))).ack.stream
        await stream.send_all(b"hello")
        await ENDS[-1].send_all(b"goodbye")
        assert await stream.receive_some() == b"goodbye"
        await ENDS[-1].send_eof()
        assert calls(log) == []
        assert await stream.receive_some() == b""
        assert [(line["operation"], line["in"], line["out"]) for line in calls(log)] == [("ContainerAttach", 5, 7)]
        await stream.aclose()
    assert len(calls(log)) == 1


async def test_a_watch_has_its_line_at_its_end_and_one_that_is_left_too(log: Path) -> None:
    async with Chain(Audit(str(log)), Streams()).open() as sender:
        async with await ask(sender, Request(Verb.WATCH)) as replies:
            assert [type(reply).__name__ async for reply in replies] == ["Ack", "Set"]
        async with await ask(sender, Request(Verb.WATCH)) as replies:
            await next_reply(replies)
    assert [(line["operation"], line["status"]) for line in calls(log)] == [("SystemEvents", 200)] * 2


class Waits(Server):
    async def get(self, request: Request) -> None:
        await trio.sleep_forever()


async def test_a_client_that_leaves_before_the_answer_has_a_line_without_a_status(log: Path) -> None:
    async with Chain(Audit(str(log)), Waits()).open() as sender, trio.open_nursery() as nursery:
        nursery.start_soon(call, sender, Request(Verb.GET, ("containers", "web")))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    (line,) = calls(log)
    assert (line["operation"], "status" in line) == ("ContainerInspect", False)


async def test_a_restart_continues_the_chain(log: Path) -> None:
    for _ in range(2):
        async with connect(Audit(str(log)), Simulator()) as swarm:
            await swarm.ls()
    assert [line["n"] for line in lines(log)] == [1, 2, 3, 4, 5, 6]
    assert problems(log) == []


@pytest.mark.parametrize("left", [1, 5, 40, 200])
async def test_a_line_that_a_crash_has_torn_is_said_and_the_chain_goes_on(log: Path, left: int) -> None:
    async with connect(Audit(str(log)), Simulator()) as swarm:
        await swarm.ls()
    tear(log, left)
    assert ["cut off" in each or "not a line" in each for each in problems(log)] == [True]
    async with connect(Audit(str(log)), Simulator()) as swarm:
        await swarm.ls()
    assert problems(log) == []
    found = lines(log, 3)
    assert [line["n"] for line in found] == [4, 5, 6, 7]
    assert found[0]["event"] == "torn"


async def test_a_file_that_is_renamed_is_followed_by_a_new_one_that_continues_the_chain(
    log: Path, tmp_path: Path
) -> None:
    before = tmp_path / "audit.log.1"
    async with connect(Audit(str(log), sync=True), Simulator()) as swarm:
        await swarm.ls()
        rename(log, before)
        await swarm.ls()
        assert events(log) == ["opened"]
        assert [len(calls(path)) for path in (before, log)] == [1, 1]
    assert problems(before, log) == []
    assert problems(log) == []
    async with connect(Audit(str(log)), Simulator()):
        pass
    assert problems(before, log) == []


async def test_a_file_is_written_by_one_stage_at_a_time(log: Path) -> None:
    async with connect(Audit(str(log)), Simulator()):
        with pytest.raises(Conflict, match="another audit stage"):
            async with connect(Audit(str(log)), Simulator()):
                pass


@pytest.mark.parametrize("content", [b"precious\n", b"precious"])
async def test_what_is_no_audit_is_left_as_it_is(log: Path, content: bytes) -> None:
    path = trio.Path(log)
    await path.write_bytes(content)
    with pytest.raises(Invalid, match="does not hold the lines of an audit"):
        async with connect(Audit(str(log)), Simulator()):
            pass
    assert await path.read_bytes() == content


async def test_a_file_that_cant_be_opened_keeps_the_chain_closed() -> None:
    with pytest.raises(Unavailable, match="can't write"):
        async with connect(Audit("/nosuch/audit.log"), Simulator()):
            pass


class Disk:
    """A disk that can be full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        monkeypatch.setattr(writer, "RETRY_SECONDS", 0.01)
        self._write = os.write
        monkeypatch.setattr(journal.os, "write", self.write)

    def write(self, file: int, data: Any) -> int:
        if self.full and os.path.isfile(f"/proc/self/fd/{file}"):
            self._write(file, data[:10])
            raise OSError(28, "No space left on device")
        return self._write(file, data)


async def said(words: str, caplog: pytest.LogCaptureFixture) -> None:
    while words not in caplog.text:  # noqa: ASYNC110 - a thread writes, and tells nobody
        await trio.sleep(0.01)


async def test_with_sync_no_call_passes_while_its_line_cant_be_written(
    log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(monkeypatch)
    async with connect(Simulator()) as engine, Chain(Audit(str(log), sync=True)).open(engine.sender) as sender:
        swarm = Client(sender)
        disk.full = True
        with pytest.raises(Unavailable, match=r"may have had its effect.*No space left"):
            await swarm.spawn(SLEEPS, name="one")
        with pytest.raises(Unavailable, match=r"was not carried out.*No space left"):
            await swarm.spawn(SLEEPS, name="two")
        assert [each["Names"] for each in await engine.ls(all=True)] == [["/one"]]
        disk.full = False
        await said("can be written again", caplog)
        await swarm.spawn(SLEEPS, name="three")
    assert [line["object"]["name"] for line in calls(log)] == ["one", "three"]
    assert problems(log) == []
    assert "can't write" in caplog.text
    assert "can be written again; 0 lines are lost" in caplog.text


async def test_without_sync_calls_go_on_and_lost_lines_are_counted(
    log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(writer, "MAX_UNWRITTEN", 1500)
    async with connect(Audit(str(log)), Simulator()) as swarm:
        disk.full = True
        for _ in range(20):
            await swarm.ls()
        await said("can't write", caplog)
        disk.full = False
        await said("can be written again", caplog)
        await swarm.ls()
    (lost,) = [line["lines"] for line in lines(log) if line.get("event") == "lost"]
    assert 0 < lost < 20
    assert len(calls(log)) == 21 - lost
    assert problems(log) == []
    assert f"{lost} lines are lost" in caplog.text


@pytest.fixture
def one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the first line fail, by a bug."""
    entry, numbers = Line.entry, count()

    def fail(line: Line) -> bytes:
        if next(numbers) == 0:
            raise ValueError("a bug")
        return entry(line)

    monkeypatch.setattr(Line, "entry", fail)


@pytest.mark.usefixtures("one_fails")
async def test_a_line_that_cant_be_made_is_counted_as_lost_and_no_other_is(
    log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(Audit(str(log)), Simulator()) as swarm:
        for _ in range(3):
            await swarm.ls()
    assert len(calls(log)) == 2
    assert [line["lines"] for line in lines(log) if line.get("event") == "lost"] == [1]
    assert "it could not be made" in caplog.text


@pytest.mark.usefixtures("one_fails")
async def test_with_sync_a_call_whose_line_cant_be_made_fails(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with connect(Audit(str(log), sync=True), Simulator()) as swarm:
        with pytest.raises(Unavailable, match=r"may have had its effect.*could not be made"):
            await swarm.ls()
        await swarm.ls()
    assert len(calls(log)) == 1


async def test_calls_are_kept_until_their_lines_are_worked_out_which_is_done_for_some_at_a_time(log: Path) -> None:
    file = journal.Journal(str(log), durable=False)
    unused = Writer(file, "", sync=False)

    def ended(answer: int) -> weakref.ref[Line]:
        line = Line("", Request(Verb.GET, ("containers", "web")))
        line.add(Ack(Json(b'"' + b"x" * answer + b'"')))
        line.end()
        unused.put(line)
        return weakref.ref(line)

    first, *_ = [ended(1) for _ in range(GATHERED_LINES - 1)]
    assert first() is not None
    assert ended(1)() is None is first()
    assert ended(GATHERED_BYTES)() is None
    assert unused.unwritten() == GATHERED_LINES + 1
    file.close()


async def test_what_is_not_json_is_left_to_the_source(log: Path) -> None:
    class Odd(Server):
        async def get(self, request: Request) -> Json:
            return Json(b"{no")

    async with connect(Audit(str(log)), Odd()) as swarm:
        with pytest.raises(Invalid):
            await swarm.get("containers", "web")
    assert calls(log)[0]["out"] == 3
