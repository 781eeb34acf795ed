"""Pulling images from the simulated registry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..dockerapi.operations import ImageCreate
from ..dockerapi.references import is_digest, normal, repository, tagged
from . import pulled
from .engine import Engine
from .image import Image
from .registries import DOCKER_HUB, unreachable


async def pull_asked(engine: Engine, asked: ImageCreate, tell: Callable[[Any], Awaitable[object]]) -> None:
    """Pull what the args `fromImage` and `tag` name, for the platform that `platform` names.

    Raises:
        SwarmError: they name no image, or a platform that there are no images of; no registry can be reached.
    """
    name, tag = asked.from_image.removesuffix(":"), asked.tag
    ref = f"{repository(normal(name))}@{tag}" if is_digest(tag) else tagged(name, tag)
    if engine.online and asked.platform:
        pulled.check_platform(asked.platform)
    await pull(engine, ref, name, tell)


async def pull(engine: Engine, ref: str, name: str, tell: Callable[[Any], Awaitable[object]]) -> Image:
    """Pull a normal reference, which the user wrote as `name`; what is done is told.

    Raises:
        SwarmError: no registry can be reached.
    """
    if not engine.online:
        raise unreachable(DOCKER_HUB)
    tag = ref.removeprefix(repository(ref)).lstrip(":@")
    shown = repository(ref) if "/" in ref else f"library/{repository(ref)}"
    await tell({"status": f"Pulling from {shown}", "id": tag})
    found = engine.images.tags.get(ref)
    if found is None:
        found = engine.images.add_runnable(ref)
        engine.images.tag(found, f"{repository(ref)}@{pulled.digest(ref)}")
        layer = found.layers[0].removeprefix("sha256:")[:12]
        for step in ("Pulling fs layer", "Download complete", "Pull complete"):
            await tell({"status": step, "progressDetail": {}, "id": layer})
        result = f"Downloaded newer image for {ref}"
    else:
        result = f"Image is up to date for {ref}"
    await tell({"status": f"Digest: {pulled.digest(ref)}"})
    await tell({"status": f"Status: {result}"})
    engine.tell_of("image", "pull", ref, {"name": name.partition(":")[0]})
    return found
