"""Reads: summaries of all members, their lists, and the inspection of one object by its owner."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Any, Final

from swarmlib import Json, Request, Set
from swarmlib.asking import Answer

from ..dockerapi.nullable import list_of
from . import merge, owners, response_hooks
from .fanout import NONE, ask_all, first_answer, merged, refuse_partial, reply_first
from .lists import Listing
from .made import Made, parts_of
from .members import Members
from .node import EVERYWHERE
from .owners import Owner
from .provisioner import Provisioner
from .router import Router
from .sharing import Sharing
from .versions import at_version

_ANYWHERE: Final = frozenset({"distribution"})
_WITH_NODE: Final = frozenset({"containers", "networks", "volumes"})
_SHARED: Final = frozenset({*_WITH_NODE, "images"})
"""The kinds of objects whose inspections callers share."""


class Reading:
    """Answers `ls` and `get`.

    strict: refuse an answer from which a member is missing.
    """

    def __init__(
        self, members: Members, router: Router, sharing: Sharing, provisioner: Provisioner | None, *, strict: bool
    ) -> None:
        self._members = members
        self._router = router
        self._sharing = sharing
        self._provisioner = provisioner
        self._strict = strict
        self._listing = Listing(members, sharing, strict=strict, may_be_empty=provisioner is not None)

    def ls(self, request: Request) -> Awaitable[Any]:
        """List the objects of all members, merged."""
        return self._listing.answer(request) if request.path in merge.LISTS else self._router.to_owner(request)

    def get(self, request: Request) -> Awaitable[Any]:
        """Return a summary of all members, or the state of one object from its owner."""
        path = request.path
        if self._provisioner is not None and not any(member.up for member in self._members.all):
            return self._provisioner.when_empty(request)
        if len(path) == 2 and path[0] in _SHARED:
            return self._inspect(request)
        if path in merge.SUMMARIES:
            return self._sharing.reply(request, self._members.all, partial(self._summary, request))
        if path[:1] == ("ping",):
            return self._sharing.reply(request, self._members.all, partial(self._ping, request))
        if len(path) < 2 or path[0] in _ANYWHERE:  # it names no object, so that every member says the same
            return reply_first(self._members.all, request)
        return self._router.to_owner(request)

    async def _summary(self, request: Request, last: Made | None) -> Made:
        outcome = await ask_all(self._members.all, request)
        refuse_partial(outcome.missing, strict=self._strict)
        outcome.must_have_answers()
        found = merge.SUMMARIES[request.path](outcome.values)
        if not request.path:
            found["Warnings"] = [*list_of(found["Warnings"]), *outcome.missing] or None
            if self._provisioner is not None:
                found = merge.with_capacity(found, self._provisioner.capacity())
        return Made(merged(found, outcome.missing))

    async def _ping(self, request: Request, last: Made | None) -> Made:
        """Return one member's ping, a manager's if there is one, with the API version that works on all."""
        answer = await first_answer(owners.managers_first(self._members.all), request)
        if (advertised := self._members.advertised.range) is None:
            return Made(answer)
        before = [reply.replace(details=at_version(reply.details, advertised)) for reply in answer.before]
        return Made(Answer(answer.ack.replace(details=at_version(answer.ack.details, advertised)), before))

    async def _inspect(self, request: Request) -> Any:
        owner, kind = await self._router.owner_of(request), request.path[0]
        if not owner.id and request.path[1] not in EVERYWHERE:  # only its engine knows what the name means
            learn = response_hooks.says_node if kind in _WITH_NODE else None
            return await self._router.forward(request.replace(path=owner.there(request.path)), owner, learn)
        owner.member.must_be_up()
        id = owner.id if kind in ("containers", "networks") else ""  # the only ones that are told of one by one
        return await self._sharing.reply(request, [owner.member], partial(self._inspected, request, owner), id)

    async def _inspected(self, request: Request, owner: Owner, last: Made | None) -> Made:
        there, known = request.replace(path=owner.there(request.path)), NONE if last is None else last.known
        member, answer = await self._router.asked(there, owner, float("inf"), known.get(owner.member, b""))
        if request.path[0] not in _WITH_NODE:
            return Made(answer)
        parts = parts_of([(member, answer)], last)
        if last is not None and parts is last.parts:
            value = last.answer.holder.value
        else:
            value = Json.from_data(merge.inspected(answer.value, member))
        before = [reply.replace(value=value) for reply in answer.before if isinstance(reply, Set)]
        return Made(Answer(answer.ack, before), parts)
