"""A server handles a request in its sender's task where that waits for the call, and in a task of its own elsewhere."""

from dataclasses import dataclass, field
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from swarmlib import Chain, Filter, Reply, Request, Sender, Server, Tap, Unavailable, Verb, dispatch, open_reply
from swarmlib.asking import answer
from swarmlib.reply_channel import ReplySender, SendersTask
from swarmlib_backends.calls import forward, relay


class Waiting(Tap):
    """The replies to a sender that waits for the end of the call in this task."""

    def __init__(self, inner: ReplySender, scope: trio.CancelScope) -> None:
        super().__init__(inner, lambda reply: reply)
        self._task = SendersTask(trio.lowlevel.current_task(), scope)

    @property
    def sender(self) -> SendersTask | None:
        return self._task


@dataclass
class Handles(Server):
    """Notes in which tasks it handles requests; a `get` of `slow` never ends by itself."""

    tasks: list[trio.lowlevel.Task] = field(default_factory=list[trio.lowlevel.Task])

    async def get(self, request: Request) -> int:
        self.tasks.append(trio.lowlevel.current_task())
        if request.path == ("slow",):
            await trio.sleep_forever()
        return 1


@pytest.mark.parametrize("filters", [0, 2])
async def test_a_sender_that_waits_lends_its_task(filters: int) -> None:
    server = Handles()
    with trio.CancelScope() as scope:
        async with Chain(*(Filter() for _ in range(filters)), server).open() as sender:
            reply, replies = open_reply()
            await dispatch(sender, Request(Verb.GET, ("box",), reply=Waiting(reply, scope)))
            assert (await answer(replies)).value == 1
    assert server.tasks == [trio.lowlevel.current_task()]


@pytest.mark.parametrize("deadline", [False, True], ids=["sent by another task", "with a deadline"])
async def test_other_requests_have_tasks_of_their_own(*, deadline: bool) -> None:
    server = Handles()
    with trio.CancelScope() as scope:
        async with Chain(server).open() as sender, trio.open_nursery() as nursery:
            reply, replies = open_reply()
            request = Request(Verb.GET, ("box",), reply=Waiting(reply, scope))
            if deadline:
                await dispatch(sender, request.replace(deadline=trio.current_time() + 10))
            else:
                nursery.start_soon(dispatch, sender, request)
            assert (await answer(replies)).value == 1
            assert trio.lowlevel.current_task() not in server.tasks


async def test_a_stage_that_closes_ends_the_calls_in_their_senders_tasks() -> None:
    reply, replies = open_reply()
    scope, opened = trio.CancelScope(), trio.Event()

    async def hold(server: Handles) -> None:
        async with Chain(server).open() as inlet:
            channel.append(inlet)
            opened.set()
            await closing.wait()

    channel: list[trio.abc.SendChannel[Request]] = []
    closing = trio.Event()

    async def call() -> None:
        with scope:
            await dispatch(channel[0], Request(Verb.GET, ("slow",), reply=Waiting(reply, scope)))

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold, Handles())
            await opened.wait()
            nursery.start_soon(call)
            await wait_all_tasks_blocked()
            closing.set()
            with pytest.raises(Unavailable, match="handles is closed"):
                await answer(replies)


async def test_cancelling_the_senders_scope_cancels_the_call() -> None:
    reply, _ = open_reply()
    async with Chain(Handles()).open() as sender, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(_cancel, scope)
            await dispatch(sender, Request(Verb.GET, ("slow",), reply=Waiting(reply, scope)))
        assert scope.cancelled_caught
        assert not reply.answered


@dataclass
class Onward(Server):
    """Relays the replies of the stage behind it."""

    async def get(self, request: Request) -> None:
        await relay(request, self.next, partial(forward, to=request.reply))


async def test_a_stage_that_only_reads_the_replies_lends_the_task_further() -> None:
    server = Handles()
    with trio.CancelScope() as scope:
        async with Chain(Onward(), server).open() as sender:
            reply, replies = open_reply()
            await dispatch(sender, Request(Verb.GET, ("box",), reply=Waiting(reply, scope)))
            assert (await answer(replies)).value == 1
    assert server.tasks == [trio.lowlevel.current_task()]


async def _close(closing: trio.Event) -> None:
    """Close a stage once all tasks wait."""
    await wait_all_tasks_blocked()
    closing.set()


async def test_a_stage_behind_that_closes_ends_only_its_part_of_a_call() -> None:
    """The stage in front answers its caller with the refusal, in the task that the closed stage ran in too."""
    async with trio.open_nursery() as nursery:
        behind = await nursery.start(_open_until, closing := trio.Event(), Handles())

        with trio.fail_after(5), trio.CancelScope() as scope:
            async with Onward().open(behind) as sender:
                reply, replies = open_reply()
                nursery.start_soon(_close, closing)
                await dispatch(sender, Request(Verb.GET, ("slow",), reply=Waiting(reply, scope)))
                with pytest.raises(Unavailable, match="handles is closed"):
                    await answer(replies)
        assert not scope.cancel_called


class Held(Tap):
    """Holds all replies back."""

    def instead(self, reply: Reply) -> None:
        return None

    async def _finish(self) -> None:
        """Leave the end to whoever holds the replies."""


@dataclass
class Withholds(Server):
    """Has the request handled in its sender's task too, and would answer afterwards."""

    async def get(self, request: Request) -> None:
        await dispatch(self.next, request.replace(reply=Held(request.reply)))


async def test_a_call_that_ends_with_a_stage_behind_is_answered_by_the_one_in_front() -> None:
    async with trio.open_nursery() as nursery:
        behind = await nursery.start(_open_until, closing := trio.Event(), Handles())

        reply, replies = open_reply()
        with trio.fail_after(5):
            async with Withholds().open(behind) as sender:
                nursery.start_soon(_close, closing)
                with trio.CancelScope() as scope:
                    await dispatch(sender, Request(Verb.GET, ("slow",), reply=Waiting(reply, scope)))
            with pytest.raises(Unavailable, match="a stage behind withholds was closed during the call"):
                await answer(replies)


async def _open_until(closing: trio.Event, stage: Server, *, task_status: trio.TaskStatus[Sender]) -> None:
    async with Chain(stage).open() as sender:
        task_status.started(sender)
        await closing.wait()


async def _cancel(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()
