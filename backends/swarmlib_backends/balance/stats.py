"""What containers use (`stats`): one stream of an engine for each container, however many watch it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import trio

from swarmlib import Internal, Json, NotFound, Request, Set, SwarmError, ask, next_reply
from swarmlib.errors import ungrouped

from ..dockerapi.nullable import dict_of
from ..dockerapi.operations import ContainerStats
from ..feeds import Feed, Feeds
from .owners import Owner
from .router import Router
from .sharing import dated

_TYPE: Final = (b"Content-Type", b"application/json")
"""What an engine says of a single sample only."""
_NEVER: Final = "0001-01-01T00:00:00Z"
"""When a sample was read that tells nothing."""


class _Sample(NamedTuple):
    """What a container uses, and the details with which its engine accepted to tell it."""

    details: Mapping[str, Any]
    value: Json


class Stats:
    """Answers requests for the statistics of containers."""

    def __init__(self, router: Router, nursery: trio.Nursery) -> None:
        self._router = router
        self._feeds = Feeds[Hashable, _Sample](nursery)

    async def answer(self, request: Request) -> Any:
        """Answer with the samples that the container's engine streams; raise what `owners.find` raises."""
        owner, asked = await self._router.owner_of(request), ContainerStats.of(request)
        if not owner.id or asked.one_shot:
            return await self._router.forward(request.replace(path=owner.there(request.path)), owner)
        owner.member.must_be_up()
        try:
            await self._watch(request, owner, streams=asked.stream)
        except NotFound:
            return await self._router.to_owner(request)  # which looks elsewhere, or refuses in the client's words
        return None

    async def _watch(self, request: Request, owner: Owner, *, streams: bool) -> None:
        name, read = f"balance: the statistics of {owner.id[:12]}", partial(_read, owner, request)
        async with self._feeds.of((owner.member, owner.id, request.meta), name, read) as feed:
            while (sample := await feed.next()) is not None:
                if not request.reply.answered:
                    await request.reply.ack(details=_accepting(sample.details, streams=streams))
                if streams or _is_complete(sample.value):
                    await request.reply.set(sample.value)
                    if not streams:
                        return


def _accepting(details: Mapping[str, Any], *, streams: bool) -> Mapping[str, Any]:
    """Return the details of an engine's answer, as it answers a request for one sample if not for all."""
    if streams or "headers" not in details:
        return dated(details)
    return dated({**details, "headers": (*details["headers"], _TYPE)})


def _is_complete(value: Json) -> bool:
    """Return whether a sample is what an engine answers with a single one: it tells what was used before too."""
    told = dict_of(value.data)
    return told.get("preread") != _NEVER or told.get("read") == _NEVER


async def _read(owner: Owner, request: Request, feed: Feed[_Sample]) -> None:
    error: SwarmError | None = Internal("the statistics failed; see the log", backend=owner.member.name)
    path = (*request.path[:1], owner.id, *request.path[2:])
    stream = request.replace(path=path, params={"stream": "1"}, deadline=math.inf)
    try:
        with feed.scope, ungrouped():
            await _give(owner, stream, feed)
        error = None
    except SwarmError as exc:
        error = exc
    finally:
        feed.end(error)


async def _give(owner: Owner, stream: Request, feed: Feed[_Sample]) -> None:
    details: Mapping[str, Any] = {}
    async with await ask(owner.member.calls, stream) as replies:
        while True:
            try:
                reply = await next_reply(replies)
            except trio.EndOfChannel:
                return
            if isinstance(reply, Set) and reply.value is not None:
                feed.give(_Sample(details, reply.value))
            else:
                details = reply.details
