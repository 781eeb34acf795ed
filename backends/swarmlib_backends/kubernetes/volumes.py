"""The named volumes of a namespace: each is a PersistentVolumeClaim, made by a storage class of the cluster.

A claim holds what its volume was created with. It belongs to no container, and stays until it is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from swarmlib import BadAnswer, Conflict, NotFound, SwarmError

from ..dockerapi import schema
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.schema import Wrong
from ..dockerapi.status import refusal
from . import annotated
from .api.client import Api
from .api.errors import reason_of
from .api.resources import CLAIMS
from .following import Body, Following
from .pods import names
from .pods.claims import Claim

KIND: Final = "volume"
"""The kind (`names.KIND`) of the claims that are volumes."""
_KEY: Final = f"{names.PREFIX}volume"
"""The annotation that holds a volume."""
_TEXTS: Final = schema.reader({"*": "string"})


@dataclass(frozen=True)
class Volume:
    """A volume. `created` is seconds since the epoch; `status` is what the cluster says of its claim."""

    name: str
    created: float
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None
    status: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False)
    removing: bool = field(default=False, compare=False)
    """Whether the cluster is about to remove it."""

    def claim(self, claim: Claim) -> Body:
        """Return the PersistentVolumeClaim that it is."""
        data = {"name": self.name, "created": self.created, "labels": self.labels, "options": self.options}
        return {
            "apiVersion": "v1",
            "kind": CLAIMS.kind,
            "metadata": {
                "name": names.volume_name(self.name),
                "labels": names.fitting_labels(self.labels or {}) | names.own_labels(KIND),
                "annotations": annotated.annotation(_KEY, data),
            },
            "spec": claim.spec(),
        }


def read(claim: Body) -> Volume:
    """Return the volume that a claim is. Raises `BadAnswer` if it is none."""
    about = claim["metadata"]
    try:
        data = annotated.annotated(claim, _KEY)
        found = Volume(
            annotated.text_of(data, "name"),
            annotated.moment_of(data, "created"),
            _texts(data, "labels"),
            _texts(data, "options"),
            _status(claim),
            "deletionTimestamp" in about,
        )
        if names.volume_name(found.name) != about["name"]:
            raise Wrong(f"is the volume {found.name!r:.80}, which has another claim")
        return found
    except (Wrong, SwarmError) as exc:
        raise BadAnswer(f"the PersistentVolumeClaim {about['name']} is not a volume: {exc}") from exc


def _texts(data: Any, name: str) -> dict[str, str] | None:
    found = annotated.field(data, name)
    return None if found is None else dict_of(_TEXTS(found))


def _status(claim: Body) -> dict[str, Any]:
    """Return what an inspection shows of a claim besides what every volume has."""
    spec, status = dict_of(claim.get("spec")), dict_of(claim.get("status"))
    shown = {
        "Claim": claim["metadata"]["name"],
        "Phase": status.get("phase"),
        "Capacity": dict_of(status.get("capacity")).get("storage"),
        "StorageClass": spec.get("storageClassName"),
        "AccessModes": ",".join(map(str, list_of(spec.get("accessModes")))),
    }
    return {name: value for name, value in shown.items() if value}


class Volumes(Following):
    """The named volumes of a namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        super().__init__(api, namespace, (CLAIMS,))
        self.listeners: list[Callable[[Volume, bool], None]] = []
        """Are told of each volume that is new, and of its removal (True)."""
        self._made: dict[str, Volume] = {}
        """By the names of the claims."""

    def __iter__(self) -> Iterator[Volume]:
        return iter(self._made.values())

    def note(self, body: Body, *, gone: bool) -> None:
        """See `Following`."""
        if body["metadata"]["labels"].get(names.KIND) != KIND:
            return
        name = body["metadata"]["name"]
        before = self._made.get(name)
        if gone:
            self._made.pop(name, None)
        else:
            try:
                self._made[name] = read(body)
            except BadAnswer as exc:
                self._made.pop(name, None)
                self.left_out(exc)
        after = self._made.get(name)
        for volume, removed in ((before, True), (after, False)):
            if volume is not None and before != after and self.complete:
                for listener in self.listeners:
                    listener(volume, removed)

    def named(self, name: str) -> Volume | None:
        """Return the volume with this name; None if there is none."""
        return self._made.get(names.volume_name(name))

    async def make(self, volume: Volume, claim: Claim) -> Volume:
        """Make a volume, or return the one that has its name.

        Raises:
            Conflict: that one is being removed. SwarmError: the cluster's error.
        """
        await self.ready()
        if self.named(volume.name) is None:
            try:
                await self.seen(await self.api.post(CLAIMS.path(self.namespace), volume.claim(claim)))
            except Conflict as exc:
                if reason_of(exc) != "AlreadyExists":
                    raise
                await self.until(CLAIMS, lambda: self.named(volume.name) is not None, "tell of a volume")
        found = self.named(volume.name)
        if found is None or found.removing:
            raise refusal(409, f"create {volume.name}: the volume of this name is being removed")
        return found

    async def remove(self, volume: Volume) -> None:
        """Remove a volume. It is gone when this returns. Raises `SwarmError`: the cluster's error."""
        with suppress(NotFound):
            await self.api.delete(CLAIMS.path(self.namespace, names.volume_name(volume.name)))
        await self.until(CLAIMS, lambda: self.named(volume.name) is None, "tell of a removal")
