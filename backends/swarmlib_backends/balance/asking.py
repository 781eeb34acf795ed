"""One request to several members at once: who answered, who failed, and what there is to say of those that failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from swarmlib import Conflict, Denied, Invalid, NotFound, Request, SwarmError, Unavailable, Unsupported
from swarmlib.asking import Answer
from swarmlib.service import as_error

from .members import Member
from .merge import Parts

CLIENTS_FAULT: Final = (Invalid, NotFound, Denied, Conflict)
"""What an engine says of a request that it takes for wrong."""


@dataclass
class Outcome:
    """What the members said to one request: those that answered, and those that failed."""

    answers: list[tuple[Member, Answer]] = field(default_factory=list[tuple[Member, Answer]])
    failures: list[tuple[Member, SwarmError]] = field(default_factory=list[tuple[Member, SwarmError]])

    @property
    def values(self) -> Parts:
        """Each answering member and its value, in the members' order."""
        return [(member.node, answer.value) for member, answer in self.answers]

    @property
    def missing(self) -> list[str]:
        """What there is to say of each member that failed. A member that has nothing of the kind has not failed."""
        failed = [(member, exc) for member, exc in self.failures if not isinstance(exc, Unsupported)]
        return [f"{member.name} is missing: {exc.message}" for member, exc in failed]

    def add(self, other: Outcome) -> None:
        """Take over what other members said to the same request."""
        self.answers += other.answers
        self.failures += other.failures

    def must_have_answers(self) -> None:
        """Raise the failure that explains best why no member answered, if none did: that the request is wrong, if a
        member says so; else that a member failed; else that no member supports the request.
        """
        if not self.answers:
            raise representative([exc for _, exc in self.failures])


def representative(failures: Sequence[SwarmError]) -> SwarmError:
    """The error that stands for the failures of all members."""
    wrong = [exc for exc in failures if isinstance(exc, CLIENTS_FAULT)]
    failed = [exc for exc in failures if not isinstance(exc, Unsupported)]
    return [*wrong, *failed, *failures, Unavailable("balance has no members now")][0]


async def ask_all(members: Sequence[Member], request: Request, deadline: float | None = None) -> Outcome:
    """Ask every member the same at once; see `gather`.

    deadline: seconds that each may take; None for what `Member.ask` allows.
    """
    return await gather(members, request, lambda member: member.ask(request, deadline))


async def gather(members: Sequence[Member], request: Request, ask: Callable[[Member], Awaitable[Answer]]) -> Outcome:
    """Ask every member at once; one that is down or frozen holds up nobody for longer than `ask` lets it.

    A member's failure is its own, whatever it is; it never takes the other members' answers with it.

    request: what this is about, for the errors.
    """
    found: dict[Member, Answer | SwarmError] = {}

    async def ask_one(member: Member) -> None:
        try:
            member.must_be_up()
            found[member] = await ask(member)
        except Exception as exc:  # noqa: BLE001 - an unexpected exception is logged, and is this member's failure alone
            found[member] = as_error(exc, member.name, request)

    async with trio.open_nursery() as nursery:
        for member in members:
            nursery.start_soon(ask_one, member)
    outcome = Outcome()
    for member in members:
        answer = found[member]
        if isinstance(answer, SwarmError):
            outcome.failures.append((member, answer))
        else:
            outcome.answers.append((member, answer))
    return outcome
