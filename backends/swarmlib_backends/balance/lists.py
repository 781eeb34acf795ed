"""Lists of many engines as one: of containers from the index, where it can say all that is asked, else from all."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import trio

from swarmlib import Json, Message, NotFound, TimedOut, Unavailable, Verb
from swarmlib.errors import ungrouped
from swarmlib.service import as_error

from ..dockerapi.ages import since
from ..dockerapi.nulls import items
from ..dockerapi.values import is_true, number
from . import merge
from .asking import Outcome, ask_all
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
        await member.fail(as_error(exc, member.name, Message(Verb.LS)))


def missing(members: Sequence[Member]) -> list[str]:
    """What there is to say of each member that is down."""
    return [f"{member.name} is missing: {member.trouble}" for member in members if not member.up]


async def answer(message: Message, roster: Roster, *, strict: bool) -> None:
    """Answer an `ls` of a family.

    Raises:
        Invalid: its filters are wrong. SwarmError: no engine answers; or, if `strict`, one does not.
    """
    selection = Selection.of(message.args)
    members = selection.chosen(roster.members)
    if message.path == _CONTAINERS and selection.plain and all(each.watchable for each in members):
        await _from_index(message, roster, selection, members, strict=strict)
        return
    outcome = await _ask(message, roster, selection, members)
    partial(outcome.missing, strict=strict)
    if members:
        outcome.must_have_answers()
    found = merge.LISTS[message.path](outcome.values)
    limit = number(selection.args, "limit", 0)
    await reply(message, Json.of(found[:limit] if limit > 0 else found), outcome.missing)


def partial(missing: Sequence[str], *, strict: bool) -> None:
    """Refuse a partial answer where only a whole one will do.

    Raises:
        Unavailable: it is partial; says what is missing.
    """
    if missing and strict:
        raise Unavailable(f"the answer would not be whole, and --strict is set: {'; '.join(missing)}")


async def _from_index(
    message: Message, roster: Roster, selection: Selection, members: list[Member], *, strict: bool
) -> None:
    await settle(members, "containers")
    absent = missing(members)
    partial(absent, strict=strict)
    if absent and len(absent) == len(members):
        raise Unavailable("; ".join(absent))
    running = not is_true(message.args.get("all"))
    now = time.time()
    if selection.nodes is None:
        raw = roster.index.listed(running=running, now=now)
    else:
        raw = roster.index.listed_of(members, running=running, now=now)
    await reply(message, Json(raw), absent)


async def reply(message: Message, value: Any, absent: Sequence[str]) -> None:
    """Answer with a merged value, and with what is missing from it."""
    if message.ret is not None:
        await message.ret.set(value, **({"warnings": list(absent)} if absent else {}))
        await message.ret.ack()


async def _ask(message: Message, roster: Roster, selection: Selection, members: Sequence[Member]) -> Outcome:
    """Ask the engines. One that doesn't know the object that bounds the list is asked for all, and bounded here."""
    bounds = {name: await _bound(message.path, ref, roster) for name, ref in selection.relative.items()}
    knowing = [member for member in members if all(member in holders for holders, _ in bounds.values())]

    def each(member: Member) -> Message:
        return message.but(args=selection.args if member in knowing else selection.without_relative())

    outcome = await ask_all(members, message, each=each)
    if bounds:
        times = {name: created for name, (_, created) in bounds.items()}
        for member, given in outcome.answers:
            if member not in knowing:
                given.before[:] = [_bounded(reply, times) for reply in given.before]
    return outcome


async def _bound(path: Sequence[str], ref: str, roster: Roster) -> tuple[set[Member], float]:
    """The engines that have the object, and when it was made."""
    holders = {item.member for item in roster.index.find(path[0], ref)}
    for member in holders:
        found = (await member.ask(Message(Verb.GET, (path[0], ref)))).value
        return holders, since(str(found.get("Created") or ""))
    raise NotFound(f"No such {path[0].removesuffix('s')}: {ref}")


def _bounded(reply: Message, times: Mapping[str, float]) -> Message:
    if reply.verb is not Verb.SET:
        return reply
    kept = [
        item
        for item in items(reply.json)
        if int(times.get("since", 0)) < (item.get("Created") or 0) < times.get("before", float("inf"))
    ]
    return reply.but(value=Json.of(kept))
