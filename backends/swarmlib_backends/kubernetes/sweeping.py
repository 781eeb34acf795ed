"""What crashed runs have left in a namespace: objects of containers whose record doesn't exist.

The cluster removes them by itself, as the record owns them; but not where its controllers were down, or someone removed
a record without what it owns.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from swarmlib import BadAnswer, Conflict, Denied, NotFound, Unsupported

from .api.client import Api
from .api.lists import listed
from .api.resources import (
    CLAIMS,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    NETWORK_POLICIES,
    PODS,
    SECRETS,
    SERVICES,
    SLICE_VERSIONS,
    Resource,
    served,
)
from .pods import names

_OURS: Final = {"labelSelector": names.selector({names.MANAGED_BY: names.OWNER})}


@dataclass(frozen=True)
class Orphan:
    """An object that nothing needs."""

    resource: Resource
    name: str
    uid: str

    @property
    def label(self) -> str:
        """What people know it by."""
        return f"{self.resource.plural}/{self.name}"


@dataclass(frozen=True)
class Found:
    """The orphans, and why the account may not look at some resources, by their plurals."""

    orphans: list[Orphan]
    unseen: Mapping[str, str]


async def orphans(api: Api, namespace: str) -> Found:
    """Find what is left. Records are looked at last, since each is older than what it owns.

    Raises:
        SwarmError: the records can't be listed, or the cluster gives no answer.
    """
    objects: list[_Object] = []
    unseen: dict[str, str] = {}
    for resource in (PODS, SERVICES, ENDPOINT_SLICES, NETWORK_POLICIES, SECRETS, CLAIMS, CONFIG_MAPS):
        try:
            objects += await _listed(api, namespace, resource)
        except Unsupported:
            pass  # a cluster without this resource has none of them
        except Denied as exc:
            unseen[resource.plural] = exc.message
    records = await _listed(api, namespace, CONFIG_MAPS)
    there = {each.metadata.uid for each in records} | {each.metadata.name for each in records}
    left = [each for each in objects if not each.needs <= there]
    return Found([Orphan(each.resource, each.metadata.name, each.metadata.uid) for each in left], unseen)


class _Owner(msgspec.Struct, frozen=True):
    kind: str
    uid: str


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    uid: str
    labels: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None


@dataclass(frozen=True)
class _Object:
    resource: Resource
    metadata: _Metadata

    @property
    def needs(self) -> set[str]:
        """The uids of the ConfigMaps that own it, and the name of its container's record."""
        uids = {each.uid for each in self.metadata.owner_references or () if each.kind == CONFIG_MAPS.kind}
        container = (self.metadata.labels or {}).get(names.CONTAINER)
        return uids | ({names.record_name(container)} if container else set())


async def _listed(api: Api, namespace: str, resource: Resource) -> list[_Object]:
    """List the objects that are swarmlib's, in the version that the cluster serves.

    Raises:
        SwarmError: the cluster's error.
    """
    if resource is ENDPOINT_SLICES:
        resource = await served(api, resource, SLICE_VERSIONS)
    found, _ = await listed(api, resource.path(namespace), _OURS)
    try:
        return [_Object(resource, msgspec.convert(each.get("metadata"), _Metadata)) for each in found]
    except msgspec.ValidationError as exc:
        raise BadAnswer(f"the cluster gave a malformed list of {resource.plural}: {exc}") from exc


async def remove(api: Api, namespace: str, orphan: Orphan) -> None:
    """Remove an orphan; one that is gone, or has made place for another object of its name, counts as removed.

    Raises:
        SwarmError: the cluster's error.
    """
    options: dict[str, Any] = {"propagationPolicy": "Background", "preconditions": {"uid": orphan.uid}}
    with suppress(NotFound, Conflict):
        await api.delete(orphan.resource.path(namespace, orphan.name), options)
