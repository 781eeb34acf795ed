"""swarmlib.aio: the API from asyncio. Many calls at once, cancellation, streams, shutdown."""

import asyncio
import gc
import io
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from swarmlib import Client, Filter, NotFound, Unavailable, connect
from swarmlib.client import aio
from swarmlib.grammar import ChainSyntaxError
from tests.support.desk import CLOSING, Desk, python


@asynccontextmanager
async def connected(desk: Desk) -> AsyncIterator[Client]:
    async with aio.connect(Filter(), desk) as swarm:
        assert desk.seen() == "open"
        yield swarm


def run(use: Callable[[Client, Desk], Awaitable[None]]) -> None:
    """Run a program on asyncio, in its debug mode; when it has ended no thread is left."""
    desk = Desk()

    async def main() -> None:
        async with connected(desk) as swarm:
            await use(swarm, desk)

    try:
        asyncio.run(main(), debug=True)
    finally:
        gc.collect()
        assert "swarmlib" not in [thread.name for thread in threading.enumerate()]


async def seen(desk: Desk) -> str:
    return await asyncio.to_thread(desk.seen)


def test_objects_are_made_and_asked_as_in_the_trio_api() -> None:
    async def use(swarm: Client, desk: Desk) -> None:
        box = await swarm.spawn({"a": 1}, name="box")
        assert (box.id, box.path, box.made) == ("box", ("containers", "box"), {"Id": "box"})
        assert [found.id for found in await swarm.ls()] == ["box"]
        assert await swarm.workload("box").get() == {"a": 1}
        with pytest.raises(NotFound, match="no other"):
            await swarm.workload("other").get()
        with pytest.raises(AttributeError, match="nothing"):
            swarm.nothing  # type: ignore[attr-defined]  # noqa: B018
        assert "spawn" in dir(swarm)
        assert "box" in repr(box)

    run(use)


def test_a_hundred_tasks_call_at_once() -> None:
    async def use(swarm: Client, desk: Desk) -> None:
        async def one(number: int) -> str:
            box = await swarm.spawn({"number": number}, name=f"box{number}")
            assert await box.get() == {"number": number}
            return box.id

        assert await asyncio.gather(*map(one, range(100))) == [f"box{number}" for number in range(100)]

    run(use)


def test_cancelling_the_task_cancels_the_call_in_every_stage() -> None:
    async def use(swarm: Client, desk: Desk) -> None:
        task = asyncio.create_task(swarm.workload("never").get())
        assert await seen(desk) == "never"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await seen(desk) == "never ended"
        assert await swarm.ls() == []

    run(use)


def test_a_timeout_of_asyncio_is_one() -> None:
    async def use(swarm: Client, desk: Desk) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await swarm.get("never")
        assert (await seen(desk), await seen(desk)) == ("never", "never ended")

    run(use)


def test_a_watch_is_iterated_and_ends_with_its_context() -> None:
    async def use(swarm: Client, desk: Desk) -> None:
        async with swarm.watch() as events:
            assert await seen(desk) == "watched"
            for name in ("a", "b"):
                await swarm.spawn(name=name)
            assert [(await anext(events)).action for _ in "ab"] == ["a", "b"]
        assert await seen(desk) == "watched ended"
        with pytest.raises(RuntimeError, match="iterated in its context"):
            await anext(swarm.watch())

    run(use)


def test_a_conversation_gives_lines_and_the_last_state() -> None:
    async def use(swarm: Client, desk: Desk) -> None:
        async with swarm.attach("box") as conversation:
            assert [line.text async for line in conversation.lines()] == ["a line"]
            assert conversation.state == {"ExitCode": 3}
            await conversation.spawn({"b": 1}, name="mine")
        assert await swarm.get("mine") == {"b": 1}

    run(use)


def test_streams_go_both_ways() -> None:
    async def use(swarm: Client, desk: Desk) -> None:
        async with await swarm.connect("box") as stream:
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
            await stream.send_eof()
            assert [part async for part in stream] == []
        assert await seen(desk) == "echo ended"
        assert await swarm.file("box", upload=aio.FileStream(io.BytesIO(b"a tar"))) is None
        assert await swarm.get("tar") == "a tar"

    run(use)


def test_what_cant_be_opened_says_why() -> None:
    async def main() -> None:
        async with aio.connect("nothing"):
            raise AssertionError

    with pytest.raises(ChainSyntaxError, match="unknown backend 'nothing'"):
        asyncio.run(main())
    assert "swarmlib" not in [thread.name for thread in threading.enumerate()]


