"""One request to several members at once: which answered, which failed, and what to report about those that failed.

`ask_all` collects their answers; `broadcast` (a pull) sends the progress of all as one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import trio

from swarmlib import (
    Ack,
    Conflict,
    Denied,
    Invalid,
    NotFound,
    Request,
    Set,
    SwarmError,
    Unavailable,
    Unsupported,
    ask,
    next_reply,
)
from swarmlib.asking import Answer
from swarmlib.refusing import as_error
from swarmlib.values import as_json

from .member import Member
from .merge import Parts
from .node import Node

CLIENTS_FAULT: Final = (Invalid, NotFound, Denied, Conflict)
"""The errors by which an engine says that the request is wrong."""
NONE: Final[Mapping[Node, bytes]] = MappingProxyType({})
"""No answers."""
_SETTLING: Final = 32
"""Members that one call brings up to date at the same time, so that none misses its deadline because of the others."""


@dataclass
class Outcome:
    """The results of one request to several members: the answers and the failures."""

    answers: list[tuple[Member, Answer]] = field(default_factory=list[tuple[Member, Answer]])
    failures: list[tuple[Member, SwarmError]] = field(default_factory=list[tuple[Member, SwarmError]])

    @property
    def values(self) -> Parts:
        """Each answering member and its value, in the members' order."""
        return [(member, answer.value) for member, answer in self.answers]

    @property
    def missing(self) -> list[str]:
        """A message for each member that failed. Members that do not support the request are not reported."""
        failed = [(member, exc) for member, exc in self.failures if not isinstance(exc, Unsupported)]
        return [f"{member.name} is missing: {exc.message}" for member, exc in failed]

    def add(self, other: Outcome) -> None:
        """Add the results of the same request to other members."""
        self.answers += other.answers
        self.failures += other.failures

    def must_have_answers(self) -> None:
        """Raise the failure that explains best why no member answered, if none did.

        Raises:
            SwarmError: no member answered: that the request is wrong, if a member says so; else that a member failed;
                else that no member supports the request.
        """
        if not self.answers:
            raise representative([exc for _, exc in self.failures])


def representative(failures: Sequence[SwarmError]) -> SwarmError:
    """Return the error that stands for the failures of all members."""
    wrong = [exc for exc in failures if isinstance(exc, CLIENTS_FAULT)]
    failed = [exc for exc in failures if not isinstance(exc, Unsupported)]
    return [*wrong, *failed, *failures, Unavailable("balance has no members at the moment")][0]


def ask_all(members: Sequence[Member], request: Request, known: Mapping[Node, bytes] = NONE) -> Awaitable[Outcome]:
    """Ask every member the same at once; see `gather`.

    known: the bytes of members' answers to the same request, which need not be checked again.
    """
    return gather(members, request, lambda member: member.ask(request, known=known.get(member, b"")))


async def gather(members: Sequence[Member], request: Request, ask: Callable[[Member], Awaitable[Answer]]) -> Outcome:
    """Ask every member at once; one that is down or hangs delays the others no longer than `ask` lets it.

    A member's failure, of whatever kind, never affects the answers of the others.

    request: the request, for the errors.
    """
    found: dict[Member, Answer | SwarmError] = {}

    async def ask_one(member: Member) -> None:
        try:
            member.must_be_up()
            found[member] = await ask(member)
        except Exception as exc:  # noqa: BLE001 - an unexpected exception is logged, and is this member's failure alone
            found[member] = as_error(exc, member.name, request)

    async with trio.open_nursery() as nursery:
        for member in members[1:]:
            nursery.start_soon(ask_one, member)
        if members:
            await ask_one(members[0])  # in this task, which would only wait
    outcome = Outcome()
    for member in members:
        answer = found[member]
        if isinstance(answer, SwarmError):
            outcome.failures.append((member, answer))
        else:
            outcome.answers.append((member, answer))
    return outcome


