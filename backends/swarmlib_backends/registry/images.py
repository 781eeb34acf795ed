"""Images as their registries know them, for backends whose containers are made by others, who pull them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import trio

from swarmlib import BadAnswer, Denied, NotFound, SwarmError, TimedOut, Unavailable

from ..dockerapi.platforms import HERE, Platform
from ..dockerapi.references import full, id_beginning, is_digest, looked_for, normal, normal_or_none, repository
from .client import Found, Registries
from .credentials import Credentials

_FRESH_SECONDS: Final = 60.0
_KEPT: Final = 1000


@dataclass(frozen=True)
class Known:
    """An image, as it was found last, by whom, and when (seconds since the epoch)."""

    name: str
    """Its normal reference."""
    found: Found
    credentials: Credentials
    platform: Platform
    at: float
    id: str = ""
    """As it is shown, if that is not the digest by which its registry knows it."""
    reference: str = ""
    """By which it is pulled, if that is not its name."""

    @property
    def shown_id(self) -> str:
        """Its id."""
        return self.id or self.found.digest

    @property
    def pulled(self) -> str:
        """The reference, with a digest, by which it is pulled."""
        return self.reference or f"{repository(self.name)}@{self.found.digest}"

    def serves(self, credentials: Credentials | None, platform: Platform, now: float) -> bool:
        """Return whether it answers a question of these credentials (None: of any) now."""
        same = credentials in (None, self.credentials) and platform == self.platform
        return same and now - self.at < _FRESH_SECONDS


class Images:
    """What is known of images. It is asked for again when it is a minute old: a tag may have moved."""

    def __init__(self, registries: Registries, now: Callable[[], float]) -> None:
        self._registries = registries
        self._now = now
        self._known: OrderedDict[str, Known] = OrderedDict()
        """By normal references, the one that was asked for last at the end."""

    async def settled(self) -> None:
        """Wait until images are known that are being published."""
        await trio.lowlevel.checkpoint()

    def known(self) -> list[Known]:
        """Return the images that were asked for, the newest last."""
        return list(self._known.values())

    async def named(self, ref: str) -> Known | None:
        """Return an image that is among the known ones by its name or its id; None if there is none."""
        await self.settled()
        with suppress(SwarmError):  # an id is no reference
            if (known := self._known.get(normal(ref))) is not None:
                return known
        return self._with_id(ref)

    def _with_id(self, ref: str) -> Known | None:
        """Return the only image that has this id, or one that begins so; None for none, or more than one."""
        beginning = id_beginning(ref)
        found = [each for each in self._known.values() if beginning and each.found.digest.startswith(beginning)]
        return found[-1] if len({each.found.digest for each in found}) == 1 else None

    def credentials(self, reference: str) -> Credentials:
        """Return the credentials with which an image was found; nobody's for one that was not looked for."""
        known = self._known.get(normal(reference))
        return Credentials() if known is None else known.credentials

    async def find(self, reference: str, credentials: Credentials | None = None, platform: Platform = HERE) -> Known:
        """Return an image that its registry has, or that is known otherwise. An id is that of a known image.

        credentials: None for those with which it was found before, if it was.

        Raises:
            NotFound, Denied, BadAnswer, TimedOut, Unavailable: as `Registries.find`.
        """
        if normal_or_none(reference) not in self._known and (known := self._with_id(reference)) is not None:
            return replace(known, reference=known.pulled)
        if is_digest(reference):
            raise NotFound(f"No such image: {reference}")
        name = normal(reference)
        before = self._known.get(name)
        if before is not None and before.serves(credentials, platform, self._now()):
            return before
        used = credentials or (before.credentials if before is not None else Credentials())
        found = await self._registries.find(full(name), used, platform)
        self._known[name] = known = Known(name, found, used, platform, self._now())
        self._known.move_to_end(name)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return known

    async def pull(self, reference: str, credentials: Credentials, platform: Platform) -> Known:
        """Return an image that its registry has. Raises what `find` raises."""
        return await self.find(reference, credentials, platform)

    async def of_container(self, reference: str, platform: Platform) -> tuple[Known | None, str]:
        """Return the image of a container to be, or None with a warning: nodes may have images that no registry has.

        Raises:
            NotFound: its registry does not have it, or does not show it to everybody; a client pulls it then, with its
            credentials.
            BadAnswer: its registry's answers are malformed.
        """
        try:
            return await self.find(reference, platform=platform), ""
        except (Denied, NotFound) as exc:
            raise NotFound(f"No such image: {looked_for(reference)}") from exc
        except BadAnswer:
            raise
        except (TimedOut, Unavailable) as exc:
            return None, f"the registry of {reference} can't be asked, so that the image's command is not known: {exc}"
