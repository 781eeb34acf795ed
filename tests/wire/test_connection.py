"""Connections: what a chain promises inside one process holds across a byte stream."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from swarmlib import (
    UNSENT,
    Ack,
    Client,
    Conflict,
    Filter,
    Json,
    Log,
    Meta,
    NotFound,
    Request,
    Sender,
    Server,
    SwarmError,
    TimedOut,
    TooLarge,
    Unavailable,
    Unhandled,
    Unsupported,
    Verb,
    ask,
    next_reply,
    open_reply,
)
from swarmlib.asking import answer, call
from swarmlib.net.sockets import Socket
from swarmlib.operation import Operation
from swarmlib.pieces import Buffer
from swarmlib.wire.connection import Connection, open_connection
from swarmlib.wire.errors import WireError
from swarmlib.wire.events import Received
from swarmlib.wire.frames import HEAD, MAGIC, VERSIONS, hello
from swarmlib.wire.limits import Limits
from swarmlib.wire.references import RefKind
from swarmlib.wire.session import Session
from swarmlib.wire.stream_endpoint import OWN_SEND
from swarmlib.wire.table import SERVICE

DEFAULT = Limits()


@asynccontextmanager
async def joined(
    service: Sender | None = None,
    *,
    back: Sender | None = None,
    limits: Limits = DEFAULT,
    streams: tuple[trio.abc.Stream, trio.abc.Stream] | None = None,
    caller: str = "",
) -> AsyncGenerator[tuple[Connection, Connection]]:
    """Two connections over a pair of streams: the first is the caller's, the second has `service`."""
    near, far = streams or memory_stream_pair()
    opened: list[Connection] = []
    ready, leave = trio.Event(), trio.Event()

    async def serve() -> None:
        async with open_connection(far, service=service, initiator=False, limits=limits, caller=caller) as found:
            opened.append(found)
            ready.set()
            await leave.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with open_connection(near, service=back, initiator=True, limits=limits) as first:
            await ready.wait()
            yield first, opened[0]
        leave.set()


@dataclass(eq=False)
class Store(Server):
    """Objects in memory, of every kind of answer."""

    cancelled: list[str] = field(default_factory=list[str])
    callers: list[Any] = field(default_factory=list[Any])

    async def ls(self, request: Request) -> Any:
        self.callers.append(request.meta.caller)
        return list(request.path)

    async def get(self, request: Request) -> Any:
        raise NotFound("no such thing", path=request.path, details={"headers": [(b"A", b"b")]})

    async def set(self, request: Request) -> Any:
        return request.json

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        try:
            for count in range(int(request.params.get("count", 0))):
                await request.reply.set(count)
            if "count" not in request.params:
                await trio.sleep_forever()
        except trio.Cancelled:
            self.cancelled.append("/".join(request.path))
            raise

    async def attach(self, request: Request) -> None:
        await request.reply.ack()
        await request.reply.log(b"a line")
        await trio.sleep_forever()

    async def file(self, request: Request) -> Any:
        if request.upload is None:
            await request.reply.ack(stream=Bytes(b"x" * 1_000_000))
            return None
        async with request.upload as upload:
            return {"bytes": sum([len(piece) async for piece in upload])}

    async def stop(self, request: Request) -> None:
        await trio.sleep_forever()


class Bytes(trio.abc.ReceiveStream):
    """Some bytes to read, and whether it was closed."""

    def __init__(self, data: bytes, fails: Exception | None = None) -> None:
        self.data = data
        self.fails = fails
        self.closed = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        piece, self.data = self.data[:10_000], self.data[10_000:]
        if not piece and self.fails is not None:
            raise self.fails
        return piece

    async def aclose(self) -> None:
        self.closed.set()


@asynccontextmanager
async def store(**options: Any) -> AsyncGenerator[tuple[Client, Store, Connection, Connection]]:
    backend = Store()
    async with backend.open(Unhandled()) as inlet, joined(inlet, **options) as (near, far):
        yield Client(near.sender), backend, near, far


