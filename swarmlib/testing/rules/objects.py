"""What becomes of objects: made, listed, changed, removed, and found under any name."""

from __future__ import annotations

import json
import secrets
from typing import Any, Final, Unpack

import trio

from ...client.client import Client
from ...client.handles import Handle
from ...client.keywords import LsParams
from ...errors import NotFound, SwarmError
from ...reply_channel import CLEANUP_SECONDS
from ...verbs import Verb
from ..asking import STALL_SECONDS, Broken, must, told
from ..bench import REFUSALS, Bench
from ..transcript import short
from .rule import rule

NAMES: Final = (
    "två ord",
    "日本語\U0001f433",
    "a/b",
    "..up",
    "a?b=c&d#e%2F",
    "'quoted' \"twice\" \\ back",
    "-rf",
    "x" * 8000,
)
"""Names that some layer may mistake for something else."""
NO_NAMES: Final = ("..", ".", "../canary", "./x", "a/../x", "x/", "a//x", "line\nend", "nul\0")
"""Names that no object can have (`swarmlib.names`)."""
NO_PARTS: Final = (*NO_NAMES, "/x", "", "x" * 65536)
"""Invalid parts of a path. As the name for a new object, an engine may accept these or not."""
OTHER_SPELLINGS: Final = ("./{}", "{}/", "{}/.", "{}/x", "/{}", "a/../{}", "%2e/{}", "{}%2f", " {}", "{} ", "{}\0")
"""Texts that are not the name of the object with that id, though some layer may mistake them for it."""
INVENTED: Final = "SwarmlibNoSuchField"
"""A field that no service has."""
LABEL: Final = "swarmlib-kit"


@rule("messages", "idle", Verb.SPAWN, Verb.GET, Verb.RM)
async def keeps_what_is_spawned(bench: Bench) -> None:
    """A spawned object is found by its id until it is removed."""
    made = await bench.spawned("idle", by=bench.swarm)
    must(made.id, "the ack of a spawn must contain the Id of the new object")
    found: dict[str, Any] = await made.get()
    must(made.id in found.values(), f"get of {made.id} gave another: {short(str(found))}")
    await made.rm()
    try:
        await made.get()
    except NotFound:
        return
    raise Broken("the removed object still exists")


@rule("messages", "idle", Verb.SPAWN, Verb.START, Verb.STOP, Verb.RM)
async def starts_and_stops(bench: Bench) -> None:
    """A workload that was started can be stopped, and then removed."""
    made = await bench.spawned("idle", by=bench.swarm)
    await made.start()
    await made.stop()
    await made.rm()


@rule("messages", "idle", Verb.LS)
async def lists_what_there_is(bench: Bench) -> None:
    """`ls` lists every workload that runs, and with `all` also those that don't."""
    resting, running = await bench.spawned("idle"), await bench.started("idle")
    must(running.id in await _listed(bench), "a workload that runs is not listed")
    ids = await _listed(bench, all="1")
    must({running.id, resting.id} <= set(ids), "with all, a workload that is not started is not listed")
    must(len(ids) == len(set(ids)), "an object is listed more than once")


async def _listed(bench: Bench, **args: Unpack[LsParams]) -> list[str]:
    found = await bench.swarm.ls(*bench.leaf.place, **args)
    return [str(each["Id"]) for each in found]


@rule("messages", "idle", Verb.WATCH)
async def tells_of_changes(bench: Bench) -> None:
    """A watch reports a change that happens after its ack."""
    async with bench.swarm.watch() as changes:
        made = await bench.spawned("idle")
        with trio.move_on_after(CLEANUP_SECONDS):
            async for change in changes:
                if made.id in str(change):
                    return
    raise Broken(f"no event of a spawn within {CLEANUP_SECONDS:g} s")


@rule("messages", Verb.GET)
async def keeps_odd_names_apart(bench: Bench) -> None:
    """An odd name (unicode, blanks, slashes, length) names one object or is refused, but is never taken for another."""
    for name in NAMES:
        path = (*bench.leaf.place, name)
        there = bench.watched.add(name) if bench.watched else None
        error = await bench.error_of(Verb.GET, path)
        if error is None:
            must(there, f"there is no object {short(name)!r}, but get found one")
            found = (await Client(bench.swarm.sender).get(*path))["Name"]
            must(found == f"/{name}", f"get of {short(name)!r} gave {short(found)!r}")
        else:
            must(error.code in REFUSALS, f"get of {short(name)!r} gave {told(error)}")
            verbatim = bench.watched and not bench.subject.is_source
            must(not verbatim, f"the next stage has {short(name)!r}, but get gave {told(error)}")


@rule("messages", "idle", Verb.GET)
async def takes_no_name_for_another(bench: Bench) -> None:
    """An invalid name (`../x`), or another spelling of a name (`./ID`, `ID/`), is refused."""
    place, made = bench.leaf.place, await bench.spawned("idle")
    names = [*NO_PARTS, *(form.format(made.id) for form in OTHER_SPELLINGS), f"../{place[-1]}/{made.id}"]
    paths = [*((*place, name) for name in names), *((*place, part, made.id) for part in ("..", ".", ""))]
    for verb in sorted({Verb.GET, Verb.START, Verb.STOP, Verb.RM} & bench.subject.does):
        for path in paths:
            error = await bench.error_of(verb, path)
            must(error, f"{verb} of {short(repr(path))} was acknowledged")