def test_a_stage_that_fails_is_raised_by_the_context() -> None:
    async def use(swarm: Client, desk: Desk) -> None:
        await swarm.start("box")
        await swarm.get("never")

    with pytest.raises(NotFound, match="the desk broke") as raised:
        run(use)
    assert isinstance(raised.value.__context__, Unavailable)


def test_after_the_connection_is_closed_calls_are_refused() -> None:
    async def main() -> None:
        async with aio.connect(Desk()) as swarm:
            pass
        with pytest.raises(Unavailable, match="connection is closed"):
            await swarm.ls()

    asyncio.run(main(), debug=True)


def test_ctrl_c_ends_the_program_and_closes_every_stage() -> None:
    desk = Desk()

    async def use() -> None:
        async with connected(desk) as swarm:
            interrupting = asyncio.create_task(asyncio.to_thread(interrupt))
            await swarm.get("never")
            await interrupting

    def interrupt() -> None:
        assert desk.seen() == "never"
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(use(), debug=True)
    assert (desk.seen(), desk.seen()) == ("never ended", "closed")


def test_a_task_that_is_cancelled_again_and_again_still_closes_in_order() -> None:
    desk = Desk()

    async def main() -> None:
        opened = asyncio.Event()

        async def hold() -> None:
            async with connected(desk):
                opened.set()
                await asyncio.sleep(1000)

        task = asyncio.create_task(hold())
        await opened.wait()
        for _ in range(1000):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert desk.seen() == "closed"
        assert "swarmlib" not in [thread.name for thread in threading.enumerate()]

    asyncio.run(main(), debug=True)


def test_a_connection_that_is_left_open_ends_with_the_program() -> None:
    program = """
import asyncio

async def main():
    global swarm
    swarm = await aio.connect(Stage()).__aenter__()
    print(await swarm.ls())

asyncio.run(main())
"""
    assert python(CLOSING + program) == "[]\nclosed\n"


# Where and how it is used.

WRONG_USE: dict[str, Callable[[Any], Any]] = {
    "can't use 'ls' before the context is entered: write `async with aio": lambda swarm: swarm.ls(),
    "can't use 'workload' before the context is entered": lambda swarm: swarm.workload("box"),
    "this is a context, and can't be awaited: write `async with aio": lambda swarm: swarm.__await__(),
}


@pytest.mark.parametrize("said", WRONG_USE)
def test_a_connection_that_is_not_entered_says_how_to(said: str) -> None:
    async def use() -> None:
        WRONG_USE[said](aio.connect(Desk()))

    with pytest.raises(RuntimeError, match=said):
        asyncio.run(use())


def test_so_does_what_is_opened_in_it() -> None:
    async def use() -> None:
        async with aio.connect(Desk()) as swarm:
            with pytest.raises(RuntimeError, match="can't use 'lines' before the context is entered"):
                swarm.attach("box").lines()  # type: ignore[attr-defined]
            with pytest.raises(RuntimeError, match="can't be awaited"):
                await swarm.watch()  # type: ignore[misc]
            with pytest.raises(RuntimeError, match="a watch is iterated in its context"):
                await anext(swarm.watch())
            with pytest.raises(AttributeError, match="nosuch"):
                swarm.nosuch()  # type: ignore[attr-defined]

    asyncio.run(use())


def test_another_asyncio_loop_is_named_and_may_only_close_it() -> None:
    desk = Desk()
    context = aio.connect(desk)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        swarm = first.run(context.__aenter__())
        with pytest.raises(RuntimeError, match="wrong event loop: this connection was opened in another asyncio loop"):
            second.run(swarm.ls())
        assert first.run(swarm.ls()) == []
        second.run(context.__aexit__(None, None, None))
    assert (desk.seen(), desk.seen()) == ("open", "closed")


async def test_trio_is_told_what_is_meant_for_it() -> None:
    with pytest.raises(RuntimeError, match=r"swarmlib\.aio is for asyncio, .* on trio, use swarmlib.connect"):
        async with aio.connect(Desk()):
            pass


async def test_the_trio_client_is_used_in_its_own_loop_only() -> None:
    async with connect(Desk()) as swarm:
        for use in (swarm.ls, swarm.watch().__aenter__, swarm.workload("box").details):
            with pytest.raises(RuntimeError, match=r"swarmlib\.connect is for trio, .* from asyncio, use swarmlib.aio"):
                await trio.to_thread.run_sync(asyncio.run, use())
            with pytest.raises(RuntimeError, match="wrong event loop: this client was opened in another trio loop"):
                await trio.to_thread.run_sync(trio.run, use)
        assert await swarm.ls() == []
