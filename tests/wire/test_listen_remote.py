"""`listen` and `remote` between processes of this machine: who may come, who is whom, what is lost and found again."""

import os
import socket
import stat
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from swarmd import certs
from swarmlib import (
    CLEANUP_SECONDS,
    UNSENT,
    Backend,
    Chain,
    ChainSyntaxError,
    Client,
    Denied,
    Filter,
    Invalid,
    Log,
    Meta,
    Request,
    Server,
    Unavailable,
    Verb,
    connect,
)
from swarmlib.asking import call
from swarmlib.client.handles import Attachment
from swarmlib.net.dialling import CONNECT_SECONDS
from swarmlib_backends.remote import OPEN_SECONDS
from tests.support.engines import free_port
from tests.support.groups import GROUP
from tests.support.processes import served
from tests.support.relay import relay

FAST = "--keepalive 0.3 --keepalive-timeout 1"


class Box(Server):
    """Says who asks, or waits for as long as it is asked to."""

    async def get(self, request: Request) -> Any:
        match request.path:
            case ("caller",):
                return request.meta.caller
            case ("slow",):
                Box.begun.set()
                await Box.go_on.wait()
                return "at last"
            case _:
                return os.getpid()

    begun = trio.Event()
    go_on = trio.Event()


@asynccontextmanager
async def listening(*words: str, behind: Backend | None = None) -> AsyncGenerator[None]:
    """`listen WORDS…` before a stage of this process."""
    chain = Chain.read(f"listen {' '.join(words)}")
    async with Chain(*chain.backends, behind or Box()).open():
        yield


# Who may come.


@pytest.mark.parametrize(
    ("words", "kind", "problem"),
    [
        ("tcp://0.0.0.0:0", Denied, "other machines could connect and get root access"),
        ("tcp://[::]:0", Denied, "use tls:// with --ca, or use --insecure"),
        ("tls://127.0.0.1:0", ChainSyntaxError, "tls:// requires --cert and --key"),
        ("tls://127.0.0.1:0 --cert a --key b", Invalid, "requires --ca"),
        ("tls://127.0.0.1:0 --cert a --key b --ca c", Invalid, "can't read the TLS file a: No such file"),
        ("unix:///nosuch/folder/x.sock", Unavailable, "can't listen on unix:///nosuch/folder/x.sock: No such file"),
        ("unix:///tmp/x.sock --group nosuch", Invalid, "group 'nosuch' does not exist"),
        ("tcp://127.0.0.1:0 --max-connections 0", Invalid, "--max-connections must be 1 or more"),
        ("tcp://127.0.0.1:0 --limit channles=3", Invalid, "did you mean 'channels'?"),
        ("tcp://127.0.0.1:0 --limit channels=many", Invalid, "invalid limit 'channels=many': expected channels=N"),
        ("tcp://127.0.0.1:0 --limit channels=0", Invalid, "the limit channels is 0: it must be 1 or more"),
        ("tcp://127.0.0.1:0 --keepalive 40", Invalid, "must be longer than --keepalive"),
    ],
)
async def test_what_listen_will_not_do_is_said(words: str, kind: type[Exception], problem: str) -> None:
    with pytest.raises(kind) as raised:
        async with listening(words):
            pass
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("tcp://127.0.0.1:1 --run exec", "--run requires an ssh:// address without a socket"),
        ("ssh://b/x.sock --run exec", "--run requires an ssh:// address without a socket"),
        ('ssh://b --swarmd "sudo \'swarmd"', "No closing quotation"),
        ("tls://b:1 --cert x", "--cert and --key must be given together"),
        ("tcp://b:1 --max-backoff 0", "--max-backoff must be 0.1 or more"),
        ("tcp://b:1 --keepalive-timeout 1", "must be longer than --keepalive"),
    ],
)
async def test_what_remote_will_not_do_is_said(words: str, problem: str) -> None:
    with pytest.raises(ChainSyntaxError) as raised:
        Chain.read(f"remote {words}")
    assert problem in str(raised.value)


async def test_insecure_says_yes_to_what_other_machines_reach() -> None:
    port = free_port()
    async with listening(f"tcp://0.0.0.0:{port} --insecure"):
        # It is reached by more than the one address of this machine that every listener has.
        assert (await caller(f"tcp://127.0.0.2:{port}")).startswith("ip:127.0.0.")


