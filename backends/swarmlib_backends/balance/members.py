"""The members of a balance: chains that are asked together, each within a deadline of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import trio

from swarmlib import Chain, Client, Message, SwarmError, TimedOut, Verb
from swarmlib.client import Answer

from .versions import Bridge, Range

VERSION = ("version",)


@dataclass(eq=False)
class Member:
    """One chain: its name (the `Node` of its objects), its channel, and the spawns that it has yet to list."""

    name: str
    sender: Bridge
    pending: int = field(default=0)

    async def learn_range(self, deadline: float) -> None:
        """Ask which API versions it speaks. One that can't be asked, or has none, is spoken to as the client speaks.

        deadline: in seconds.
        """
        with suppress(SwarmError):
            answer = await self.ask(Message(Verb.GET, VERSION), deadline)
            self.sender.range = Range.of(answer.value)

    async def ask(self, message: Message, deadline: float) -> Answer:
        """The same request to this member.

        Raises:
            SwarmError: what the member answers; TimedOut, naming it, when it does not within `deadline` seconds.
        """
        with trio.move_on_after(deadline):
            return await Client(self.sender).call(
                message.verb, message.path, args=message.args, value=message.value
            )
        raise TimedOut(f"{self.name} did not answer within {deadline:g} s", backend=self.name)


@dataclass
class Outcome:
    """What the members said to one request: those that answered, and those that failed."""

    answers: list[tuple[Member, Answer]] = field(default_factory=list[tuple[Member, Answer]])
    failures: list[tuple[Member, SwarmError]] = field(default_factory=list[tuple[Member, SwarmError]])

    @property
    def values(self) -> list[tuple[str, Any]]:
        """Each answering member's name and value, in the members' order."""
        return [(member.name, answer.value) for member, answer in self.answers]

    def must_have_answers(self) -> None:
        """Raise the first failure if nobody answered."""
        if not self.answers:
            raise self.failures[0][1]


async def ask_all(members: Sequence[Member], message: Message, deadline: float) -> Outcome:
    """Ask every member at once; one that is down or frozen holds up nobody for longer than `deadline` seconds."""
    found: dict[Member, Answer | SwarmError] = {}

    async def ask(member: Member) -> None:
        try:
            found[member] = await member.ask(message, deadline)
        except SwarmError as exc:
            found[member] = exc

    async with trio.open_nursery() as nursery:
        for member in members:
            nursery.start_soon(ask, member)
    outcome = Outcome()
    for member in members:
        answer = found[member]
        if isinstance(answer, SwarmError):
            outcome.failures.append((member, answer))
        else:
            outcome.answers.append((member, answer))
    return outcome


@asynccontextmanager
async def open_members(chains: Sequence[Chain]) -> AsyncGenerator[list[Member]]:
    """Open every chain; two with the same name are told apart by a number."""
    async with AsyncExitStack() as stack:
        members: list[Member] = []
        for chain in chains:
            same = sum(member.name.split("#")[0] == chain.name for member in members)
            name = f"{chain.name}#{same + 1}" if same else chain.name
            members.append(Member(name, Bridge(await stack.enter_async_context(chain.open()))))
        yield members
