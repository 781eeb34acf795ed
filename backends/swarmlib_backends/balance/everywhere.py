"""A request that goes to every engine, whose progress is told as one: a pull.

It succeeds if it does on every engine that is up to the end. One that goes down in the middle is missing, as one that
was down before. Where one engine fails, the others end their work first; then its failure is that of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from swarmlib import Ack, Request, SwarmError, Unavailable, Unsupported, ask, next_reply
from swarmlib.asking import Answer

from .asking import gather
from .lists import missing, partial
from .members import Member


async def relay(members: Sequence[Member], request: Request, *, strict: bool) -> None:
    """Send a request to every member that is up, and their progress to its caller; what is missing is said at the end.

    Raises:
        SwarmError: no member can do it: in the words of one, as if it were the only one. Or one member failed, which
            the error names. Unavailable: `strict`, and a member is down.
    """
    absent = missing(members)
    partial(absent, strict=strict)
    present = [member for member in members if member.up]
    if not present:
        raise Unavailable("; ".join(absent) or "balance has no members now")

    async def relay_one(member: Member) -> Answer:
        try:
            return await _relay_one(member, request)
        finally:
            member.mirror.touch_kind("images")

    outcome = await gather(present, request, relay_one)
    outcome.must_have_answers()
    for member, failure in outcome.failures:
        if member.up and not isinstance(failure, Unsupported):
            raise _named(failure, member)
    absent = missing(members)
    partial(absent, strict=strict)
    for text in absent:
        await request.reply.set({"status": text})


async def _relay_one(member: Member, request: Request) -> Answer:
    async with await ask(member.calls, request) as replies:
        while not isinstance(reply := await next_reply(replies), Ack):
            await request.reply.send(reply)
    return Answer(reply, [])


def _named(failure: SwarmError, member: Member) -> SwarmError:
    """A failure that says whose it is, where others succeeded."""
    return type(failure)(f"{member.name}: {failure.message}", backend=member.name, path=failure.path)
