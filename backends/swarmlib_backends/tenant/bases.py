"""The images that a tenant's build uses: its own and the shared ones, which are pulled if they are missing."""

from __future__ import annotations

import base64
import binascii
from functools import partial
from typing import Any, Final, cast

import orjson

from swarmlib import Invalid, NotFound, Request, Verb

from ..dockerapi import references, strictjson
from ..dockerapi.nullable import dict_of, list_of
from ..image_patterns import HUB, qualified
from ..policy import names
from ..policy.demands import Demand
from . import answers
from .call import Call
from .recipes import Base

_HUB_KEY: Final = f"https://index.{HUB}/v1/"
"""What clients call Docker Hub among their credentials."""


class Bases:
    """Finds the images of one build.

    pull: whether shared images are pulled although they are there. platform: of images that say none.
    """

    def __init__(self, call: Call, *, pull: bool, platform: str) -> None:
        self._call = call
        self._pull_all = pull
        self._platform = platform
        self._found: dict[tuple[str, str], Base] = {}

    async def base(self, ref: str, place: str, platform: str = "") -> Base:
        """Return an image by its id; see `recipes.Images`."""
        key = (ref, platform or self._platform)
        if key not in self._found:
            self._found[key] = await self._base(ref, place, key[1])
        return self._found[key]

    async def _base(self, ref: str, place: str, platform: str) -> Base:
        own = self._call.own
        real = await own.image(ref)
        shared = not (real.startswith(self._call.names.repositories) or _is_id(real))
        found = None if shared and self._pull_all else await own.inspected("images", real)
        if found is None and shared:
            await self._pull(references.normal(real), platform)
            found = await own.inspected("images", real)
        if found is None:
            if not shared and not _is_id(ref):
                self._call.demand(names.reference(names.IMAGES, ref, place))
            raise NotFound(f"No such image: {ref}")
        config = dict_of(found.get("Config"))
        environment = [str(each).partition("=") for each in list_of(config.get("Env"))]
        variables = {name: value for name, _, value in environment}
        return Base(str(found["Id"]), variables, list_of(config.get("OnBuild")))

    async def check_as_written(self, ref: str, place: str) -> None:
        """See `recipes.Images`."""
        if _is_id(ref) and self._call.own.sees(await self._call.own.inspected("images", ref) or {}):
            return
        self._call.demand(names.reference(names.IMAGES, ref, place))

    def check_url(self, url: str, place: str) -> None:
        """See `recipes.Images`."""
        self._call.demand(Demand("urls", url, place))

    async def _pull(self, name: str, platform: str) -> None:
        """Pull an image, and tell the client how that goes on."""
        call = self._call
        auth = _credentials(call.request.meta.header("x-registry-config"), name)
        meta = call.meta.replace(headers=(("x-registry-auth", auth),) if auth else ())
        params = {"fromImage": name, **({"platform": platform} if platform else {})}
        pull = Request(Verb.SPAWN, ("images",), params, meta=meta)
        await call.progress(pull, partial(answers.PROGRESS, call.names))


def _is_id(ref: str) -> bool:
    return references.is_id(ref) or references.is_digest(ref)


def _credentials(given: str | None, image: str) -> str | None:
    """Return the header with the credentials for an image's registry; None if the client has sent none.

    given: the header with those for all registries.

    Raises:
        Invalid: it can't be read.
    """
    if not given:
        return None
    try:
        raw = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
    except (binascii.Error, ValueError) as exc:
        raise Invalid("the header X-Registry-Config is not base64") from exc
    known: Any = strictjson.read(raw, "the header X-Registry-Config")
    registry = qualified(image).partition("/")[0]
    if not isinstance(known, dict):
        raise Invalid("the header X-Registry-Config must be an object")
    found = cast("dict[str, Any]", known).get(_HUB_KEY if registry == HUB else registry)
    return base64.urlsafe_b64encode(orjson.dumps(found)).decode() if found else None
