"""Exec and attach against a cluster in memory, in each of its dialects."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio
import trio.testing

from swarmlib.errors import BadAnswer, SwarmError, Unavailable, Unsupported
from swarmlib_backends.kubernetes.fakecluster.streams import Served
from swarmlib_backends.kubernetes.streams.carrier import KEEPALIVE_SECONDS
from swarmlib_backends.kubernetes.streams.negotiate import Dialect, Dialects
from swarmlib_backends.kubernetes.streams.remote import GRACE_SECONDS, RemoteCommand, RemoteProcess, remote_command
from tests.backends.kubernetes.streams.fake_api import SUCCESS, FakeApi, Handler, exited, narrow_pair

DIALECTS = (Dialect.V5, Dialect.SPDY, Dialect.V4)
EXEC = RemoteCommand("exec", "main", ("sh",), stdin=True)
HALF_CLOSING = (Dialect.V5, Dialect.SPDY)


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


@pytest.fixture
def running(nursery: trio.Nursery, dialect: Dialect) -> Callable[..., AbstractAsyncContextManager[RemoteProcess]]:
    """Run a command in a cluster whose side of it is a handler."""

    def run(
        handler: Handler, command: RemoteCommand = EXEC, ended: trio.Event | None = None, **options: object
    ) -> AbstractAsyncContextManager[RemoteProcess]:
        api = FakeApi(nursery, handler, spoken=(dialect,), **options)  # type: ignore[arg-type]
        return remote_command(api, "ns", "pod", command, dialects=Dialects(), ended=ended)

    return run


Running = Callable[..., AbstractAsyncContextManager[RemoteProcess]]


async def output(process: RemoteProcess) -> dict[str, bytes]:
    """All that comes, until the end."""
    found = {"stdout": b"", "stderr": b""}
    while received := await process.receive():
        found[received[0]] += received[1]
    return found


async def test_streams_are_apart_and_the_exit_code_is_exact(running: Running) -> None:
    async def handler(served: Served) -> None:
        await served.send("stdout", b"out\n")
        await served.send("stderr", b"err\n")
        await served.send("stdout", b"more\n")
        await served.finish(exited(3))

    async with running(handler) as process:
        assert await output(process) == {"stdout": b"out\nmore\n", "stderr": b"err\n"}
        assert process.exit_code == 3
        assert await process.receive() is None


async def test_success_is_exit_code_0(running: Running) -> None:
    async with running(lambda served: served.finish(SUCCESS)) as process:
        assert await process.receive() is None
        assert process.exit_code == 0


async def test_an_attach_does_not_say_the_exit_code(running: Running) -> None:
    async with running(lambda served: served.finish(SUCCESS), RemoteCommand("attach", "main")) as process:
        assert await process.receive() is None
        assert process.exit_code is None


async def echo(served: Served) -> None:
    """What `cat` does."""
    while (received := await served.receive()) and received[1]:
        await served.send("stdout", received[1])
    await served.finish(SUCCESS)


@pytest.mark.parametrize("dialect", HALF_CLOSING, indirect=True, ids=lambda dialect: dialect.name)
async def test_the_end_of_input_is_told_while_output_goes_on(running: Running) -> None:
    async with running(echo) as process:
        await process.send(b"x\n")
        await process.end_input()
        assert await output(process) == {"stdout": b"x\n", "stderr": b""}


@pytest.mark.parametrize("dialect", [Dialect.V4], indirect=True)
async def test_a_cluster_that_can_not_end_the_input_says_so(running: Running) -> None:
    async with running(echo) as process:
        with pytest.raises(Unsupported, match="the end of the input"):
            await process.end_input()
        await process.send(b"it goes on")
        assert await process.receive() == ("stdout", b"it goes on")


async def test_much_input_arrives_whole(running: Running) -> None:
    data = bytes(range(256)) * 4000

    async def handler(served: Served) -> None:
        got = b""
        while len(got) < len(data) and (received := await served.receive()):
            got += received[1]
        await served.finish(exited(7 if got == data else 1))

    async with running(handler) as process:
        await process.send(memoryview(data))
        assert await process.receive() is None
        assert process.exit_code == 7


async def test_a_terminal_is_resized_and_has_one_output(running: Running) -> None:
    async def handler(served: Served) -> None:
        assert await served.receive() == ("resize", b'{"Width":80,"Height":25}')
        await served.send("stdout", b"25 80")
        await served.finish(SUCCESS)

    command = RemoteCommand("exec", "main", ("sh",), stdin=True, tty=True)
    assert ("stderr", "true") not in command.params
    async with running(handler, command) as process:
        await process.resize(25, 80)
        assert await output(process) == {"stdout": b"25 80", "stderr": b""}


async def test_a_command_that_can_not_be_run_is_the_cluster_s_error(running: Running) -> None:
    async def handler(served: Served) -> None:
        await served.send("stdout", b"said before")
        status = {
            "status": "Failure",
            "reason": "InternalError",
            "code": 500,
            "message": "unable to start: no such file",
        }
        await served.finish(status)

    async with running(handler) as process:
        assert await process.receive() == ("stdout", b"said before")
        with pytest.raises(SwarmError, match="unable to start: no such file"):
            await process.receive()


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"status": "Failure", "reason": "NonZeroExitCode"},
        {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": []}},
        {
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": "x"}]},
        },
        {"status": "Failure", "reason": "NonZeroExitCode", "details": 3},
        exited(-1),
        exited(1 << 32),
        exited(int("9" * 4000)),
        {"status": 0},
    ],
)
async def test_a_malformed_status_is_refused(running: Running, status: dict[str, object]) -> None:
    async with running(lambda served: served.finish(status)) as process:
        with pytest.raises(BadAnswer, match="malformed status"):
            await process.receive()


async def test_an_endless_status_is_refused(running: Running) -> None:
    async def handler(served: Served) -> None:
        await served.send("error", b"{" + b" " * 300_000)

    async with running(handler) as process:
        with pytest.raises(BadAnswer, match="too long"):
            await process.receive()


async def test_a_connection_that_ends_too_early_is_an_error(running: Running) -> None:
    async def handler(served: Served) -> None:
        await served.send("stdout", b"half")
        await served.close()

    async with running(handler) as process:
        assert await process.receive() == ("stdout", b"half")
        with pytest.raises(Unavailable, match="without saying how the process ended"):
            await process.receive()


async def test_a_process_ends_with_its_container(running: Running, autojump_clock: trio.testing.MockClock) -> None:
    """An exec that kills its own container may never get its status."""
    ended = trio.Event()

    async def handler(served: Served) -> None:
        await ended.wait()
        await trio.sleep(GRACE_SECONDS / 2)
        await served.send("stdout", b"last ")
        await trio.sleep(GRACE_SECONDS * 0.9)
        await served.send("stdout", b"words")
        await trio.sleep_forever()

    async with running(handler, ended=ended) as process, trio.open_nursery() as others:

        async def end() -> None:
            await trio.sleep(100)
            ended.set()

        others.start_soon(end)
        assert (await output(process))["stdout"] == b"last words"
        assert process.exit_code is None
        assert trio.current_time() == pytest.approx(100 + GRACE_SECONDS * 3)


async def test_a_slow_reader_loses_nothing_after_the_container_ended(
    running: Running, autojump_clock: trio.testing.MockClock
) -> None:
    ended = trio.Event()

    async def handler(served: Served) -> None:
        for _ in range(20):
            await served.send("stdout", b"x" * 1000)
        await trio.sleep_forever()

    got = 0
    async with running(handler, ended=ended, pair=narrow_pair) as process:
        ended.set()
        while received := await process.receive():
            got += len(received[1])
            await trio.sleep(GRACE_SECONDS * 5)
    assert got == 20_000


async def test_a_reader_holds_back_the_peer(running: Running) -> None:
    sent = 0

    async def handler(served: Served) -> None:
        nonlocal sent
        while True:
            await served.send("stdout", b"x" * 1000)
            sent += 1000

    async with running(handler, pair=narrow_pair) as process:
        for _ in range(3):
            assert await process.receive()
        await trio.testing.wait_all_tasks_blocked()
        assert sent < 8000


async def test_input_for_a_process_that_has_ended_is_refused(running: Running) -> None:
    async with running(lambda served: served.finish(SUCCESS)) as process:
        assert await process.receive() is None
        for call in (process.send(b"x"), process.end_input()):
            with pytest.raises(trio.BrokenResourceError, match="the process has ended"):
                await call


async def test_pings_in_a_long_silence_are_no_output(running: Running, autojump_clock: trio.testing.MockClock) -> None:
    async def handler(served: Served) -> None:
        with trio.move_on_after(KEEPALIVE_SECONDS * 10.5):
            assert not await served.receive()
        await served.finish(SUCCESS)

    async with running(handler) as process:
        assert await process.receive() is None
        assert process.exit_code == 0


async def test_a_call_that_is_cancelled_in_a_frame_breaks_the_input_only(
    running: Running, autojump_clock: trio.testing.MockClock
) -> None:
    async def handler(served: Served) -> None:
        await served.send("stdout", b"still here")
        await trio.sleep_forever()

    async with running(handler, pair=trio.testing.lockstep_stream_pair) as process:
        with trio.move_on_after(1) as scope:
            await process.send(b"x" * 100)
        assert scope.cancelled_caught
        with pytest.raises(trio.BrokenResourceError):
            await process.send(b"y")
        assert await process.receive() == ("stdout", b"still here")


async def test_everything_is_closed_at_the_end(nursery: trio.Nursery, dialect: Dialect) -> None:
    gone = trio.Event()

    async def handler(served: Served) -> None:
        while await served.receive():
            pass
        gone.set()

    api = FakeApi(nursery, handler, spoken=(dialect,))

    async def fail() -> None:
        async with remote_command(api, "ns", "pod", EXEC, dialects=Dialects()):
            assert api.open == 1
            raise ValueError("the caller's own")

    with pytest.raises(ValueError, match="the caller's own"):
        await fail()
    assert api.open == 0
    await gone.wait()
