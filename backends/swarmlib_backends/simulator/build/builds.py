"""The operation of a build: what is asked for, its progress to who asked, and what becomes of the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swarmlib import Request, SwarmError

from ...dockerapi.operations import ImageBuild
from ...enginekit.operations import answers
from ..containers import Containers
from ..engine import Engine
from ..image import Image
from ..lifecycle import Lifecycle
from ..pulled import check_platform
from ..request_fields import upload_of
from .builder import Builder, FailedStep
from .context import context_of
from .request import tags_asked


@dataclass(eq=False)
class Builds:
    """Answers what is asked of the classic builder."""

    engine: Engine
    containers: Containers
    life: Lifecycle

    @answers("ImageBuild")
    async def _build(self, request: Request) -> None:
        """Errors before the first progress are the answer; later ones are its last line, as an engine's are."""
        asked = ImageBuild.of(request)
        tags = tags_asked(asked)
        files, dockerfile = context_of(await upload_of(request), asked.dockerfile, self.engine.clock.now())
        if asked.platform:
            check_platform(asked.platform)
        progress = _Progress(request, quiet=asked.q)
        builder = Builder(self.engine, self.containers, self.life, asked, progress.tell)
        try:
            image = await builder.build(files, dockerfile)
        except SwarmError as exc:
            if not progress.begun:
                raise
            await progress.fail({"message": exc.message})
        except FailedStep as exc:
            await progress.fail({"code": exc.code, "message": str(exc)})
        else:
            await self._tag(image, tags, progress)

    async def _tag(self, image: Image, tags: list[str], progress: _Progress) -> None:
        for tag in tags:
            self.engine.images.tag(image, tag)
            self.engine.images.tell("tag", image, tag)
            await progress.tell({"stream": f"Successfully tagged {tag}\n"})
        await progress.end(image)


class _Progress:
    """What a build tells; of a quiet one nothing is sent but its image's id, and all of it if it fails."""

    def __init__(self, request: Request, *, quiet: bool) -> None:
        self._reply = request.reply
        self._quiet = quiet
        self._kept: list[dict[str, Any]] = []
        self.begun = False

    async def tell(self, line: dict[str, Any]) -> None:
        self.begun = True
        if self._quiet:
            self._kept.append(line)
        else:
            await self._reply.set(line)

    async def fail(self, detail: dict[str, Any]) -> None:
        for line in self._kept:
            await self._reply.set(line)
        await self._reply.set({"errorDetail": detail, "error": detail["message"]})

    async def end(self, image: Image) -> None:
        if self._quiet:
            await self._reply.set({"stream": f"{image.id}\n"})
