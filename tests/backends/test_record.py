"""record and replay: what passed is in the file, and the file answers in its place, as far as it is good."""

import os
import stat
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, memory_stream_one_way_pair, memory_stream_pair, wait_all_tasks_blocked

from swarmlib import (
    Ack,
    Chain,
    Client,
    Conflict,
    Invalid,
    Json,
    Meta,
    NotFound,
    Request,
    Server,
    Set,
    Unavailable,
    Verb,
    next_reply,
)
from swarmlib.asking import call
from swarmlib.errors import ungrouped
from swarmlib_backends.record import Record
from swarmlib_backends.recording import MAGIC, Recording, What, Writer, msgpack
from swarmlib_backends.replay import Replay
from tests.support.engines import wait_until

SECRET = "hunter2"


@dataclass(eq=False)
class Service(Server):
    """A service with something of everything: values, errors, progress, watches, conversations, uploads."""

    asked: list[str] = field(default_factory=list[str])

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        async with trio.open_nursery() as self.nursery:
            yield
            self.nursery.cancel_scope.cancel()

    async def get(self, request: Request) -> Any:
        self.asked.append("/".join(request.path))
        if "missing" in request.path:
            raise NotFound("no such thing", details={"status": 404, "headers": [(b"Server", b"x")]})
        if "slow" in request.path:
            await trio.sleep(10)
        return {"Size": len(self.asked), "Env": [f"PASSWORD={SECRET}", "HOME=/root"]}

    async def ls(self, request: Request) -> list[Any]:
        return [await self.get(request)]

    async def spawn(self, request: Request) -> Any:
        if request.path == ("images",):
            for number in range(3):
                await request.reply.set({"progress": number})
        return {"Id": "abc"}

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        for number in range(2):
            await request.reply.set({"time": number})
        if request.path:
            await trio.sleep_forever()

    async def connect(self, request: Request) -> None:
        mine, theirs = memory_stream_pair()
        self.nursery.start_soon(greet_and_echo, mine)
        await request.reply.ack(stream=theirs)

    async def attach(self, request: Request) -> None:
        await request.reply.ack()
        await request.reply.log(b"a line", details={"stream": "stdout"})
        await request.reply.set({"Running": False})

    async def file(self, request: Request) -> Any:
        assert request.upload is not None
        body = b""
        while data := await request.upload.receive_some():
            body += data
        return {"Size": len(body)}


async def greet_and_echo(stream: trio.abc.HalfCloseableStream) -> None:
    with suppress(trio.BrokenResourceError):  # the caller left
        await stream.send_all(b"hello ")
        while data := await stream.receive_some():
            await stream.send_all(data.upper())
        await stream.send_all(b" bye")
        await stream.send_eof()


async def converse(swarm: Client, *said: bytes) -> bytes:
    """All that a conversation gives, each piece said once the piece before it is answered."""
    heard = b""
    async with await swarm.connect("containers", "abc") as stream:
        expected = len(b"hello ")
        for piece in said:
            while len(heard) < expected:
                heard += await stream.receive_some()
            await stream.send_all(piece)
            expected += len(piece)
        await stream.send_eof()
        while data := await stream.receive_some():
            heard += data
    return heard


async def upload(swarm: Client, body: bytes) -> Any:
    sender, receiver = memory_stream_one_way_pair()
    with ungrouped():
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                await sender.send_all(body)
                await sender.aclose()

            nursery.start_soon(send)
            return (await swarm.call(Verb.FILE, ("containers", "abc"), upload=receiver)).value


def content(file: Path) -> bytes:
    return file.read_bytes()


def cut(file: Path, size: int) -> None:
    """Take bytes off the end."""
    os.truncate(file, file.stat().st_size - size)


def written(file: Path, content: bytes) -> None:
    file.write_bytes(content)


async def everything(swarm: Client) -> list[Any]:
    """What a caller sees of one of each."""
    with pytest.raises(NotFound, match="no such thing") as caught:
        await swarm.get("missing")
    seen: list[Any] = [dict(caught.value.details), await swarm.get("a"), await swarm.get("a"), await swarm.ls(all="1")]
    answer = await swarm.call(Verb.SPAWN, ("images",), params={"fromImage": "x"})
    seen += [reply.json for reply in answer.before if isinstance(reply, Set)]
    seen.append((await swarm.spawn({"Image": "x"})).id)
    async with swarm.watch(until=1) as events:
        seen += [event async for event in events]
    async with swarm.attach("containers", "abc") as attached:
        seen += [reply async for reply in attached]
    seen += [await converse(swarm, b"one", b"two"), await upload(swarm, bytes(3_000_000))]
    return seen


