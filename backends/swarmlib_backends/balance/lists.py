"""Lists of many engines as one: of containers from the index if it has all that is needed, else from all engines."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Final

from swarmlib import Json, Request, Unavailable
from swarmlib.asking import Answer

from ..dockerapi.operations import ContainerList
from . import merge, order
from .fanout import NONE, Outcome, ask_all, gather, merged, missing, refuse_partial, reply_merged, settle
from .made import Made, parts_of
from .member import Member
from .members import Members
from .node import Node
from .select import Selection
from .sharing import Sharing

_CONTAINERS: Final = ("containers",)
_WATCHABLE: Final = attrgetter("watchable")


class Listing:
    """Answers an `ls` of a family of objects.

    strict: refuse a list from which a member is missing. may_be_empty: the list is empty if no member is up.
    """

    def __init__(self, members: Members, sharing: Sharing, *, strict: bool, may_be_empty: bool) -> None:
        self._members = members
        self._sharing = sharing
        self._strict = strict
        self._may_be_empty = may_be_empty

    def answer(self, request: Request) -> Awaitable[None]:
        """Answer the request with the merged list.

        Raises:
            Invalid: the filters are wrong.
            SwarmError: no member answers; or, if `strict`, one does not.
        """
        selection = Selection.of(request)
        chosen = selection.chosen(self._members.all)
        if request.path == _CONTAINERS and selection.plain and all(map(_WATCHABLE, chosen)):
            return self._answer_from_index(request, selection, chosen)
        return self._sharing.reply(request, chosen, partial(self._asked, request, selection, chosen))

    async def _asked(self, request: Request, selection: Selection, chosen: list[Member], last: Made | None) -> Made:
        outcome = await self._ask(request, selection, chosen, NONE if last is None else last.known)
        refuse_partial(outcome.missing, strict=self._strict)
        if chosen and not (self._may_be_empty and not any(each.up for each in chosen)):
            outcome.must_have_answers()
        parts = parts_of(outcome.answers, last)
        if last is not None and parts and parts is last.parts and not outcome.failures:
            return last
        found = merge.LISTS[request.path](outcome.values)
        if request.path == _CONTAINERS:
            await order.settle_moments(found, chosen, self._members.index)
            found = order.newest_first(found, self._members.index)[: selection.limit]
        return Made(merged(Json.from_data(found), outcome.missing), parts)

    async def _answer_from_index(self, request: Request, selection: Selection, chosen: list[Member]) -> None:
        await settle(chosen, "containers")
        absent = missing(chosen)
        refuse_partial(absent, strict=self._strict)
        if absent and len(absent) == len(chosen) and not self._may_be_empty:
            raise Unavailable("; ".join(absent))
        index, running, now = self._members.index, not ContainerList.of(request).all, time.time()
        nodes = None if selection.nodes is None else chosen
        raw = index.listed(selection.labels, nodes, running=running, now=now)
        await reply_merged(request, Json(raw), absent)

    async def _ask(
        self, request: Request, selection: Selection, chosen: Sequence[Member], known: Mapping[Node, bytes]
    ) -> Outcome:
        """Ask the members. One that doesn't know the objects that bound the list is asked for all, and cut here."""
        if not selection.relative:
            return await ask_all(chosen, request.replace(params=selection.params), known=known)
        bounds = await order.Bounds.of(request.path, selection.relative, self._members)
        bounded, whole = request.replace(params=selection.params), request.replace(params=selection.without_relative())

        async def ask(member: Member) -> Answer:
            if member in bounds.knowing:
                return await member.ask(bounded)
            return await bounds.cut(await member.ask(whole), request.path, member)

        return await gather(chosen, request, ask)