async def test_calls_and_errors_cross_with_all_they_hold(autojump_clock: trio.abc.Clock) -> None:
    async with store() as (client, _, _, _):
        assert await client.ls("a", "b") == ["a", "b"]
        with pytest.raises(NotFound, match="no such thing") as caught:
            await client.get("web")
        assert (caught.value.backend, caught.value.path) == ("store", ("web",))
        assert caught.value.details == {"headers": [(b"A", b"b")]}
        with pytest.raises(Unsupported, match="is not supported by any backend of this chain"):
            await client.rm("web")


async def test_a_large_value_goes_there_and_back(autojump_clock: trio.abc.Clock) -> None:
    async with store() as (client, _, _, _):
        large = {"a": "x" * 3_000_000}
        assert await client.set("web", body=large) == large


async def test_replies_come_in_order_and_no_faster_than_they_are_read(autojump_clock: trio.abc.Clock) -> None:
    async with store(limits=Limits(credit=4)) as (client, _, _, far), client.watch("events", count=1000) as changes:
        await wait_all_tasks_blocked()
        assert far.waiting_bytes < 1000
        assert [change async for change in changes] == list(range(1000))


async def test_requests_come_in_order(autojump_clock: trio.abc.Clock) -> None:
    came: list[str] = []

    class Waits(Server):
        def choose(self, request: Request) -> Any:
            came.append(request.path[0])
            return super().choose(request)

        async def get(self, request: Request) -> None:
            await trio.sleep(0.01 * (len(came) % 7))

    async with Waits().open(Unhandled()) as inlet, joined(inlet) as (near, _), trio.open_nursery() as nursery:
        client = Client(near.sender)
        for count in range(2000):
            replies = await ask(near.sender, Request(Verb.GET, (str(count),)))
            nursery.start_soon(answer, replies)
        assert await client.get("last") is None
    assert came == [*map(str, range(2000)), "last"]


async def test_a_cancelled_call_is_cancelled_on_the_other_side_at_once(autojump_clock: trio.abc.Clock) -> None:
    async with store() as (client, backend, _, _):
        with trio.move_on_after(1):
            await client.call(Verb.WATCH, ("events",))
            async with client.watch("events"):
                await trio.sleep_forever()
        await wait_all_tasks_blocked()
        assert backend.cancelled == ["events", "events"]


async def test_a_deadline_crosses_as_time_left(autojump_clock: trio.abc.Clock) -> None:
    left: list[float] = []

    class Late(Server):
        async def ls(self, request: Request) -> None:
            left.append(request.deadline - trio.current_time())
            await trio.sleep_forever()

    async with Late().open(Unhandled()) as inlet, joined(inlet) as (near, _):
        with trio.move_on_after(7):
            await Client(near.sender).ls()
    assert left == [7.0]


async def test_an_attachment_is_sent_to_by_its_path_while_its_replies_come(autojump_clock: trio.abc.Clock) -> None:
    async with store() as (client, _, _, _), client.attach("web") as conversation:
        assert await conversation.ls("x") == ["containers", "web", "x"]
        line = await anext(aiter(conversation))
        assert isinstance(line, Log)
        assert line.line == b"a line"


async def test_streams_go_both_ways_and_are_closed_behind(autojump_clock: trio.abc.Clock) -> None:
    async with store() as (client, _, _, far):
        upload = Bytes(b"y" * 700_000)
        assert (await client.call(Verb.FILE, ("web",), upload=upload)).value == {"bytes": 700_000}
        await upload.closed.wait()
        download = await client.file("web")
        assert download is not None
        async with download:
            assert sum([len(piece) async for piece in download]) == 1_000_000
        assert far.open_calls == 0


async def test_an_upload_that_nobody_reads_is_closed_with_its_call(autojump_clock: trio.abc.Clock) -> None:
    class Careless(Server):
        async def file(self, request: Request) -> None:
            await request.reply.ack()

    upload = Bytes(b"y" * 700_000)
    async with Careless().open(Unhandled()) as inlet, joined(inlet) as (near, far):
        await Client(near.sender).call(Verb.FILE, ("web",), upload=upload)
        await upload.closed.wait()
        assert far.open_calls == 0