@asynccontextmanager
async def recording(file: Path, **options: Any) -> AsyncGenerator[Client]:
    async with Chain(Record(str(file), **options), Service()).open() as sender:
        yield Client(sender)


@asynccontextmanager
async def replaying(file: Path, **options: Any) -> AsyncGenerator[Client]:
    async with Chain(Replay(str(file), **options)).open() as sender:
        yield Client(sender)


@pytest.fixture
async def recorded(tmp_path: Path) -> Path:
    """A recording of `everything`."""
    async with recording(tmp_path / "rec") as swarm:
        await everything(swarm)
    return tmp_path / "rec"


@pytest.mark.parametrize("match", ["request", "order"])
async def test_a_replay_is_what_was_recorded(tmp_path: Path, match: Any) -> None:
    async with recording(tmp_path / "rec") as swarm:
        seen = await everything(swarm)
    async with replaying(tmp_path / "rec", match=match) as swarm:
        assert repr(await everything(swarm)) == repr(seen).replace(SECRET, "***")


async def test_what_passes_is_not_changed(tmp_path: Path) -> None:
    async with recording(tmp_path / "rec") as swarm, Chain(Service()).open() as sender:
        assert await everything(swarm) == await everything(Client(sender))


async def test_the_file_is_its_owners_and_holds_no_secret(tmp_path: Path) -> None:
    async with recording(tmp_path / "rec") as swarm:
        await swarm.get("a")
        body = {"Env": [f"API_KEY={SECRET}"], "AuthConfig": {"password": SECRET, "serveraddress": SECRET}, "Tty": True}
        params = {"buildargs": '{"TOKEN": "' + SECRET + '"}', "name": "web"}
        meta = Meta(caller="uid:7", headers=(("x-registry-auth", SECRET),))
        asked = Request(Verb.SPAWN, ("containers",), params, Json.from_data(body), meta=meta)
        await call(swarm.sender, asked)
        await swarm.call(Verb.SPAWN, ("containers",), body=Json(b"password: " + SECRET.encode()))
    assert stat.S_IMODE(os.stat(tmp_path / "rec").st_mode) == 0o600
    held = content(tmp_path / "rec")
    assert SECRET.encode() not in held
    assert b"HOME=/root" in held
    assert b"uid:7" in held
    async with replaying(tmp_path / "rec") as swarm:
        again = asked.replace(
            body=Json.from_data({**body, "Env": ["API_KEY=another"]}), meta=Meta(headers=meta.headers)
        )
        assert (await call(swarm.sender, again)).value == {"Id": "abc"}


async def test_streams_of_what_is_passed_on_whole_are_not_recorded(tmp_path: Path) -> None:
    async with recording(tmp_path / "rec") as swarm:
        stream = await swarm.connect("whole", method="POST", target="/session")
        await stream.send_all(SECRET.encode())
        assert await stream.receive_some() == b"hello "
        await stream.aclose()
    held = content(tmp_path / "rec")
    assert b"/session" in held
    assert SECRET.encode() not in held


async def test_a_file_that_exists_is_only_overwritten_if_told(recorded: Path) -> None:
    before = content(recorded)
    os.chmod(recorded, 0o644)
    with pytest.raises(Conflict, match="use --append to append to it"):
        async with recording(recorded):
            pass
    assert content(recorded) == before
    async with recording(recorded, force=True) as swarm:
        await swarm.get("b")
    assert len(content(recorded)) < len(before)
    assert stat.S_IMODE(os.stat(recorded).st_mode) == 0o600


async def test_an_appended_recording_is_one(recorded: Path) -> None:
    before = content(recorded)
    async with recording(recorded, append=True) as swarm:
        await swarm.get("b")
    assert content(recorded).startswith(before)
    async with replaying(recorded, match="order") as swarm:
        await everything(swarm)
        assert (await swarm.get("b"))["Size"] == 1


async def test_to_a_damaged_file_nothing_is_appended(recorded: Path) -> None:
    cut(recorded, 1)
    before = content(recorded)
    with pytest.raises(Invalid, match=r"is damaged at byte \d+ .*truncate -s \d+"):
        async with recording(recorded, append=True):
            pass
    assert content(recorded) == before