@rule("messages", "idle", Verb.SPAWN, Verb.GET)
async def keeps_the_name_that_it_is_given(bench: Bench) -> None:
    """A name given to a spawn (the parameter `name`) becomes the object's name or is refused; it is never ignored."""
    name = f"swarmlib-{secrets.token_hex(4)}"
    try:
        made = await bench.spawned("idle", by=bench.swarm, name=name)
    except SwarmError as exc:
        must(exc.code in REFUSALS, f"a spawn with a name gave {told(exc)}")
        return
    found = await bench.swarm.call(Verb.GET, (*bench.leaf.place, name))
    must(made.id in found.value.values(), f"{name} was spawned as {made.id}, but get of it gave another object")


@rule("messages", "idle", Verb.SPAWN)
async def spawns_nothing_without_a_proper_name(bench: Bench) -> None:
    """A spawn with an invalid name (`../canary`) is refused."""
    for name in NO_NAMES:
        try:
            await bench.spawned("idle", by=bench.swarm, name=name)
        except SwarmError as exc:
            must(exc.code in REFUSALS, f"a spawn with the name {short(repr(name))} gave {told(exc)}")
        else:
            raise Broken(f"something was spawned with the name {short(repr(name))}")


@rule("messages", "idle", Verb.SPAWN, Verb.GET)
async def claims_no_field_that_it_drops(bench: Bench) -> None:
    """A field that nothing can honour (an invented one) is refused or left out: `get` never shows it as if it were
    honoured.
    """
    for place, fields in ((INVENTED, {INVENTED: "x"}), (f"HostConfig.{INVENTED}", {"HostConfig": {INVENTED: "x"}})):
        if (made := await _spawned_with(bench, fields)) is not None:
            must(INVENTED not in json.dumps(await made.get()), f"get shows {place}, which no service can honour")


@rule("messages", "idle", Verb.SPAWN, Verb.GET, Verb.LS, Verb.START, Verb.STOP)
async def honours_what_it_claims(bench: Bench) -> None:
    """Labels that `get` shows are in lists too and are found by the filter `label`; a workload with `AutoRemove` is
    gone once it has ended.
    """
    value = secrets.token_hex(4)
    made = await _spawned_with(bench, {"Labels": {LABEL: value}})
    if made is not None and value in json.dumps(await made.get()):
        await made.start()
        await _check_labels(bench, made.id, value)
    made = await _spawned_with(bench, {"HostConfig": {"AutoRemove": True}})
    if made is not None:
        host: dict[str, Any] = (await made.get()).get("HostConfig") or {}
        if host.get("AutoRemove"):
            await _check_auto_remove(made)


async def _spawned_with(bench: Bench, fields: dict[str, Any]) -> Handle | None:
    """Spawn a workload with some more fields; returns None if they are refused, or if bodies have no fields."""
    if not isinstance(bench.leaf.idle, dict):
        return None
    try:
        return await bench.spawned("idle", by=bench.swarm, more=fields)
    except SwarmError as exc:
        must(exc.code in REFUSALS, f"a spawn with {short(str(fields))} gave {told(exc)}")
        return None


async def _check_labels(bench: Bench, id: str, value: str) -> None:
    entries: dict[str, dict[str, Any]] = {str(each["Id"]): each for each in await bench.swarm.ls(*bench.leaf.place)}
    shown: dict[str, str] = entries[id].get("Labels") or {} if id in entries else {}
    must(shown.get(LABEL) == value, "get shows a label that the list does not have")
    for wanted, there in ((value, True), (f"not-{value}", False)):
        try:
            found = await _listed(bench, filters={"label": f"{LABEL}={wanted}"})
        except SwarmError as exc:
            must(exc.code in REFUSALS, f"a list with the filter label gave {told(exc)}")
            return
        must((id in found) is there, f"{'it is not' if there else 'another is'} found by the filter label={wanted}")


async def _check_auto_remove(made: Handle) -> None:
    await made.start()
    await made.stop()
    gone = False
    with trio.move_on_after(CLEANUP_SECONDS):
        while not gone:
            try:
                await made.get()
            except NotFound:
                gone = True
            else:
                await trio.sleep(STALL_SECONDS)
    must(gone, "get shows HostConfig.AutoRemove, but the workload is still there after its end")


@rule("messages", "idle", Verb.GET)
async def answers_concurrent_calls_each_with_its_own(bench: Bench) -> None:
    """Concurrent calls to many objects are each answered for their own object."""
    made = [await bench.spawned("idle") for _ in range(5)]
    mixed: list[str] = []

    async def ask(number: int) -> None:
        wanted = made[number % len(made)]
        found = await wanted.get()
        if wanted.id not in found.values():
            mixed.append(wanted.id)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(ask, number)
    must(not mixed, f"{len(mixed)} of 100 concurrent calls got another call's answer")