async def test_a_stream_that_breaks_says_why_on_the_other_side(autojump_clock: trio.abc.Clock) -> None:
    class Broken(Server):
        async def file(self, request: Request) -> None:
            await request.reply.ack(stream=Bytes(b"begin", trio.BrokenResourceError("the disk is gone")))

    async with Broken().open(Unhandled()) as inlet, joined(inlet) as (near, _):
        stream = await Client(near.sender).file("web")
        assert stream is not None
        with pytest.raises(trio.BrokenResourceError, match="the disk is gone"):
            await drained(stream)


@pytest.mark.parametrize("what", ["stream", "session"])
async def test_what_came_before_a_stream_broke_is_read_before_its_reader_is_told(
    what: str, autojump_clock: trio.abc.Clock
) -> None:
    breaks, ends = trio.Event(), memory_stream_pair()

    class Breaks(Bytes):
        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            if not self.data:
                await breaks.wait()
            return await super().receive_some(max_bytes)

    class Broken(Server):
        async def file(self, request: Request) -> None:
            await request.reply.ack(stream=Breaks(b"begin", trio.BrokenResourceError("the disk is gone")))

    async with Broken().open(Unhandled()) as inlet, joined(inlet, streams=ends) as (near, _):
        stream = await Client(near.sender).file("web")
        assert stream is not None
        await wait_all_tasks_blocked()
        if what == "session":
            await ends[1].send_stream.aclose()  # type: ignore[attr-defined]
        else:
            breaks.set()
        await wait_all_tasks_blocked()
        assert await stream.receive_some() == b"begin"
        with pytest.raises(trio.BrokenResourceError, match="the disk is gone" if what == "stream" else "ended|closed"):
            await stream.receive_some()
        await stream.aclose()


async def test_a_stream_that_is_closed_early_is_closed_on_the_other_side(autojump_clock: trio.abc.Clock) -> None:
    given = Bytes(b"x" * 10_000_000)

    class Big(Server):
        async def file(self, request: Request) -> None:
            await request.reply.ack(stream=given)

    async with Big().open(Unhandled()) as inlet, joined(inlet) as (near, _):
        stream = await Client(near.sender).file("web")
        assert stream is not None
        await stream.receive_some()
        await stream.aclose()
        await given.closed.wait()
        assert given.data


async def test_a_conversation_is_closed_on_the_other_side_behind_what_was_sent(autojump_clock: trio.abc.Clock) -> None:
    inner, outer = memory_stream_pair()
    go_on, pass_on = trio.Event(), inner.send_stream.send_all_hook

    async def slowly() -> None:
        await go_on.wait()
        assert pass_on is not None
        await pass_on()

    class Talks(Server):
        async def connect(self, request: Request) -> None:
            await request.reply.ack(stream=inner)

    inner.send_stream.send_all_hook = slowly
    async with Talks().open(Unhandled()) as inlet, joined(inlet) as (near, _):
        stream = await Client(near.sender).connect("web")
        await stream.send_all(b"first ")
        await wait_all_tasks_blocked()
        await stream.send_all(b"and last words")
        await stream.aclose()
        await wait_all_tasks_blocked()
        go_on.set()
        assert b"".join([piece async for piece in outer]) == b"first and last words"
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BrokenResourceError):
            await outer.send_all(b"nobody reads this")


async def test_streams_across_a_connection_keep_trios_contract() -> None:
    @dataclass(eq=False)
    class Give(Server):
        given: list[trio.abc.HalfCloseableStream] = field(default_factory=list[trio.abc.HalfCloseableStream])

        async def connect(self, request: Request) -> None:
            await request.reply.ack(stream=self.given.pop())

    backend = Give()
    async with (
        backend.open(Unhandled()) as inlet,
        joined(inlet, limits=Limits(window=1024, window_max=1024)) as (near, _),
    ):

        async def make() -> tuple[Any, Any]:
            ours, theirs = memory_stream_pair()
            backend.given.append(theirs)
            return await Client(near.sender).connect("x"), ours

        async with trio.open_nursery():
            stream, other = await make()
            await stream.send_all(b"there")
            assert await other.receive_some() == b"there"
            await other.send_all(b"back")
            assert await stream.receive_some() == b"back"
            with pytest.raises(ValueError, match="max_bytes"):
                await stream.receive_some(0)
            await other.send_all(b"abc")
            assert await stream.receive_some(2) == b"ab"
            assert await stream.receive_some() == b"c"
            await stream.send_eof()
            await stream.send_eof()
            assert await other.receive_some() == b""
            with pytest.raises(trio.ClosedResourceError):
                await stream.send_all(b"x")
            await other.send_all(b"still")
            await other.send_eof()
            assert await stream.receive_some() == b"still"
            assert await stream.receive_some() == b""
            await stream.aclose()
            await stream.aclose()
            for use in (stream.receive_some, lambda: stream.send_all(b"x"), stream.send_eof):
                with pytest.raises(trio.ClosedResourceError):
                    await use()


