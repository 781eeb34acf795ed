"""Lists of many engines as one: of containers from the index, where it can say all that is asked, else from all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import trio

from swarmlib import Json, Request, TimedOut, Unavailable, Verb
from swarmlib.asking import Answer
from swarmlib.errors import ungrouped
from swarmlib.service import as_error

from ..dockerapi.values import is_true
from . import merge, order
from .asking import Outcome, ask_all, gather
from .members import Member
from .roster import Roster
from .select import Selection

_CONTAINERS: Final = ("containers",)


async def settle(members: Sequence[Member], *kinds: str) -> None:
    """Bring the index up to date for these engines and kinds. An engine that fails at it is down from now on."""
    waiting = [member for member in members if member.up and any(map(member.mirror.unsettled, kinds))]
    if not waiting:
        return
    async with trio.open_nursery() as nursery:
        for member in waiting:
            nursery.start_soon(_settle, member, kinds)


async def _settle(member: Member, kinds: Sequence[str]) -> None:
    try:
        with ungrouped(), trio.fail_after(member.deadline):
            await member.mirror.settle(*kinds)
    except trio.TooSlowError:
        await member.fail(TimedOut(f"it did not answer within {member.deadline:g} s"))
    except Exception as exc:  # noqa: BLE001 - an unexpected exception is logged, and is this member's failure alone
        await member.fail(as_error(exc, member.name, Request(Verb.LS)))


def missing(members: Sequence[Member]) -> list[str]:
    """What there is to say of each member that is down."""
    return [f"{member.name} is missing: {member.trouble}" for member in members if not member.up]


async def answer(request: Request, roster: Roster, *, strict: bool) -> None:
    """Answer an `ls` of a family.

    Raises:
        Invalid: its filters are wrong. SwarmError: no engine answers; or, if `strict`, one does not.
    """
    selection = Selection.of(request.params)
    members = selection.chosen(roster.members)
    if request.path == _CONTAINERS and selection.plain and all(each.watchable for each in members):
        await _from_index(request, roster, selection, members, strict=strict)
        return
    outcome = await _ask(request, roster, selection, members)
    partial(outcome.missing, strict=strict)
    if members:
        outcome.must_have_answers()
    found = merge.LISTS[request.path](outcome.values)
    if request.path == _CONTAINERS:
        if not order.is_known(found, roster.index):
            await settle(members, "containers")
        found = order.newest_first(found, roster.index)[: selection.limit]
    await reply(request, Json.from_data(found), outcome.missing)


def partial(missing: Sequence[str], *, strict: bool) -> None:
    """Refuse a partial answer where only a whole one will do.

    Raises:
        Unavailable: it is partial; says what is missing.
    """
    if missing and strict:
        raise Unavailable(f"the answer would not be whole, and --strict is set: {'; '.join(missing)}")


async def _from_index(
    request: Request, roster: Roster, selection: Selection, members: list[Member], *, strict: bool
) -> None:
    await settle(members, "containers")
    absent = missing(members)
    partial(absent, strict=strict)
    if absent and len(absent) == len(members):
        raise Unavailable("; ".join(absent))
    running = not is_true(request.params.get("all"))
    now = time.time()
    if selection.nodes is None:
        raw = roster.index.listed(running=running, now=now)
    else:
        raw = roster.index.listed_of(members, running=running, now=now)
    await reply(request, Json(raw), absent)


async def reply(request: Request, value: Any, absent: Sequence[str]) -> None:
    """Answer with a merged value, if there is one, and with what is missing from it."""
    warnings: dict[str, Any] = {"warnings": list(absent)} if absent else {}
    if value is None:
        await request.reply.ack(details=warnings)
    else:
        await request.reply.set(value, details=warnings)
        await request.reply.ack()


async def _ask(request: Request, roster: Roster, selection: Selection, members: Sequence[Member]) -> Outcome:
    """Ask the engines. One that doesn't know the objects that bound the list is asked for all, and bounded here."""
    if not selection.relative:
        return await ask_all(members, request.replace(params=selection.params))
    bounds = await order.Bounds.of(request.path, selection.relative, roster)
    bounded, whole = request.replace(params=selection.params), request.replace(params=selection.without_relative())

    async def ask(member: Member) -> Answer:
        if member in bounds.knowing:
            return await member.ask(bounded)
        return await bounds.cut(await member.ask(whole), request.path, member)

    return await gather(members, request, ask)