async def settle(members: Sequence[Member], *kinds: str) -> None:
    """Bring the index up to date for these members and kinds; see `Member.settle`."""
    waiting = [member for member in members if member.due and member.up and member.mirror.unsettled(kinds)]
    if not waiting:
        return
    limit = trio.CapacityLimiter(_SETTLING)

    async def settle_one(member: Member) -> None:
        async with limit:
            await member.settle(*kinds)

    async with trio.open_nursery() as nursery:
        for member in waiting:
            nursery.start_soon(settle_one, member)


def missing(members: Sequence[Member]) -> list[str]:
    """Return a message for each member that is down."""
    return [f"{member.name} is missing: {member.trouble}" for member in members if not member.up]


def refuse_partial(missing: Sequence[str], *, strict: bool) -> None:
    """Refuse a partial answer if only a complete one is acceptable.

    Raises:
        Unavailable: `strict`, and the answer is partial; the error says what is missing.
    """
    if missing and strict:
        raise Unavailable(f"the answer would be incomplete, and --strict is set: {'; '.join(missing)}")


def merged(value: Any, absent: Sequence[str]) -> Answer:
    """Return the answer of a merged value, if there is one, with warnings about the members that are missing in it."""
    warnings: dict[str, Any] = {"warnings": list(absent)} if absent else {}
    if value is None:
        return Answer(Ack(details=warnings), [])
    return Answer(Ack(), [Set(as_json(value), warnings)])


async def reply_merged(request: Request, value: Any, absent: Sequence[str]) -> None:
    """Answer with a merged value; see `merged`."""
    await forward_answer(merged(value, absent), request)


async def broadcast(members: Sequence[Member], request: Request, *, strict: bool) -> None:
    """Send a request to every member that is up, and their progress to the caller; report missing members at the end.

    Raises:
        SwarmError: no member can do it: the error is that of one, as if it were the only one. Or one member failed,
            which the error names.
        Unavailable: no member is up, or `strict` is set and a member is down.
    """
    absent = missing(members)
    refuse_partial(absent, strict=strict)
    present = [member for member in members if member.up]
    if not present:
        raise Unavailable("; ".join(absent) or "balance has no members at the moment")

    async def forward_one(member: Member) -> Answer:
        try:
            return await _forward_one(member, request)
        finally:
            member.mirror.touch_kind("images")

    outcome = await gather(present, request, forward_one)
    outcome.must_have_answers()
    for member, failure in outcome.failures:
        if member.up and not isinstance(failure, Unsupported):
            raise _named(failure, member)
    absent = missing(members)
    refuse_partial(absent, strict=strict)
    for text in absent:
        await request.reply.set({"status": text})


async def _forward_one(member: Member, request: Request) -> Answer:
    async with await ask(member.calls, request) as replies:
        while not isinstance(reply := await next_reply(replies), Ack):
            await request.reply.send(reply)
    return Answer(reply, [])


def _named(failure: SwarmError, member: Member) -> SwarmError:
    """Return a failure that names its member, for use when other members succeeded."""
    return type(failure)(f"{member.name}: {failure.message}", backend=member.name, path=failure.path)


async def first_answer(members: Sequence[Member], request: Request) -> Answer:
    """Return the answer of the first member that gives one.

    Raises:
        SwarmError: no member answers: the error of the first that failed. Or the first that answers says that the
            request is wrong.
    """
    failure: SwarmError | None = None
    for member in members:
        try:
            member.must_be_up()
            return await member.ask(request)
        except CLIENTS_FAULT:
            raise  # another engine would say the same, and count a wrong password again
        except SwarmError as exc:
            failure = failure or exc
    raise failure or Unavailable("balance has no members at the moment")


async def reply_first(members: Sequence[Member], request: Request) -> None:
    """Answer with what the first member says that gives an answer; raise as `first_answer`."""
    await forward_answer(await first_answer(members, request), request)


async def forward_answer(answer: Answer, request: Request) -> None:
    """Reply to a request with the answer that one member gave."""
    for reply in [*answer.before, answer.ack]:
        await request.reply.send(reply)