async def test_a_small_call_is_not_held_up_by_a_slow_stream_or_a_slow_service(autojump_clock: trio.abc.Clock) -> None:
    class Slow(Filter):
        async def send(self, request: Request) -> None:
            if request.path == ("slow",):
                await trio.sleep(50)
            await self.next.send(request)

    backend = Store()
    async with (
        backend.open(Unhandled()) as inner,
        Slow().open(inner) as inlet,
        joined(inlet) as (near, _),
        trio.open_nursery() as nursery,
    ):
        client = Client(near.sender)
        unread = await client.file("web")
        assert unread is not None
        nursery.start_soon(client.ls, "slow")
        await wait_all_tasks_blocked()
        began = trio.current_time()
        assert await client.ls("quick") == ["quick"]
        assert trio.current_time() == began
        await unread.aclose()


async def test_a_call_is_cancelled_while_a_filter_holds_it(autojump_clock: trio.abc.Clock) -> None:
    seen: list[str] = []

    class Stuck(Filter):
        async def send(self, request: Request) -> None:
            try:
                await trio.sleep_forever()
            finally:
                seen.append("cancelled")

    async with Stuck().open(Unhandled()) as inlet, joined(inlet) as (near, _):
        with trio.move_on_after(1):
            await Client(near.sender).ls()
        await wait_all_tasks_blocked()
        assert seen == ["cancelled"]


async def test_the_transport_says_who_calls_and_not_the_caller(autojump_clock: trio.abc.Clock) -> None:
    claims = Request(Verb.LS, ("a",), {"caller": "root", ":caller": "root"}, meta=Meta("root", "1.41"))
    async with store(caller="bob") as (_, backend, near, _):
        await call(near.sender, claims)
        assert backend.callers == ["bob"]
    async with store() as (_, backend, near, _):
        await call(near.sender, claims)
        assert backend.callers == [""]


async def test_what_is_known_about_a_call_crosses_but_for_who_calls(autojump_clock: trio.abc.Clock) -> None:
    seen: list[Meta] = []

    class Notes(Server):
        async def get(self, request: Request) -> None:
            seen.append(request.meta)

    headers = (("x-registry-auth", "eyJ9"), ("accept", "a"), ("accept", "b"))
    async with Notes().open(Unhandled()) as inlet, joined(inlet, caller="bob") as (near, _):
        await call(near.sender, Request(Verb.GET, meta=Meta("root", "1.41", headers)))
    assert seen == [Meta("bob", "1.41", headers)]


async def test_a_request_that_a_stage_drops_is_answered(autojump_clock: trio.abc.Clock) -> None:
    class Drops(Filter):
        async def send(self, request: Request) -> None:
            pass

    async with Drops().open(Unhandled()) as inlet, joined(inlet) as (near, _):
        with pytest.raises(Unavailable, match="drops dropped the request without an answer"):
            await Client(near.sender).ls()


async def test_an_answer_that_cant_be_carried_becomes_an_error(autojump_clock: trio.abc.Clock) -> None:
    class Odd(Server):
        async def get(self, request: Request) -> None:
            await request.reply.ack(details={"odd": object()})

        async def ls(self, request: Request) -> None:
            raise Conflict("in use", details={"odd": object()})

    async with Odd().open(Unhandled()) as inlet, joined(inlet) as (near, _):
        client = Client(near.sender)
        with pytest.raises(SwarmError, match="this `ack` reply can't be carried: object is not plain data"):
            await client.get("a")
        with pytest.raises(Conflict, match="in use"):
            await client.ls()


