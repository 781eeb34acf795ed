"""Forwarding a call to the engine that has its object, and to another one if the object turns out to be there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

from swarmlib import Handler, NotFound, ReplySender, Request, Server
from swarmlib.asking import Answer

from .. import notes
from . import owners
from .forwarding import GiveBack
from .member import Member
from .members import Members
from .owners import Owner
from .response_hooks import Learn

TakeUp: TypeAlias = Callable[[Handler, Request], Awaitable[None]]
"""See `Server.take_up`."""


class Router:
    """Forwards calls to members."""

    def __init__(self, members: Members, take_up: TakeUp) -> None:
        self._members = members
        self._take_up = take_up

    async def owner(self, *path: str) -> Owner:
        """See `owners.find`."""
        return await owners.find(self._members, path)

    async def owner_of(self, request: Request) -> Owner:
        """Find the engine that has the object of a call's path, and note its full id. Raise as `owners.find`."""
        owner = await owners.find(self._members, request.path)
        if owner.id:
            notes.found(owner.id)
        return owner

    async def to_owner(self, request: Request, learn: Learn | None = None) -> Any:
        """Forward a call to the member that has the object of its path; raise what `owners.find` raises."""
        owner = await self.owner_of(request)
        return await self.forward(request.replace(path=owner.there(request.path)), owner, learn)

    async def forward(self, request: Request, owner: Owner, learn: Learn | None = None) -> Any:
        """Forward a call to the member that has its object, and to another one if it turns out to be there."""
        if owner.certain or request.upload is not None:  # an upload can't be sent twice
            return await self.to(owner.member, request, learn)

        async def give_back(reply: ReplySender, said: NotFound) -> None:
            await self._take_up(partial(self._elsewhere, owner, said, learn), request.replace(reply=reply))

        return await self.to(owner.member, request, learn, give_back)

    async def _elsewhere(self, owner: Owner, said: NotFound, learn: Learn | None, request: Request) -> Any:
        other = await owners.elsewhere(self._members, owner, said)
        return await self.to(other.member, request, learn)

    async def to(
        self,
        member: Member,
        request: Request,
        learn: Learn | None = None,
        give_back: GiveBack | None = None,
    ) -> Any:
        """Forward a call to a member; raise Unavailable if it is down."""
        see = None if learn is None else learn(self._members.index, member, request)
        return await Server.forward(member.prepared(request, see, give_back), member.sender)

    async def ask(self, request: Request, owner: Owner, learn: Learn) -> Answer:
        """Send a call that changes an object to the engine that has it, as `forward` finds it, and return the answer.

        Raises:
            SwarmError: the engine answers with an error, or can't be asked.
        """
        member, answer = await self.asked(request, owner)
        learn(self._members.index, member, request)(answer.ack)
        return answer

    async def asked(
        self, request: Request, owner: Owner, deadline: float | None = None, known: bytes = b""
    ) -> tuple[Member, Answer]:
        """Send a call to the engine that has its object, as `forward` finds it; return that engine and its answer.

        deadline, known: as in `Member.ask`.

        Raises:
            SwarmError: the engine answers with an error, or can't be asked.
        """
        try:
            return owner.member, await owner.member.ask(request, deadline, known)
        except NotFound as said:
            if owner.certain:
                raise
            other = await owners.elsewhere(self._members, owner, said)
        return other.member, await other.member.ask(request, deadline)
