"""What is done to images by a builder: they are built, loaded, imported, saved and pushed by it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import trio

from swarmlib import Ack, NotFound, Reply, Request, Server, Tap, Unsupported
from swarmlib.supervision import supervised

from ...calls import forward
from ...dockerapi.nullable import dict_of
from ...dockerapi.operations import ImageBuild, ImageGetAll, ImageImport, ImagePush
from ...dockerapi.references import id_beginning, is_digest, normal, repository, tagged
from ...enginekit.events import Events
from ...enginekit.operations import answers, ref_of
from ...enginekit.refusals import no_such_place
from ...stream_wrappers import CountingWrapper
from .builder import Builder
from .images import NamedImages

_NEEDED: Final = (
    "a cluster can't {what} by itself: start kubernetes with a builder and a registry, such as "
    "--builder 'docker unix:///var/run/docker.sock' --registry registry.example.com/images"
)
_LOADED: Final = re.compile(r"Loaded image(?: ID)?: (\S+)\n?")
_BUILDKIT: Final = re.compile(r"(?:/v[0-9.]+)?/(session|grpc)(?:\?.*)?")
"""The targets of BuildKit's own connections; nothing else that has no row of its own is forwarded."""


class Building:
    """Answers what needs a builder; None: there is none, and all of it is refused."""

    def __init__(self, builder: Builder | None, images: NamedImages, events: Events, nursery: trio.Nursery) -> None:
        self._builder = builder
        self._images = images
        self._events = events
        self._nursery = nursery

    def _needed(self, what: str) -> Builder:
        if self._builder is None:
            raise Unsupported(_NEEDED.format(what=what))
        return self._builder

    @answers("ImageBuild")
    async def _build(self, request: Request) -> None:
        builder, asked, made = self._needed("build images"), ImageBuild.of(request), _Made()
        ack = await builder.relay(request, made.see, request.reply)
        named = [*dict.fromkeys(normal(each) for each in asked.t or () if each)]
        await self._publish(builder, named or ([""] if made.id else []), made.id)
        await forward(ack, request.reply)

    @answers("ImageLoad")
    async def _load(self, request: Request) -> None:
        builder, made = self._needed("load images"), _Made()
        ack = await builder.relay(request, made.see, request.reply)
        for ref in made.loaded:
            is_id = is_digest(ref)
            await self._publish(builder, [""] if is_id else [normal(ref)], ref if is_id else "")
        await forward(ack, request.reply)

    @answers("ImageImport")
    async def _import(self, request: Request) -> None:
        builder, asked, made = self._needed("import images"), ImageImport.of(request), _Made()
        ack = await builder.relay(request, made.see, request.reply)
        await self._publish(builder, [tagged(asked.repo, asked.tag)] if asked.repo else [""], made.id)
        await forward(ack, request.reply)

    async def _publish(self, builder: Builder, named: Sequence[str], id: str) -> None:
        for name in named:
            image = await builder.publish(name, id)
            self._events.tell_object("image", "tag", image.id, {"name": name} if name else {})

    @answers("ImagePush")
    async def _push(self, request: Request) -> Any:
        """Push an image that has a name of its own to where the name says, with the client's credentials."""
        builder, tag = self._needed("push images"), ImagePush.of(request).tag
        name = repository(normal(ref_of(request)))
        wanted = [each for each in self._images.built.of_repository(name) if not tag or each.name == tagged(name, tag)]
        if not wanted:
            raise NotFound(f"An image does not exist locally with the tag: {name}")
        for each in wanted:
            await builder.obtain(each.name, each.id, each.reference)
        return await Server.forward(request, builder.sender)

    @answers("ImageGet", "ImageGetAll")
    async def _save(self, request: Request) -> Any:
        builder = self._needed("save images")
        if len(request.path) > 1:
            asked = request.replace(path=("images", await self._obtained(builder, ref_of(request)), *request.path[2:]))
        else:
            found = [await self._obtained(builder, ref) for ref in ImageGetAll.of(request).names]
            asked = request.replace(params={**request.params, "names": found})
        return await Server.forward(asked, builder.sender)

    async def _obtained(self, builder: Builder, ref: str) -> str:
        """Have an image at the builder, and return what that calls it: its ids may be others. Raises `SwarmError`."""
        known = await self._images.find(ref)
        await builder.obtain(known.name, known.id, known.pulled)
        return await builder.id_of(known.name or known.pulled) if id_beginning(ref) else ref

    @answers("BuildPrune")
    async def _prune(self, request: Request) -> Any:
        if self._builder is None:  # nor is there a cache
            return {"CachesDeleted": None, "SpaceReclaimed": 0}
        return await Server.forward(request, self._builder.sender)

    @answers("Whole")
    async def _whole(self, request: Request) -> Any:
        """Forward BuildKit's connections; what was built is known when the one by which it was asked for ends."""
        match = _BUILDKIT.fullmatch(str(request.params["target"]))
        if match is None:
            raise no_such_place("kubernetes", request)
        builder = self._needed("build images")
        if match[1] == "grpc":
            before = await builder.named()

            def ended() -> None:
                self._nursery.start_soon(supervised, "kubernetes: images by BuildKit", builder.publish_new, before)

            request = request.replace(reply=Tap(request.reply, lambda reply: _noticed(reply, ended)))
        return await Server.forward(request, builder.sender)


def _noticed(reply: Reply, ended: Any) -> Reply:
    if not isinstance(reply, Ack) or reply.stream is None:
        return reply
    return reply.replace(stream=_Noticed(reply.stream, ended).alike)


class _Noticed(CountingWrapper):
    """A stream whose end is noticed."""

    def __init__(self, inner: trio.abc.ReceiveStream, ended: Any) -> None:
        super().__init__(inner)
        self._ended = ended

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        ended, self._ended = self._ended, lambda: None
        try:
            await super().aclose()
        finally:
            ended()


class _Made:
    """What the progress of a build, a load or an import says of the images that came of it."""

    def __init__(self) -> None:
        self.id = ""
        self.loaded: list[str] = []

    def see(self, line: dict[str, Any]) -> None:
        """Look at a line of progress."""
        aux = line.get("aux")  # BuildKit's is often a text
        if isinstance(aux, dict) and is_digest(id := str(dict_of(aux).get("ID") or "")):
            self.id = id
        for name in ("stream", "status"):  # all that a quiet build says, and an import
            if is_digest(id := str(line.get(name) or "").strip()):
                self.id = id
        if (match := _LOADED.fullmatch(str(line.get("stream") or ""))) is not None:
            self.loaded.append(match[1])