async def test_a_request_that_cant_be_carried_is_refused_and_harms_nothing(autojump_clock: trio.abc.Clock) -> None:
    async with store() as (client, _, _, _):
        with pytest.raises(SwarmError, match="can't be carried"):
            await client.ls("a", odd=object())
        with pytest.raises(TooLarge, match="the peer accepts 2097152"):
            await client.ls("a", odd="a" * 2_100_000)
        assert await client.ls("a") == ["a"]


async def drained(stream: trio.abc.ReceiveStream) -> None:
    while await stream.receive_some():
        pass


async def unanswered(client: Client) -> None:
    with pytest.raises(Unavailable):
        await client.stop("never")


async def forever(_: bytes) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize("how", ["cut", "garbage", "silence", "leave"])
async def test_whatever_ends_the_session_every_open_call_is_told_and_every_stream_breaks(
    how: str, autojump_clock: trio.abc.Clock
) -> None:
    near_stream, far_stream = memory_stream_pair()
    backend = Store()
    async with backend.open(Unhandled()) as inlet, trio.open_nursery() as nursery:
        leave, ready = trio.Event(), trio.Event()

        async def serve() -> None:
            async with open_connection(far_stream, service=inlet, initiator=False):
                ready.set()
                await leave.wait()

        nursery.start_soon(serve)
        async with open_connection(near_stream, service=None, initiator=True) as near:
            client = Client(near.sender)
            stream = await client.file("web")
            assert stream is not None
            await ready.wait()
            async with client.watch("events") as changes, trio.open_nursery() as asking:
                asking.start_soon(unanswered, client)
                await wait_all_tasks_blocked()
                if how == "cut":
                    await near_stream.send_stream.aclose()  # type: ignore[attr-defined]
                    await far_stream.send_stream.aclose()  # type: ignore[attr-defined]
                elif how == "garbage":
                    await far_stream.send_all(b"\xff" * 100)
                elif how == "silence":
                    far_stream.send_stream.send_all = forever  # type: ignore[attr-defined]
                else:
                    leave.set()
                with trio.fail_after(60), pytest.raises(Unavailable):  # it broke off: that is no end in good order
                    await anext(aiter(changes))
            assert near.closed.is_set()
            assert isinstance(near.why, WireError if how == "garbage" else Unavailable)
            with pytest.raises(trio.BrokenResourceError):
                await drained(stream)
            with pytest.raises(Unavailable, match="not sent") as caught:
                await client.ls()
            assert caught.value.details == {UNSENT: True}
        leave.set()
    assert backend.cancelled == ["events"]


async def test_draining_lets_open_calls_end_and_refuses_new_ones(autojump_clock: trio.abc.Clock) -> None:
    async with store() as (client, _, near, far), trio.open_nursery() as nursery:
        download = await client.file("web")
        assert download is not None
        drained: list[float] = []

        async def drain() -> None:
            await far.drain()
            drained.append(trio.current_time())

        nursery.start_soon(drain)
        await wait_all_tasks_blocked()
        assert near.draining
        with pytest.raises(Unavailable, match="shutting down") as caught:
            await client.ls("a")
        assert caught.value.details == {UNSENT: True}
        assert not drained
        assert sum([len(piece) async for piece in download]) == 1_000_000
        await wait_all_tasks_blocked()
        assert drained


async def test_a_request_that_crosses_with_the_drain_is_answered_as_not_begun(autojump_clock: trio.abc.Clock) -> None:
    async with store() as (client, backend, _, far), trio.open_nursery() as nursery:
        nursery.start_soon(far.drain)
        with pytest.raises(Unavailable) as caught:
            await client.ls("a")
        assert caught.value.details == {UNSENT: True}
        assert backend.callers == []


