"""The push of a tenant's image, under a name that the operator lets the tenant publish."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from swarmlib import Ack, Conflict, NotFound, Request, Verb

from ..calls import forward
from ..dockerapi.nullable import list_of
from ..dockerapi.operations import ImagePush
from ..dockerapi.references import normal, repository, tagged
from . import answers
from .call import Call

_CLEANUP_SECONDS: Final = 10.0


async def push(call: Call) -> None:
    """Push one of the tenant's images, or all that it has of a repository.

    Raises:
        NotFound: it has none of this name.
        Conflict: the engine has another image of this name.
    """
    asked = ImagePush.of(call.request)
    name = call.request.path[1]
    refs = [tagged(name, asked.tag)] if asked.tag else await _all(call, repository(normal(name)))
    ack = Ack()
    for ref in refs:
        async with _published(call, ref):
            ack = await _push(call, ref)
    await forward(ack, call.request.reply)


async def _all(call: Call, name: str) -> list[str]:
    images = await call.ask(Request(Verb.LS, ("images",), meta=call.meta))
    tags = [
        call.names.shown_image(tag) for each in images for tag in list_of(each.get("RepoTags")) if _is_own(call, tag)
    ]
    found = [tag for tag in tags if repository(tag) == name]
    if not found:
        raise NotFound(f"An image does not exist locally with the tag: {name}")
    return found


def _is_own(call: Call, tag: str) -> bool:
    return str(tag).startswith(call.names.repositories)


@asynccontextmanager
async def _published(call: Call, ref: str) -> AsyncGenerator[None]:
    """Have the tenant's image under its name in the registry, by which alone an engine pushes it."""
    async with call.quotas.turn(ref):
        own = await call.own.inspected("images", call.names.real_image(ref))
        if own is None:
            raise NotFound(f"An image does not exist locally with the tag: {repository(ref)}")
        there = await call.own.inspected("images", ref)
        if there is not None and there["Id"] != own["Id"]:
            raise Conflict(f"the engine has another image of the name {ref}: tag yours otherwise")
        if there is not None:
            yield
            return
        name = repository(ref)
        tag = {"repo": name, "tag": ref[len(name) + 1 :]}
        await call.ask(Request(Verb.SET, ("images", own["Id"], "tag"), tag, meta=call.meta))
        try:
            yield
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLEANUP_SECONDS):
                await call.remove(("images", ref))


async def _push(call: Call, ref: str) -> Ack:
    name = repository(ref)
    request = call.request.replace(path=("images", name, "push"), params={"tag": ref[len(name) + 1 :]})
    return await call.progress(request, partial(answers.PROGRESS, call.names))
