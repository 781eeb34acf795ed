"""The objects of one tenant, looked up at the engine by what the tenant calls them.

A name, an id and the beginning of an id mean the tenant's objects only: what others have is as if it did not exist.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from swarmlib import Ambiguous, Conflict, Invalid, Meta, NotFound, Request, Sender, Verb
from swarmlib.asking import call

from ..dockerapi import references
from ..dockerapi.filters import encode
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal
from .names import normal
from .tenants import Tenancy

_VOLUME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_ID: Final = re.compile(r"[0-9a-f]{64}")
_BEGINNING: Final = re.compile(r"[0-9a-f]{1,63}")

Found = Mapping[str, Any]
"""What the engine says of an object when it is inspected."""


def check_volume(name: str) -> str:
    """Return the name of a volume. Raises the engine's error if it can't be one."""
    if _VOLUME.fullmatch(name):
        return name
    raise refusal(
        400,
        f'create {name}: "{name}" includes invalid characters for a local volume name, only '
        '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
    )


class Own:
    """Looks up the objects of a tenant.

    sender: where the engine is asked. meta: what is known about the requests that ask it.
    """

    def __init__(self, tenancy: Tenancy, sender: Sender, meta: Meta) -> None:
        self._tenancy = tenancy
        self._names = tenancy.names
        self._sender = sender
        self._meta = meta

    async def container(self, ref: str) -> Found | None:
        """Return a container by its name, its id, or an unambiguous beginning of its id; None if there is none."""
        return await self._find("containers", ref)

    async def network(self, ref: str) -> Found | None:
        """Return a network in the same way."""
        return await self._find("networks", ref)

    async def volume(self, ref: str) -> Found | None:
        """Return a volume by its name. Those without a name of their own have an id in its place."""
        return await self._by("volumes", self._names.real(ref)) or await self._by_id("volumes", ref)

    async def volume_to_use(self, ref: str) -> str | None:
        """Return the name at the engine of a volume for a container; None if there is none yet.

        Raises:
            Conflict: the engine has one of this name that is not the tenant's.
            SwarmError: no volume can have this name.
        """
        real = self._names.real(check_volume(ref))
        if (found := await self.volume(ref)) is None and await self.inspected("volumes", real):
            raise Conflict(f"the volume {ref} is in use: choose another name")
        return None if found is None else str(found["Name"])

    async def places_of_volumes(self, image: str) -> Collection[str]:
        """Return where the containers of an image have volumes of their own."""
        return dict_of(dict_of((await self.inspected("images", image) or {}).get("Config")).get("Volumes")).keys()

    async def exposed_ports(self, image: str) -> Collection[str]:
        """Return the ports that an image exposes."""
        return dict_of(dict_of((await self.inspected("images", image) or {}).get("Config")).get("ExposedPorts")).keys()

    async def exec(self, id: str) -> Found | None:
        """Return a command in a container by its id."""
        found = await self.inspected("exec", id) if _ID.fullmatch(id) else None
        owner = found and await self._by_id("containers", str(found.get("ContainerID")))
        return found if owner else None

    async def image(self, ref: str) -> str:
        """Return the reference at the engine of an image that the tenant may use: its own of this name, a shared one,
        or one that it knows by its id; a reference that nothing has if there is none.

        Raises:
            SwarmError: it is no reference, as the engine says that.
        """
        name = normal(ref)
        real = self._names.real_image(name)
        if references.is_id(name) or references.is_digest(name):
            return name if self.sees(await self.inspected("images", name) or {}) else real
        implied = ":latest" if name == f"{ref}:latest" and not _BEGINNING.fullmatch(ref) else ""
        if await self.inspected("images", real):
            return real.removesuffix(implied)
        shared = self._tenancy.is_shared(name)
        if shared and not (_BEGINNING.fullmatch(ref) and await self.inspected("images", name) is None):
            return name.removesuffix(implied)
        if (id := await self._image_beginning_with(ref)) is not None:
            return id
        return name.removesuffix(implied) if shared else real

    async def _image_beginning_with(self, ref: str) -> str | None:
        if not _BEGINNING.fullmatch(ref.removeprefix("sha256:")):
            return None
        images = await self._ask(Verb.LS, ("images",), {"all": "1"})
        ids = [str(each["Id"]) for each in images if self.sees(each)]
        fitting = [id for id in ids if id.removeprefix("sha256:").startswith(ref.removeprefix("sha256:"))]
        return fitting[0] if len(fitting) == 1 else None

    def sees(self, image: Found) -> bool:
        """Return whether the tenant may see an image: one of its references is shared, or its own."""
        return any(map(self._tenancy.sees, (*list_of(image.get("RepoTags")), *list_of(image.get("RepoDigests")))))

    async def listed(self, kind: str, **params: str) -> list[Any]:
        """Return the tenant's containers or networks, as the engine lists them."""
        filters = encode({"label": [self._names.label]})
        found = await self._ask(Verb.LS, (kind,), {**params, "filters": filters})
        return [each for each in found if self.owns(kind, each)]

    def owns(self, kind: str, found: Found) -> bool:
        """Return whether an object that the engine inspected or listed is the tenant's: by its label, and by its name.

        Of a container, its label may also come from an image, which anybody may have made.
        """
        labels = dict_of(found.get("Config")).get("Labels") if "Config" in found else found.get("Labels")
        named = found.get("Names") or [found.get("Name") or ""]
        return self._names.owns(labels) and (kind == "volumes" or any(map(self._names.is_own, named)))

    async def _find(self, kind: str, ref: str) -> Found | None:
        if found := await self._by_id(kind, ref) or await self._by(kind, self._names.real(ref)):
            return found
        if not _BEGINNING.fullmatch(ref):
            return None
        listed = await self.listed(kind, **({"all": "1"} if kind == "containers" else {}))
        ids = [str(each["Id"]) for each in listed if str(each["Id"]).startswith(ref)]
        return await self._by_id(kind, ids[0]) if len(ids) == 1 else None

    async def _by_id(self, kind: str, ref: str) -> Found | None:
        return await self._by(kind, ref) if _ID.fullmatch(ref) else None

    async def _by(self, kind: str, real: str) -> Found | None:
        found = await self.inspected(kind, real)
        return found if found and self.owns(kind, found) else None

    async def inspected(self, kind: str, real: str) -> Found | None:
        """Return what the engine says of an object, whose ever it is, by its id or its name at the engine."""
        try:
            return dict_of(await self._ask(Verb.GET, (kind, real), {}))
        except (NotFound, Invalid, Conflict, Ambiguous):  # an engine may say of an odd name that it is invalid
            return None

    async def _ask(self, verb: Verb, path: tuple[str, ...], params: Mapping[str, str]) -> Any:
        return (await call(self._sender, Request(verb, path, params, meta=self._meta))).value