@pytest.mark.parametrize("initiator", [True, False])
async def test_a_peer_that_speaks_something_else_is_refused(initiator: bool, autojump_clock: trio.abc.Clock) -> None:
    near, far = memory_stream_pair()
    await far.send_all(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(WireError, match="does not speak the swarmlib protocol: it sent b'GET"):
        async with open_connection(near, service=None, initiator=initiator):
            raise AssertionError
    said = b"".join([bytes(piece) async for piece in far])
    assert said.startswith(b"\x89SWARM" if initiator else b"HTTP/1.1 400")


async def test_a_peer_that_says_nothing_is_given_up(autojump_clock: trio.abc.Clock) -> None:
    near, _far = memory_stream_pair()
    with pytest.raises(Unavailable, match="sent no HELLO within 10 s"):
        async with open_connection(near, service=None, initiator=True):
            raise AssertionError
    assert trio.current_time() < 15


async def test_a_peer_that_never_reads_holds_up_nobody_for_long(autojump_clock: trio.abc.Clock) -> None:
    near, far = trio.testing.lockstep_stream_pair()
    backend = Store()
    async with backend.open(Unhandled()) as inlet, trio.open_nursery() as nursery:

        async def serve() -> None:
            async with open_connection(far, service=inlet, initiator=False) as found:
                await found.closed.wait()
                assert "been silent for 30 s" in str(found.why)

        nursery.start_soon(serve)

        nursery.start_soon(near.send_all, MAGIC + hello(VERSIONS, Limits(), frozenset()))
    assert trio.current_time() < 45


async def test_leaving_is_bounded_even_if_the_peer_never_takes_leave(autojump_clock: trio.abc.Clock) -> None:
    near, far = memory_stream_pair()

    await far.send_all(MAGIC + hello(VERSIONS, Limits(), frozenset()))
    async with open_connection(near, service=None, initiator=True):
        began = trio.current_time()
    assert trio.current_time() - began <= 2


async def test_a_cancelled_connection_leaves_at_once_and_still_says_bye(autojump_clock: trio.abc.Clock) -> None:
    near, far = memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            async with open_connection(far, service=None, initiator=False) as found:
                await found.closed.wait()
                assert str(found.why) == "the peer ended the session"

        nursery.start_soon(serve)
        with trio.CancelScope() as scope:
            async with open_connection(near, service=None, initiator=True):
                scope.cancel()
                await trio.sleep_forever()


async def test_what_a_full_socket_did_not_take_goes_before_what_is_sent_next() -> None:
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    peer = Session(initiator=False, now=0.0, limits=DEFAULT)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(far))
    came: list[str] = []

    async def read(until: Callable[[], bool]) -> None:
        while not until():
            for event in peer.receive(await stream.receive_some(), 0.0):
                if isinstance(event, Received) and isinstance(event.message, Operation):
                    came.append(event.message.path[0])
            if peer.waiting:
                await stream.send_all(peer.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, lambda: peer.version > 0)
        async with open_connection(
            trio.SocketStream(trio.socket.from_stdlib_socket(near)), service=None, initiator=True
        ) as connection:
            await wait_all_tasks_blocked()
            for count in range(5):
                reply, replies = open_reply()
                await connection.sender.send(Request(Verb.LS, (str(count),), {"large": "x" * 50_000}, reply=reply))
                await replies.aclose()
            await read(lambda: len(came) == 5)
            await stream.aclose()
    assert came == ["0", "1", "2", "3", "4"]


async def test_two_thousand_calls_wait_at_once(autojump_clock: trio.abc.Clock) -> None:
    async with store() as (client, _, near, far):
        waiting = []
        for _ in range(2000):
            reply, replies = open_reply()
            await near.sender.send(Request(Verb.WATCH, reply=reply))
            waiting.append(replies)
        assert await client.ls("a") == ["a"]
        assert far.open_calls == 2000
        for replies in waiting:
            await replies.aclose()
        assert await client.ls("a") == ["a"]
        assert far.open_calls == 0


class Sends(Socket):
    """A socket that keeps what is sent over it, send by send, and what is received, read by read."""

    def __init__(self, stream: trio.SocketStream) -> None:
        super().__init__(stream)
        self.sends: list[bytes] = []
        self.reads: list[bytes] = []

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        self.reads.append(await super().receive_some(max_bytes))
        return self.reads[-1]

    def receive_now(self, size: int) -> bytes:
        self.reads.append(super().receive_now(size))
        return self.reads[-1]

    def send_now(self, pieces: Sequence[Buffer]) -> int:
        self.sends.append(b"".join(pieces))
        return super().send_now(pieces)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.sends.append(bytes(data))
        await super().send_all(data)