async def test_two_can_not_record_to_one_file(tmp_path: Path) -> None:
    async with recording(tmp_path / "rec"):
        for options in ({"append": True}, {"force": True}):
            with pytest.raises(Conflict, match="in use by another record stage"):
                async with recording(tmp_path / "rec", **options):
                    pass


async def test_where_the_file_can_not_be_written_the_traffic_goes_on_and_what_was_is_good(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(file: int, data: bytes) -> int:
        return write(file, data[: len(data) // 2]) if len(data) > 1000 else write(file, data)

    monkeypatch.setattr(os, "write", full)
    async with recording(tmp_path / "rec") as swarm:
        await swarm.get("a")
        await swarm.spawn({"Image": "x" * 2000})
        await swarm.get("b")
    assert ["nothing more is recorded" in record.message for record in caplog.records] == [True]
    with closing(Recording(str(tmp_path / "rec"))) as found:
        assert [event.what for event in found.events()] == [What.ASK, What.REPLY, What.REPLY, What.END]
        assert found.damage == ""


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], int]]:
    """Has what is written to a file go into a pipe, as to a disk that hangs until that is read; gives its other end.
    Few bytes wait for it, and briefly.
    """
    for name, value in (("MAX_UNWRITTEN", 50_000), ("WRITE_SECONDS", 0.3), ("CLOSE_SECONDS", 0.3)):
        monkeypatch.setattr(f"swarmlib_backends.recording.{name}", value)
    read, write = os.pipe()

    def put_in_place(path: Path) -> int:
        for file in map(int, os.listdir("/proc/self/fd")):
            with suppress(FileNotFoundError):
                if os.readlink(f"/proc/self/fd/{file}") == str(path):
                    os.dup2(write, file, inheritable=False)
        os.close(write)
        return read

    yield put_in_place
    os.close(read)  # so that a thread that hangs ends
    wait_until(lambda: not any("record" in each.name for each in threading.enumerate()), "the writing thread's end")


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
async def test_a_disk_that_hangs_ends_the_recording_and_nothing_else(
    tmp_path: Path, disk: Callable[[Path], int], caplog: pytest.LogCaptureFixture
) -> None:
    with trio.fail_after(20):
        async with recording(tmp_path / "rec") as swarm:
            disk(tmp_path / "rec")
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(swarm.spawn, {"Image": "x" * 10_000})
            assert await converse(swarm, b"x" * 200_000) == b"hello " + b"X" * 200_000 + b" bye"
    errors = [record.message for record in caplog.records]
    assert ["behind by over 50000 bytes for 0.3 s): nothing more is recorded" in error for error in errors] == [True]


@linux
async def test_an_end_does_not_wait_for_a_disk_that_hangs(
    tmp_path: Path, disk: Callable[[Path], int], caplog: pytest.LogCaptureFixture
) -> None:
    with trio.fail_after(20):
        async with recording(tmp_path / "rec") as swarm:
            disk(tmp_path / "rec")
            for _ in range(10):
                await swarm.spawn({"Image": "x" * 10_000})
    assert ["did not take the last" in record.message for record in caplog.records] == [True]


