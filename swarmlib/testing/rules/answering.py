"""One final reply to every request, and the right one."""

from __future__ import annotations

from collections.abc import Iterator

import trio

from ...errors import ERRORS
from ...names import Path
from ...reply_channel import CLEANUP_SECONDS
from ...request import Request
from ...values import Json
from ...verbs import Verb
from ..asking import Broken, must, told
from ..bench import NOSUCH, REFUSALS, Bench
from ..reference import Trouble
from .rule import rule


def _requests(bench: Bench) -> Iterator[tuple[Verb, Path]]:
    """Yield each verb with places and objects that don't exist, so that nothing changes a real engine."""
    place = bench.leaf.place
    for path in ((NOSUCH,), (NOSUCH, "x"), (*place, NOSUCH), (*place, NOSUCH, NOSUCH)):
        yield from ((verb, path) for verb in sorted(Verb))


async def _answers(bench: Bench) -> dict[str, str]:
    """Send these requests, and return each with its answer: the error's code, `ack`, or nothing if none came."""
    found: dict[str, str] = {}
    for verb, path in _requests(bench):
        request = f"{verb} {'/'.join(path)}"
        found[request] = ""
        with trio.move_on_after(CLEANUP_SECONDS):
            error = await bench.error_of(verb, path)
            found[request] = error.code if error else "ack"
    return found


@rule("messages")
async def answers_everything(bench: Bench) -> None:
    """Every request gets a final reply, whatever its verb and its path."""
    silent = [request for request, answer in (await _answers(bench)).items() if not answer]
    must(not silent, f"no final reply within {CLEANUP_SECONDS:g} s to {silent[:3]}")


@rule("messages")
async def gives_the_answer_itself(bench: Bench) -> None:
    """It sends the final reply itself, and does not rely on the channel's being closed or dropped."""
    await _answers(bench)
    unanswered = bench.transcript.unanswered
    must(not unanswered, f"{len(unanswered)} requests got no final reply, the first {unanswered[:1]}")


@rule("messages")
async def answers_once(bench: Bench) -> None:
    """No request gets a second final reply, and nothing follows an error."""
    await _answers(bench)
    if bench.subject.lacks("idle") is None:
        workload = await bench.started("idle")
        for verb in sorted({Verb.GET, Verb.LS, Verb.STOP} & bench.subject.does):
            await bench.error_of(verb, bench.leaf.place if verb is Verb.LS else workload.path)
    breaches = bench.transcript.breaches
    must(not breaches, f"the contract of the reply channel was broken {len(breaches)} times, first by {breaches[:1]}")


@rule("messages")
async def has_no_bugs(bench: Bench) -> None:
    """No request ends in a bug: no `internal` error, no unexpected exception in the log."""
    internal = [request for request, answer in (await _answers(bench)).items() if answer == "internal"]
    must(not internal, f"internal errors to {internal[:3]}")
    must(not bench.transcript.bugs, f"bugs in the log: {bench.transcript.bugs[:3]}")


@rule("messages", Verb.GET)
async def says_not_found(bench: Bench) -> None:
    """A call to an object that doesn't exist gets `not_found`."""
    for verb in sorted({Verb.GET, Verb.START, Verb.STOP, Verb.RM} & bench.subject.does):
        error = await bench.error_of(verb, (*bench.leaf.place, NOSUCH))
        must(error and error.code == "not_found", f"{verb} of an object that doesn't exist gave {told(error)}")


@rule("messages")
async def refuses_unknown_places(bench: Bench) -> None:
    """A call to a path that doesn't exist is refused (`not_implemented`, `not_found`)."""
    for verb in sorted(bench.subject.does):
        error = await bench.error_of(verb, (NOSUCH, "x"))
        must(error and error.code in REFUSALS, f"{verb} {NOSUCH}/x gave {told(error)}")


@rule("messages", Verb.SPAWN)
async def refuses_what_makes_no_sense(bench: Bench) -> None:
    """A body that can't be understood is refused, and causes no bug."""
    for raw in (b"[1]", b'"word"', b'{"cut off', b"\xff"):
        error = await bench.error_of(Verb.SPAWN, bench.leaf.place, Request(Verb.SPAWN, body=Json(raw)))
        must(error, f"spawn of {raw!r} was acknowledged")
    must(not bench.transcript.bugs, f"bugs in the log: {bench.transcript.bugs[:3]}")
    await bench.works("after an invalid spawn")


@rule("messages")
async def answers_what_comes_too_late(bench: Bench) -> None:
    """A request that arrives after its deadline is answered too."""
    verb, path = bench.subject.some_verb
    with trio.move_on_after(CLEANUP_SECONDS):
        error = await bench.error_of(verb, path, Request(verb, deadline=trio.current_time() - 1))
        must(error is None or error.code in REFUSALS | {"timeout"}, f"the caller got {told(error)}")
        return
    raise Broken(f"no final reply within {CLEANUP_SECONDS:g} s")


@rule("messages", "declared")
async def does_no_more_than_declared(bench: Bench) -> None:
    """An unsupported verb is answered with `denied` or `not_implemented`."""
    for verb in sorted(set(Verb) - bench.subject.does):
        error = await bench.error_of(verb, (*bench.leaf.place, NOSUCH))
        refused = error and error.code in ("denied", "not_implemented")
        must(refused, f"{verb}, which it should not do, gave {told(error)}")


@rule("messages", "reference", Verb.GET)
async def passes_errors_on(bench: Bench) -> None:
    """An error of the next stage reaches the caller with its code and message."""
    for code, kind in ERRORS.items():
        failing = bench.reference.add(f"fails-{code}")
        bench.reference.trouble(failing.id, kind(f"it is {code}"))
        error = await bench.error_of(Verb.GET, ("containers", failing.id))
        must(error and error.code == code and code in error.message, f"for {code}, the caller got {told(error)}")


@rule("messages", "reference", Verb.GET)
async def lets_a_dropped_request_be_noticed(bench: Bench) -> None:
    """When the next stage drops a request, the caller gets an error at once."""
    dropped = bench.reference.add("dropped")
    bench.reference.trouble(dropped.id, Trouble.DROPPED)
    with trio.move_on_after(CLEANUP_SECONDS):
        error = await bench.error_of(Verb.GET, ("containers", dropped.id))
        must(error and error.code == "unavailable", f"the caller got {told(error)}")
        return
    raise Broken("the caller got nothing: something still holds the request's reply channel")