async def test_a_unix_socket_is_its_owners_or_a_groups(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    for group, mode, id in (("", 0o600, os.getegid()), (f"--group {GROUP.gr_name}", 0o660, GROUP.gr_gid)):
        async with listening(f"unix://{path} {group}"):
            assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (mode, id)
        assert not path.exists()


# Who is whom.


async def caller(url: str, claimed: str = "") -> Any:
    """What the far side takes us for, whatever we claim to be."""
    async with connect(f"remote {url}") as swarm:
        asked = Request(Verb.GET, ("caller",), {"caller": claimed, ":caller": claimed}, meta=Meta(caller=claimed))
        return (await call(swarm.sender, asked)).value


async def test_the_caller_is_who_the_transport_knows_whatever_is_claimed(tmp_path: Path) -> None:
    port, secure = free_port(), free_port()
    certs.make(tmp_path, [], ["laptop"])
    tls = f"tls://127.0.0.1:{secure} --ca {tmp_path}/ca.pem"
    server = f"--cert {tmp_path}/server-cert.pem --key {tmp_path}/server-key.pem"
    async with listening(f"unix://{tmp_path}/x.sock tcp://127.0.0.1:{port} {tls} {server}"):
        assert await caller(f"unix://{tmp_path}/x.sock", "cert:root") == f"uid:{os.getuid()}"
        assert await caller(f"tcp://127.0.0.1:{port}", "cert:root") == "ip:127.0.0.1"
        ours = f"--cert {tmp_path}/laptop-cert.pem --key {tmp_path}/laptop-key.pem"
        assert await caller(f"{tls} {ours}", "cert:root") == "cert:laptop"


async def test_tls_refuses_who_has_no_certificate_of_its_authority(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        certs.make(tmp_path / name, [])
    port = free_port()
    url, ours, theirs = f"tls://127.0.0.1:{port}", tmp_path / "ours", tmp_path / "theirs"
    server = f"--cert {ours}/server-cert.pem --key {ours}/server-key.pem"
    strange = f"--cert {theirs}/cert.pem --key {theirs}/key.pem"
    async with listening(f"{url} --ca {ours}/ca.pem {server}"):
        for words, why in (
            (f"--ca {ours}/ca.pem", "certificate required"),
            (f"--ca {ours}/ca.pem {strange}", "alert (unknown ca|decrypt error)"),
            (f"--ca {theirs}/ca.pem {strange}", "certificate verify failed"),
        ):
            with pytest.raises(Unavailable, match=f"{url} is not connected: .*{why}"):
                await caller(f"{url} {words}")
    async with listening(f"{url} {server} --insecure"):
        assert await caller(f"{url} --ca {ours}/ca.pem") == "ip:127.0.0.1"


async def test_one_more_than_may_connect_is_refused_until_another_leaves() -> None:
    port = free_port()
    async with listening(f"tcp://127.0.0.1:{port} --max-connections 1"):
        async with connect(f"remote tcp://127.0.0.1:{port}"):
            with pytest.raises(Unavailable, match="is not connected"):
                await caller(f"tcp://127.0.0.1:{port}")
        assert await caller(f"tcp://127.0.0.1:{port}") == "ip:127.0.0.1"


# What is lost and found again.


async def test_a_far_side_that_is_down_keeps_no_chain_from_opening_and_is_found_when_it_is_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    refused = f"can't connect to tcp://127.0.0.1:{port}: Connection refused"
    async with connect(f"remote tcp://127.0.0.1:{port} --max-backoff 0.1") as swarm:
        with trio.fail_after(1), pytest.raises(Unavailable, match=f": {refused}$") as raised:
            await swarm.get()
        assert raised.value.details[UNSENT]
        assert [record.getMessage() for record in caplog.records] == [
            f"remote tcp://127.0.0.1:{port}: {refused}; trying again"
        ]
        assert raised.value.backend == f"remote tcp://127.0.0.1:{port}"
        async with listening(f"tcp://127.0.0.1:{port}"):
            assert await eventually(swarm) == os.getpid()
            assert caplog.records[-1].getMessage() == f"remote tcp://127.0.0.1:{port} is connected"
        with pytest.raises(Unavailable):
            await swarm.get()
        assert caplog.records[2].getMessage().endswith("; trying again")


async def test_why_a_far_side_is_not_reached_is_logged_once_while_it_is_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connections, more = 0, trio.Event()

    async def hang_up(stream: trio.SocketStream) -> None:
        nonlocal connections, more
        await stream.aclose()
        connections += 1
        if connections == 4:
            more.set()

    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(
            partial(trio.serve_tcp, hang_up, 0, host="127.0.0.1")
        )
        port = listeners[0].socket.getsockname()[1]
        async with connect(f"remote tcp://127.0.0.1:{port} --max-backoff 0.1"):
            with trio.fail_after(10):
                await more.wait()
        nursery.cancel_scope.cancel()
    assert [record.getMessage() for record in caplog.records] == [
        f"remote tcp://127.0.0.1:{port}: the peer closed the connection; trying again"
    ]


async def first_line(replies: Attachment) -> bytes:
    line = await anext(aiter(replies))
    assert isinstance(line, Log)
    return line.line


async def eventually(swarm: Client) -> Any:
    """An answer, as soon as there is one."""
    with trio.fail_after(10):
        while True:
            try:
                return await swarm.get()
            except Unavailable:
                await trio.sleep(0.02)


async def test_a_far_side_that_never_answers_holds_up_the_opening_for_a_set_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        began = trio.current_time()
        async with connect(f"remote tcp://127.0.0.1:{silent.getsockname()[1]}") as swarm:
            assert OPEN_SECONDS <= trio.current_time() - began < CONNECT_SECONDS
            assert caplog.records[-1].getMessage().endswith(": it has not been reached yet; trying again")
            with pytest.raises(Unavailable, match="it has not been reached yet"):
                await swarm.get()


async def test_a_process_that_is_killed_or_frozen_and_comes_back() -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    async with AsyncExitStack() as stack:
        with served(f"listen {url} {FAST}", "exec") as first:
            swarm = await stack.enter_async_context(connect(f"remote {url} {FAST} --max-backoff 0.2"))
            made = await swarm.spawn({"Image": "any", "Cmd": ["sh", "-c", "trap '' TERM; echo up; exec sleep 99"]})
            await made.start()
            async with swarm.attach(*made.path) as conversation:
                assert await first_line(conversation) == b"up"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fails_within, 1, swarm.stop(*made.path, t="100"))
                await trio.testing.wait_all_tasks_blocked(0.05)
                first.kill()
        with served(f"listen {url} {FAST}", "exec") as second:
            assert await eventually(swarm)
            second.freeze()
            await fails_within(2, swarm.get())
            second.thaw()
            assert await eventually(swarm)


async def fails_within(seconds: float, call: Awaitable[Any]) -> None:
    """The call is answered `unavailable` in that time."""
    with trio.fail_after(seconds), pytest.raises(Unavailable):
        await call


async def test_a_way_that_is_cut_slow_and_jittery() -> None:
    port = free_port()
    async with (
        listening(f"tcp://127.0.0.1:{port} {FAST}"),
        relay(port, delay=0.03, jitter=0.04) as way,
        connect(f"remote tcp://127.0.0.1:{way.port} {FAST} --max-backoff 0.2") as swarm,
    ):
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await swarm.get("caller"))

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(ask)
        assert answers == ["ip:127.0.0.1"] * 50
        way.cut()
        await fails_within(2, swarm.get())
        way.mend()
        assert await eventually(swarm)
        way.reset()
        assert await eventually(swarm)


