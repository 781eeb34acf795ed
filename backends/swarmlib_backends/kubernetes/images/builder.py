"""The chain that builds images, and the registry that takes them from it to the nodes of the cluster (`--builder`)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson
import trio

from swarmlib import (
    CLEANUP_SECONDS,
    Ack,
    BadAnswer,
    Meta,
    NotFound,
    ReplySender,
    Request,
    Sender,
    Set,
    SwarmError,
    Unavailable,
    Verb,
)
from swarmlib.asking import ask, call, next_reply

from ...calls import forward
from ...dockerapi.nullable import dict_of
from ...dockerapi.references import is_digest, normal, repository
from ...registry.client import Registries
from ...registry.credentials import Credentials
from .built import BuiltImage, BuiltImages

_UNNAMED: Final = "unnamed"
"""The repository of images that were built without a name; the id of each is its tag."""
_SHORT: Final = 12

See = Callable[[dict[str, Any]], object]
"""Is shown each line of progress."""


@dataclass
class Builder:
    """An engine, or a chain with engines, that builds.

    sender: leads to it. registry: HOST[/PREFIX] of the registry. credentials: for the registry.
    """

    sender: Sender
    registry: str
    credentials: Credentials
    registries: Registries
    built: BuiltImages
    _publishing: int = 0
    _changed: trio.Event = field(default_factory=trio.Event)

    async def publish(self, name: str, id: str = "") -> BuiltImage:
        """Push an image that the builder has, and let every gateway know it by its name.

        name: its normal reference; "" for one that has only an id. id: its own at the builder, if that is known.

        Raises:
            SwarmError: the builder or the registry fails.
        """
        id = id or await self.id_of(name)
        repo, tag = self._place(name, id)
        await call(self.sender, Request(Verb.SET, ("images", id, "tag"), {"repo": repo, "tag": tag}))
        try:
            digest = await self._push(repo, tag)
        finally:
            if name:  # an image without a name would go with its last tag
                await self._untag(f"{repo}:{tag}")
        reference = f"{repo}@{digest}"
        found = await self.registries.find(reference, self.credentials)
        return await self.built.put(name, id, reference, found)

    def _place(self, name: str, id: str) -> tuple[str, str]:
        """Return the repository and the tag in the registry for an image."""
        if not name:
            return f"{self.registry}/{_UNNAMED}", id.removeprefix("sha256:")[:_SHORT]
        own = repository(name)
        return f"{self.registry}/{own.replace(':', '-').lower()}", name.removeprefix(f"{own}:")

    async def _push(self, repo: str, tag: str) -> str:
        """Push an image, and return the digest by which the registry knows it."""
        digests: list[str] = []

        def see(line: dict[str, Any]) -> None:
            aux = line.get("aux")
            if isinstance(aux, dict) and is_digest(digest := str(dict_of(aux).get("Digest") or "")):
                digests.append(digest)

        request = Request(Verb.SET, ("images", repo, "push"), {"tag": tag}, meta=self._meta(repo))
        try:
            await self.relay(request, see)
        except SwarmError as exc:
            raise Unavailable(f"can't push {repo}:{tag} to the registry: {exc.message}") from exc
        if not digests:
            raise BadAnswer(f"the builder has pushed {repo}:{tag}, and not said its digest")
        return digests[-1]

    async def _untag(self, ref: str) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS), suppress(NotFound):
            await call(self.sender, Request(Verb.RM, ("images", ref)))

    def _meta(self, repo: str) -> Meta:
        """Return the credentials for a repository, which an engine wants to be told in any case."""
        own = repo.startswith(f"{self.registry}/")
        known = self.credentials if own else Credentials()
        given = {"username": known.username, "password": known.password, "identitytoken": known.identity_token}
        header = base64.urlsafe_b64encode(orjson.dumps({name: text for name, text in given.items() if text})).decode()
        return Meta(headers=(("x-registry-auth", header),))

    async def id_of(self, ref: str) -> str:
        """Return the id of an image at the builder. Raises `NotFound`; `SwarmError`: the builder's error."""
        value = (await call(self.sender, Request(Verb.GET, ("images", ref)))).value
        id = str(dict_of(value).get("Id") or "")
        if not is_digest(id):
            raise BadAnswer(f"the builder gave a malformed answer about the image {ref}")
        return id

    async def obtain(self, name: str, id: str, reference: str) -> None:
        """Have an image at the builder under its name, if it has one.

        Raises:
            SwarmError: the builder can't pull it, or fails.
        """
        with suppress(NotFound):
            if await self.id_of(name or id) == id:
                return
        repo, _, digest = reference.partition("@")
        pull = Request(Verb.SPAWN, ("images",), {"fromImage": repo, "tag": digest}, meta=self._meta(repo))
        await self.relay(pull, lambda _: None)
        if name:
            own = repository(name)
            where = {"repo": own, "tag": name.removeprefix(f"{own}:")}
            await call(self.sender, Request(Verb.SET, ("images", await self.id_of(reference), "tag"), where))

    async def relay(self, request: Request, see: See, to: ReplySender | None = None) -> Ack:
        """Send a request, show its progress, and forward that if it is wanted; return the final reply.

        Raises:
            SwarmError: the builder's error.
        """
        async with await ask(self.sender, request, deadline=trio.current_effective_deadline()) as replies:
            while not isinstance(reply := await next_reply(replies), Ack):
                if isinstance(reply, Set) and isinstance(line := reply.json, dict):
                    see(cast("dict[str, Any]", line))
                if to is not None:
                    await forward(reply, to)
            return reply

    # What was built by BuildKit's own protocol, which says nothing of it to who forwards it.

    async def named(self) -> dict[str, str]:
        """Return the ids of all images at the builder by their names."""
        value = (await call(self.sender, Request(Verb.LS, ("images",)))).value
        return {
            normal(str(name)): str(each["Id"])
            for each in value or ()
            for name in each.get("RepoTags") or ()
            if name != "<none>:<none>"
        }

    async def publish_new(self, before: dict[str, str]) -> None:
        """Publish what has got its name since `named` returned this. Raises `SwarmError`: as `publish`."""
        self._publishing += 1
        try:
            for name, id in (await self.named()).items():
                known = self.built.find(name)
                if before.get(name) != id and (known is None or known.id != id):
                    await self.publish(name, id)
        finally:
            self._publishing -= 1
            self._changed.set()
            self._changed = trio.Event()

    async def settled(self) -> None:
        """Wait until nothing is being published that no call waits for."""
        while self._publishing:
            await self._changed.wait()
