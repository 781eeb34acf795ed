"""The images that a namespace's containers can be made of: those of registries, and those with names of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from ...dockerapi.platforms import HERE, Platform
from ...registry.client import Registries
from ...registry.credentials import Credentials
from ...registry.images import Images, Known
from .built import BuiltImage, BuiltImages


class NamedImages(Images):
    """What is known of images.

    Attributes:
        built: those with names of their own.
        settling: waits until images are known that are being published.
    """

    def __init__(self, registries: Registries, built: BuiltImages, now: Callable[[], float]) -> None:
        super().__init__(registries, now)
        self.built = built
        self.settling: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint

    async def settled(self) -> None:
        """See `Images`."""
        await self.settling()

    def known(self) -> list[Known]:
        """See `Images`."""
        built = sorted(map(_known, self.built), key=lambda each: each.at)
        named = {each.name for each in built}
        return [*(each for each in super().known() if each.name not in named), *built]

    async def named(self, ref: str) -> Known | None:
        """See `Images`."""
        await self.settled()
        built = self.built.find(ref)
        return await super().named(ref) if built is None else _known(built)

    async def find(self, reference: str, credentials: Credentials | None = None, platform: Platform = HERE) -> Known:
        """See `Images`. An image with a name of its own hides the registry's."""
        await self.settled()
        built = self.built.find(reference)
        return await super().find(reference, credentials, platform) if built is None else _known(built)

    async def pull(self, reference: str, credentials: Credentials, platform: Platform) -> Known:
        """See `Images`. No other image has its name afterwards."""
        found = await super().find(reference, credentials, platform)
        if (built := self.built.find(found.name)) is not None and built.name == found.name:
            await self.built.remove(built)
        return found


def _known(built: BuiltImage) -> Known:
    return Known(built.name, built.found, Credentials(), HERE, built.made, built.id, built.reference)
