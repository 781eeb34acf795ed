"""Opening and closing."""

from __future__ import annotations

from typing import Final

import trio

from ...reply import Ack, Error
from ...reply_channel import CLEANUP_SECONDS
from ...request import Request
from ...service import Unhandled
from ...verbs import Verb
from ..asking import acked, asking, becomes, different, error_of, finals, must, told
from ..bench import Bench, Subject
from ..reference import Reference
from ..transcript import Transcript, Witness
from .rule import opening_rule, rule

LOAD: Final = 20
"""How many calls are under way when a backend closes under load."""


@opening_rule()
async def leaves_nothing_behind(subject: Subject, transcript: Transcript) -> None:
    """After it has closed, nothing that it started is left."""
    before = trio.lowlevel.current_statistics().tasks_living
    async with subject.opened(transcript) as bench:
        await _used(bench)
    left = trio.lowlevel.current_statistics().tasks_living - before
    must(left <= 0, f"{left} of its tasks still run")


@rule()
async def closes_in_time(bench: Bench) -> None:
    """It closes within 5 s (`CLEANUP_SECONDS`)."""
    await _used(bench)
    took = await bench.close()
    must(took < CLEANUP_SECONDS, f"it was still closing after {took:g} s")


async def _used(bench: Bench) -> None:
    if bench.subject.lacks("messages") is None:
        await bench.works("after opening")


@opening_rule("stage")
async def opens_any_number_of_times(subject: Subject, transcript: Transcript) -> None:
    """It can be opened again, also while it is open, and the openings share no state."""
    backend = subject.make()
    async with subject.opened(transcript, backend) as first:
        async with subject.opened(transcript, backend) as second:
            await second.works("opened a second time")
        await first.works("when another opening of it has closed")
    async with subject.opened(transcript, backend) as third:
        await third.works("opened once more")


@opening_rule("stage")
async def answers_unavailable_when_closed(subject: Subject, transcript: Transcript) -> None:
    """Once closed, it answers further requests with `unavailable`."""
    async with Reference().open(Unhandled()) as behind:
        async with subject.make().open(behind) as sender:
            pass
        with trio.move_on_after(CLEANUP_SECONDS):
            error = await error_of(Witness(sender, transcript), *subject.some_verb)
            must(error and error.code == "unavailable", f"it answered with {told(error)}")
            return
    must(False, f"it did not answer within {CLEANUP_SECONDS:g} s")


@opening_rule("messages", "reference")
async def answers_what_is_under_way_when_it_closes(subject: Subject, transcript: Transcript) -> None:
    """It closes in time under load, and every call under way gets its final reply."""
    answered: list[list[Ack | Error]] = []
    verb, path = subject.some_verb

    async def ask(bench: Bench, request: Request) -> None:
        async with asking(bench.swarm.sender, verb, path, request) as replies:
            answered.append(await finals(replies, verb))

    async with subject.opened(transcript, held=True) as bench, trio.open_nursery() as nursery:
        for request in different(verb, LOAD):
            nursery.start_soon(ask, bench, request)
        await bench.arrived(LOAD)
        took = await bench.close()
        must(took < CLEANUP_SECONDS, f"under load it was still closing after {took:g} s")
        await becomes(lambda: len(answered) == LOAD)
        nursery.cancel_scope.cancel()
    once = sum(len(replies) == 1 for replies in answered)
    must(once == LOAD, f"of {LOAD} calls under way, {once} got a final reply")


@rule("messages", "idle", Verb.ATTACH)
async def ends_conversations_when_it_closes(bench: Bench) -> None:
    """When it closes, open conversations end."""
    workload = await bench.started("idle")
    ended = trio.Event()

    async def converse(*, task_status: trio.TaskStatus[None]) -> None:
        async with asking(bench.swarm.sender, Verb.ATTACH, workload.path) as replies:
            await acked(replies)
            task_status.started()
            async for _ in replies:
                pass
            ended.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(converse)
        await bench.close()
        with trio.move_on_after(CLEANUP_SECONDS):
            await ended.wait()
        nursery.cancel_scope.cancel()
    must(ended.is_set(), f"an attachment had not ended {CLEANUP_SECONDS:g} s after the closing")


@rule("source")
async def a_source_takes_no_requests(bench: Bench) -> None:
    """A source takes no requests: it answers them with `not_implemented`."""
    error = await error_of(Witness(bench.inlet, bench.transcript), Verb.LS, ("containers",))
    must(error and error.code == "not_implemented", f"it answered with {told(error)}")


@opening_rule("source", "alone")
async def a_source_speaks_and_closes_under_load(subject: Subject, transcript: Transcript) -> None:
    """A source that needs no client sends requests to the next stage, and closes in time with calls under way."""
    async with subject.opened(transcript, held=True) as bench:
        with trio.move_on_after(CLEANUP_SECONDS):
            await bench.reference.until(lambda: bool(bench.reference.under_way))
        must(
            bench.reference.under_way,
            f"it sent nothing within {CLEANUP_SECONDS:g} s; does it need a `client`, or a shorter interval?",
        )
        took = await bench.close()
    must(took < CLEANUP_SECONDS, f"it was still closing after {took:g} s")