class AtOnce(Filter):
    """Answers in the task that brings the message."""

    async def send(self, request: Request) -> None:
        await request.reply.ack()


async def test_a_call_that_is_cancelled_before_it_left_is_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    async with listening(url, behind=AtOnce()), connect(f"remote {url}") as swarm:
        with trio.CancelScope() as scope:
            scope.cancel()
            await swarm.get()
        assert scope.cancelled_caught
        assert await swarm.get() is None
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_stage_that_closes_lets_the_calls_under_way_end_and_begins_no_more() -> None:
    async with slow_call_to_one_that_closes() as (swarm, answers):
        with pytest.raises(Unavailable):
            await swarm.get()
        Box.go_on.set()
    assert answers == ["at last"]


async def test_a_call_that_does_not_end_is_cut_off_within_the_time_for_cleanup() -> None:
    began = trio.current_time()
    async with slow_call_to_one_that_closes() as (_, answers):
        pass
    assert [type(answer) for answer in answers] == [Unavailable]
    assert trio.current_time() - began < CLEANUP_SECONDS + 1


@asynccontextmanager
async def slow_call_to_one_that_closes() -> AsyncGenerator[tuple[Client, list[Any]]]:
    """A client with a call under way to a far side that was told to close, and what it is answered at the end."""
    Box.begun, Box.go_on = trio.Event(), trio.Event()
    url = f"tcp://127.0.0.1:{free_port()}"
    answers: list[Any] = []
    closing = trio.Event()

    async def far(*, task_status: trio.TaskStatus[None]) -> None:
        async with listening(url):
            task_status.started()
            await closing.wait()

    async def ask(swarm: Client) -> None:
        try:
            answers.append(await swarm.get("slow"))
        except Unavailable as exc:
            answers.append(exc)

    async with trio.open_nursery() as nursery:
        await nursery.start(far)
        async with connect(f"remote {url}") as swarm:
            nursery.start_soon(ask, swarm)
            await Box.begun.wait()
            closing.set()
            await trio.testing.wait_all_tasks_blocked(0.05)
            yield swarm, answers
            while not answers:
                await trio.testing.wait_all_tasks_blocked(0.05)
