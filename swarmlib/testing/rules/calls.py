"""Calls that are given up, late, slow or read slowly."""

from __future__ import annotations

from typing import Final

import trio

from ...asking import dispatch
from ...reply import Set
from ...reply_channel import CLEANUP_SECONDS
from ...reply_pair import open_reply
from ...request import Request
from ...verbs import Verb
from ..asking import acked, asking, becomes, different, must, stalled, told
from ..bench import Bench, Subject
from ..reference import FLOOD, Trouble
from ..transcript import Transcript
from .rule import opening_rule, rule

AHEAD: Final = 1000
"""How many replies the buffers may hold for a caller that doesn't read them."""
MANY: Final = 10
"""How many conversations are left, one after another."""
LATE: Final = 0.2
"""The deadline that a call misses, in seconds."""


@rule("messages")
async def survives_a_caller_that_has_gone_before(bench: Bench) -> None:
    """A call whose caller gave up before it was sent does no harm."""
    verb, path = bench.subject.some_verb
    reply, replies = open_reply()
    await replies.aclose()
    await dispatch(bench.swarm.sender, Request(verb, path, reply=reply))
    await bench.works("after a call that was given up before it was sent")


@opening_rule("messages", "reference")
async def cancels_the_work_when_the_caller_goes(subject: Subject, transcript: Transcript) -> None:
    """When the caller disconnects, the work for its call is cancelled, also in the next stage."""
    async with subject.opened(transcript, held=True) as bench:
        reference = bench.reference
        async with asking(bench.swarm.sender, *subject.some_verb):
            await bench.arrived(1)
        with trio.move_on_after(CLEANUP_SECONDS):
            await reference.until(lambda: not reference.under_way)
        must(not reference.under_way, f"the call still went on {CLEANUP_SECONDS:g} s after its caller had gone")


@rule("messages", "idle", Verb.ATTACH)
async def leaves_the_object_alone_when_a_conversation_ends(bench: Bench) -> None:
    """Leaving a conversation does not change the object, and the backend goes on working."""
    workload = await bench.started("idle")
    for _ in range(3):
        async with asking(bench.swarm.sender, Verb.ATTACH, workload.path) as replies:
            await acked(replies)
    await bench.works("after leaving a conversation")
    listed = await bench.setup.ls(*bench.leaf.place)
    must(any(each["Id"] == workload.id for each in listed), "the workload no longer ran after its attachment was left")


@rule("messages", "idle", Verb.ATTACH)
async def ends_what_worked_for_a_conversation(bench: Bench) -> None:
    """When a conversation is left, all work for it ends."""
    workload = await bench.started("idle")
    before = _tasks()
    for _ in range(MANY):
        async with asking(bench.swarm.sender, Verb.ATTACH, workload.path) as replies:
            await acked(replies)
    ended = await becomes(lambda: _tasks() - before < MANY)
    must(ended, f"{_tasks() - before} tasks are left after {MANY} conversations")


def _tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


@opening_rule("messages", "reference")
async def keeps_deadlines(subject: Subject, transcript: Transcript) -> None:
    """A deadline travels with the request: when it passes, the caller gets `timeout`, and the work is cancelled."""
    verb, path = subject.some_verb
    async with subject.opened(transcript, held=True) as bench:
        began = trio.current_time()
        with trio.move_on_after(CLEANUP_SECONDS):
            error = await bench.error_of(verb, path, Request(verb, deadline=began + LATE))
            must(error and error.code == "timeout", f"the caller got {told(error)}")
            await bench.reference.until(lambda: not bench.reference.under_way)
        took = trio.current_time() - began
        must(took < CLEANUP_SECONDS, f"a call with a deadline {LATE:g} s ahead went on for {took:g} s")


@rule("messages", "idle", Verb.ATTACH, Verb.GET)
async def lets_no_conversation_hold_up_a_call(bench: Bench) -> None:
    """A conversation never delays a call."""
    talking, other = await bench.started("idle"), await bench.spawned("idle")
    async with asking(bench.swarm.sender, Verb.ATTACH, talking.path) as replies:
        await acked(replies)
        for each in (other, talking):
            with trio.move_on_after(CLEANUP_SECONDS) as patience:
                await each.get()
            must(not patience.cancelled_caught, "a call was not answered during a conversation")


@rule("messages", "reference", Verb.GET)
async def lets_no_call_hold_up_another(bench: Bench) -> None:
    """A slow call never delays another one."""
    reference = bench.reference
    held, free = reference.add("held"), reference.add("free")
    reference.trouble(held.id, Trouble.HELD)
    path = ("containers", held.id)
    slow = [asking(bench.swarm.sender, Verb.GET, path, request) for request in different(Verb.GET, 2)]
    async with slow[0], slow[1]:
        await bench.arrived(2)
        with trio.move_on_after(CLEANUP_SECONDS) as patience:
            await bench.swarm.get("containers", free.id)
    must(not patience.cancelled_caught, "a call was not answered while two others were under way")


@rule("messages", "reference", Verb.WATCH)
async def holds_back_replies_that_nobody_reads(bench: Bench) -> None:
    """A caller that stops reading blocks the sender of replies; when it reads again, all replies come in order."""
    reference = bench.reference
    box = reference.add("flood")
    reference.flooded = 0
    async with asking(bench.swarm.sender, Verb.WATCH, ("containers", box.id, "stats")) as replies:
        await acked(replies)
        await stalled(lambda: reference.flooded)
        ahead = reference.flooded
        must(ahead <= AHEAD, f"{ahead} replies were taken from the stage behind, of which the caller had read none")
        numbers = [reply.json["number"] async for reply in replies if isinstance(reply, Set)]
    must(numbers == list(range(FLOOD)), f"{len(numbers)} of {FLOOD} replies came, or in the wrong order")