@asynccontextmanager
async def spoken_to(service: Sender) -> AsyncGenerator[tuple[Session, socket.socket, Sends]]:
    """A connection with `service` on one end of a socket pair; on the other a session, and the socket to speak over."""
    near, far = socket.socketpair()
    near.setblocking(False)
    stream = Sends(trio.SocketStream(trio.socket.from_stdlib_socket(far)))
    peer = Session(initiator=True, now=0.0, limits=DEFAULT)
    near.send(peer.take())
    async with open_connection(stream, service=service, initiator=False):
        while peer.channels.calls or peer.waiting or not peer.version:
            await wait_all_tasks_blocked()
            peer.receive(near.recv(1 << 20), 0.0)
            near.send(peer.take())
        await wait_all_tasks_blocked()
        stream.sends.clear()
        yield peer, near, stream
        near.close()


async def test_the_answers_to_what_was_read_together_go_in_one_send() -> None:
    class Here(Filter):
        async def send(self, request: Request) -> None:
            await request.reply.ack()
            await request.reply.aclose()

    async with Here().open(Unhandled()) as inlet, spoken_to(inlet) as (peer, near, stream):
        reply, _ = open_reply()
        for _ in range(10):
            peer.channels.send(SERVICE, Request(Verb.GET, reply=reply), 0.0)
        near.send(peer.take())
        await wait_all_tasks_blocked()
        assert len(stream.sends) == 1
        answers = [event for event in peer.receive(near.recv(1 << 20), 0.0) if isinstance(event, Received)]
        assert [answer.last for answer in answers] == [True] * 10


async def test_many_bytes_of_a_stream_are_sent_before_their_source_is_read_again() -> None:
    sent_by: list[int] = []

    class Source(trio.abc.ReceiveStream):
        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            sent_by.append(sum(map(len, stream.sends)))
            return bytes(OWN_SEND) if len(sent_by) == 1 else b""

        async def aclose(self) -> None:
            """Nothing to close."""

    class Gives(Server):
        async def connect(self, request: Request) -> None:
            await request.reply.ack(stream=Source())

    async with Gives().open(Unhandled()) as inlet, spoken_to(inlet) as (peer, near, stream):
        reply, _ = open_reply()
        peer.channels.send(SERVICE, Request(Verb.CONNECT, ("x",), reply=reply), 0.0)
        near.send(peer.take())
        await wait_all_tasks_blocked()
        before, after = sent_by
        assert after - before >= OWN_SEND


async def test_the_payload_of_a_large_frame_is_received_without_a_copy() -> None:
    received: list[bytes] = []
    large = 40 * 1024

    class Reads(Filter):
        async def send(self, request: Request) -> None:
            assert request.upload is not None
            while part := await request.upload.receive_some():
                received.append(bytes(part))
            await request.reply.ack()
            await request.reply.aclose()

    async with Reads().open(Unhandled()) as inlet, spoken_to(inlet) as (peer, near, stream):
        reply, replies = open_reply()
        request = Request(Verb.SET, ("x",), reply=reply)
        upload = peer.channels.send(SERVICE, request, 0.0, RefKind.STREAM).stream
        assert upload is not None

        async def send(count: int) -> None:
            peer.channels.write(upload.id, bytes(count))
            near.send(peer.take())
            await wait_all_tasks_blocked()

        await send(large)
        await send(large)
        # Its head was read by itself, and said how long it is.
        assert list(map(len, stream.reads))[-2:] == [HEAD.size, large]
        assert received[-1] is stream.reads[-1]
        await replies.aclose()