@linux
async def test_a_slow_disk_holds_the_traffic_back_and_loses_nothing(
    tmp_path: Path,
    disk: Callable[[Path], int],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("WRITE_SECONDS", "CLOSE_SECONDS"):
        monkeypatch.setattr(f"swarmlib_backends.recording.{name}", 20)
    file = tmp_path / "rec"
    taken = bytearray()
    made = 0

    async def spawn_many(swarm: Client) -> None:
        nonlocal made
        for _ in range(100):
            await swarm.spawn({"Image": "x" * 10_000})
            made += 1

    def take(pipe: int) -> None:
        while data := os.read(pipe, 65536):
            taken.extend(data)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery, recording(file) as swarm:
            taken += content(file)
            pipe = disk(file)
            async with trio.open_nursery() as spawning:
                spawning.start_soon(spawn_many, swarm)
                await wait_all_tasks_blocked(0.1)
                held_back_at = made
                nursery.start_soon(trio.to_thread.run_sync, take, pipe)
    assert held_back_at < 20
    assert not caplog.records
    file.write_bytes(taken)
    with closing(Recording(str(file))) as found:
        assert [event.what for event in found.events()].count(What.ASK) == 100
        assert found.damage == ""


async def test_what_was_not_recorded_is_told_with_what_comes_nearest(recorded: Path) -> None:
    async with replaying(recorded) as swarm:
        with pytest.raises(NotFound, match=r'not recorded: ls containers \{"all":"2"\}; what was has params.all "1"'):
            await swarm.ls(all="2")
        with pytest.raises(NotFound, match=r"nearest that were: get missing"):
            await swarm.get("mising")
        with pytest.raises(NotFound, match=r'what was has body.Image "x"'):
            await swarm.spawn({"Image": "y"})


async def test_of_several_alike_the_last_answers_from_then_on(recorded: Path) -> None:
    async with replaying(recorded) as swarm:
        numbers = [(await swarm.get("a"))["Size"] for _ in range(4)]
    assert numbers == [2, 3, 3, 3]


async def test_in_order_only_the_next_is_answered(recorded: Path) -> None:
    async with replaying(recorded, match="order") as swarm:
        with pytest.raises(NotFound, match="the next that was: get missing"):
            await swarm.get("a")
        await everything(swarm)
        with pytest.raises(NotFound, match="all that was has been replayed"):
            await swarm.get("a")


async def test_who_asks_and_with_which_version_is_all_the_same(recorded: Path) -> None:
    async with replaying(recorded) as swarm:
        asked = Request(Verb.GET, ("a",), meta=Meta(caller="uid:7", version="1.24"))
        assert (await call(swarm.sender, asked)).value["Size"] == 2


async def test_what_was_not_recorded_may_be_passed_on(recorded: Path) -> None:
    service = Service()
    async with Chain(Replay(str(recorded), pass_through=True), service).open() as sender:
        await Client(sender).get("a")
        await Client(sender).get("unheard of")
    assert service.asked == ["unheard of"]


@pytest.mark.parametrize(("speed", "seconds"), [(0, 0), (1, 10), (5, 2)])
async def test_it_takes_the_time_that_it_took_or_as_told(
    tmp_path: Path, speed: float, seconds: float, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", trio.current_time)
    async with recording(tmp_path / "rec") as swarm:
        await swarm.get("slow")
    began = trio.current_time()
    async with replaying(tmp_path / "rec", speed=speed) as swarm:
        await swarm.get("slow")
    assert trio.current_time() - began == pytest.approx(seconds, abs=0.1)


async def test_an_answer_waits_for_what_it_was_the_answer_to(recorded: Path) -> None:
    async with replaying(recorded) as swarm, await swarm.connect("containers", "abc") as stream:
        assert await stream.receive_some() == b"hello "
        async with trio.open_nursery() as nursery:
            heard: list[bytes] = []

            async def hear() -> None:
                heard.append(bytes(await stream.receive_some(2)))
                heard.append(bytes(await stream.receive_some()))

            nursery.start_soon(hear)
            await stream.send_all(b"on")
            await wait_all_tasks_blocked()
            assert heard == []
            await stream.send_all(b"e")
        assert heard == [b"ON", b"E"]


@pytest.mark.parametrize("other", [[b"one", b"TWO"], [b"onetwo", b"three"], [b"one"]])
async def test_a_conversation_that_takes_another_course_is_broken_off(
    recorded: Path, other: list[bytes], caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async with replaying(recorded) as swarm:
        with pytest.raises(trio.BrokenResourceError, match="not the recorded one"), trio.fail_after(60):
            await converse(swarm, *other)
    assert "not the recorded one" in caplog.text


async def test_an_answer_to_what_does_not_come_is_not_waited_for_forever(
    recorded: Path, autojump_clock: MockClock
) -> None:
    async with replaying(recorded) as swarm, await swarm.connect("containers", "abc") as stream:
        heard = b""
        while data := await stream.receive_some():
            heard += data
        assert heard == b"hello ONETWO bye"
        await stream.send_all(b"onetwo")
        await stream.send_eof()
        assert trio.current_time() > 5


async def test_a_watch_that_the_caller_ended_stays_open(tmp_path: Path) -> None:
    async with recording(tmp_path / "rec") as swarm, swarm.watch("containers") as events:
        assert [await anext(events), await anext(events)] == [{"time": 0}, {"time": 1}]
    async with replaying(tmp_path / "rec") as swarm, swarm.watch("containers") as events:
        assert [await anext(events), await anext(events)] == [{"time": 0}, {"time": 1}]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(anext, events)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()


async def test_a_call_whose_answer_was_not_recorded_says_so(tmp_path: Path) -> None:
    async with recording(tmp_path / "rec") as swarm, swarm.request(Verb.GET, ("slow",)):
        await wait_all_tasks_blocked()
    async with replaying(tmp_path / "rec") as swarm:
        with pytest.raises(Unavailable, match="ends before the answer"):
            await swarm.get("slow")


async def test_a_stream_that_broke_breaks_again(tmp_path: Path) -> None:
    class Breaks(Server):
        async def connect(self, request: Request) -> None:
            await request.reply.ack(stream=Half())

    class Half(trio.abc.ReceiveStream):
        pieces = [b"half"]  # noqa: RUF012 - one such stream a test

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            await trio.lowlevel.checkpoint()
            if not self.pieces:
                raise trio.BrokenResourceError("the engine died")
            return self.pieces.pop()

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    async def use(*stages: Any) -> None:
        async with Chain(*stages).open() as sender:
            stream = (await Client(sender).call(Verb.CONNECT, ("logs",))).ack.stream
            assert stream is not None
            assert not isinstance(stream, trio.abc.HalfCloseableStream)
            assert await stream.receive_some() == b"half"
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            await stream.aclose()

    await use(Record(str(tmp_path / "rec")), Breaks())
    await use(Replay(str(tmp_path / "rec")))


async def test_a_caller_that_goes_away_leaves_no_replay_behind(recorded: Path) -> None:
    async with replaying(recorded) as swarm, swarm.request(Verb.WATCH, params={"until": 1}) as replies:
        assert isinstance(await next_reply(replies), Ack)


def good_until(file: Path) -> tuple[list[What], str]:
    with closing(Recording(str(file))) as found:
        return [event.what for event in found.events()], found.damage


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_costs_only_what_is_after_it(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    file = tmp_path_factory.mktemp("rec") / "rec"
    writer = Writer(str(file), append=False, force=True)
    header = file.stat().st_size
    for number in range(5):
        writer.put(What.SENT, number, bytes(range(50 * number)))
    writer.close()
    with closing(Recording(str(file))) as whole:
        ends = [event.place + event.size for event in whole.events()]
    content = bytearray(file.read_bytes())
    # A record's size depends on the time in it, so the range that is drawn from does not depend on the file.
    at = header + data.draw(st.integers(0, 2**16)) % (len(content) - header)
    if data.draw(st.booleans()):
        del content[at:]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    whole = sum(end <= at for end in ends)
    events, damage = good_until(file)
    assert len(events) == whole
    good = ends[whole - 1] if whole else header
    if len(content) == good:
        assert damage == ""
    else:
        assert f"is damaged at byte {good} " in damage
        assert f"the {whole} records before it are good" in damage


async def test_what_is_before_the_damage_is_replayed_and_the_log_says_how_much(
    recorded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut(recorded, 50)
    async with replaying(recorded) as swarm:
        assert (await swarm.get("a"))["Size"] == 2
        with pytest.raises(Unavailable, match="ends before the answer"):
            await upload(swarm, b"x")
    assert "is damaged at byte" in caplog.text
    assert "(the last record is cut off)" in caplog.text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is not a swarmlib recording"),
        (b"GET / HTTP/1.1\r\n", "is not a swarmlib recording"),
        (msgpack.packb(["another's", 1, 0.0]), "is not a swarmlib recording"),
        (msgpack.packb([MAGIC, 1, 0.0]), "of version 1; this swarmlib reads version 2"),
        (msgpack.packb([MAGIC]), "is not a swarmlib recording"),
        (b"\xc1", "is not a swarmlib recording"),
        (b"\xdd\xff\xff\xff\xff", "is not a swarmlib recording"),
    ],
)
async def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    written(tmp_path / "rec", content)
    opening: list[Callable[[], Any]] = [lambda: replaying(tmp_path / "rec")]
    if content:
        opening.append(lambda: recording(tmp_path / "rec", append=True))
    for opened in opening:
        with pytest.raises(Invalid, match=why):
            async with opened():
                pass


@pytest.mark.parametrize("stage", ["record /nosuch/rec", "replay /nosuch/rec", "record --force /dev/null"])
async def test_a_file_that_will_not_do_is_named(stage: str) -> None:
    with pytest.raises(Unavailable, match=f"can't .*{stage.split()[-1]}: "):
        async with Chain.read(stage).open():
            pass


def test_options_that_make_no_sense_are_refused() -> None:
    for text, why in (
        ("record f --append --force", "can't be used together"),
        ("replay f --speed -1", "0 or more"),
        ("replay f --speed inf", "0 or more"),
        ("replay f --match never", "request, order"),
    ):
        with pytest.raises(Invalid, match=why):
            Chain.read(text)