async def test_credit_goes_while_what_came_together_is_still_handled() -> None:
    sent_by: list[int] = []

    kept: list[Request] = []

    class Takes(Filter):
        async def send(self, request: Request) -> None:
            sent_by.append(len(stream.sends))
            kept.append(request)  # whose replies are still to come

    async with Takes().open(Unhandled()) as inlet, spoken_to(inlet) as (peer, near, stream):
        for _ in range(DEFAULT.credit):
            peer.channels.send(SERVICE, Request(Verb.SET, body=Json(b"{}")), 0.0)
        assert peer.channels.credit(SERVICE) == 0
        near.send(peer.take())
        await wait_all_tasks_blocked()
        half = DEFAULT.credit // 2
        assert sent_by == [0] * half + [1] * half
        peer.receive(near.recv(1 << 20), 0.0)
        assert peer.channels.credit(SERVICE) == DEFAULT.credit


async def test_what_came_is_read_though_the_other_direction_ends_before_it_is_handled() -> None:
    inner, outer = memory_stream_pair()

    class Talks(Filter):
        async def send(self, request: Request) -> None:
            if request.verb is Verb.SET:
                await trio.lowlevel.checkpoint()  # what is behind it is handled after others have sent
                return
            await request.reply.ack(stream=inner)
            await request.reply.aclose()

    async with Talks().open(Unhandled()) as inlet, spoken_to(inlet) as (peer, near, _):
        reply, _ = open_reply()
        peer.channels.send(SERVICE, Request(Verb.CONNECT, ("x",), reply=reply), 0.0)
        near.send(peer.take())
        await outer.send_all(bytes(DEFAULT.window + 1))
        await outer.send_eof()
        await wait_all_tasks_blocked()
        (ack,) = [event for event in peer.receive(near.recv(1 << 20), 0.0) if isinstance(event, Received)]
        assert ack.refs[1] is not None
        stream = ack.refs[1].id
        peer.channels.read(stream, DEFAULT.window, 0.0)
        peer.channels.send(SERVICE, Request(Verb.SET, body=Json(b"{}")), 0.0)
        peer.channels.write(stream, b"last words")
        peer.channels.end(stream)
        near.send(peer.take())
        await wait_all_tasks_blocked()
        with trio.fail_after(1):
            assert await outer.receive_some() == b"last words"
            assert await outer.receive_some() == b""


async def test_a_call_that_was_answered_at_once_has_no_hold_on_the_task_that_reads(
    autojump_clock: trio.abc.Clock,
) -> None:
    kept: list[Any] = []

    class Keeps(Filter):
        async def send(self, request: Request) -> None:
            request.keep()
            kept.append(request.reply)
            await request.reply.ack()

    async with Keeps().open(Unhandled()) as inlet, joined(inlet) as (near, far):
        client = Client(near.sender)
        with trio.fail_after(5):
            async with client.request(Verb.WATCH) as replies:
                assert isinstance(await replies.receive(), Ack)
        await trio.sleep(10)  # the caller has gone, and its deadline has passed
        await client.call(Verb.GET)
        assert kept[0].gone
        assert far.why is None


async def test_a_call_that_waits_is_cancelled_alone_and_leaves_nothing_behind(autojump_clock: trio.abc.Clock) -> None:
    cancelled: list[Verb] = []

    class Waits(Filter):
        async def send(self, request: Request) -> None:
            try:
                await trio.sleep(20 if request.verb is Verb.LS else 1000)
            except trio.Cancelled:
                cancelled.append(request.verb)
                raise
            await self.next.send(request)

    limits = Limits(backlog=1024)
    async with (
        Waits().open(Unhandled()) as inlet,
        joined(inlet, limits=limits) as (near, far),
        trio.open_nursery() as nursery,
    ):
        client = Client(near.sender)

        async def other() -> None:
            with pytest.raises(Unsupported):
                await client.ls()

        nursery.start_soon(other)
        await wait_all_tasks_blocked()
        for _ in range(50):  # more than the backlog, had they left something
            with trio.move_on_after(0.1):
                await client.call(Verb.GET)
        reply, replies = open_reply()
        await near.sender.send(Request(Verb.STOP, reply=reply, deadline=trio.current_time() + 5))
        with pytest.raises(TimedOut, match="no answer to stop before its deadline"):
            await next_reply(replies)
        assert far.why is None
    assert cancelled == [*[Verb.GET] * 50, Verb.STOP]
