"""The controllers of the fake cluster: they collect what has lost its owners, and empty namespaces that are deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...dockerapi.nullable import list_of
from ...http.serving import Body
from ..api.resources import CLAIMS, NAMESPACES, Resource
from .kinds import SERVICE_ACCOUNTS, Release
from .objects import FOREGROUND, Objects, is_dependent
from .store import key_of


class Controllers:
    """Follow every change, and do what it asks for."""

    def __init__(self, objects: Objects, release: Release) -> None:
        self._objects = objects
        self._kinds = {kind.plural: kind for kind in release.kinds}

    async def run(self) -> None:
        """Work for ever."""
        seen = -1
        while True:
            seen = self._objects.store.version
            self._serve_namespaces()
            self._collect()
            self._bind_claims()
            await self._objects.store.wait(seen)

    def _all(self) -> Iterator[tuple[Resource, Body]]:
        for plural, object in self._objects.store.everything():
            yield self._kinds[plural], object

    def _collect(self) -> None:
        everything = list(self._all())
        uids = {object["metadata"]["uid"] for _, object in everything}
        for kind, object in everything:
            owners: list[dict[str, Any]] = list_of(object["metadata"].get("ownerReferences"))
            if owners and not any(owner["uid"] in uids for owner in owners):
                self._delete(kind, object)
            if FOREGROUND in list_of(object["metadata"].get("finalizers")):
                self._finish_foreground(kind, object, everything)

    def _finish_foreground(self, kind: Resource, owner: Body, everything: list[tuple[Resource, Body]]) -> None:
        """Delete the dependents of an object, and once they are gone, the object."""
        uid = owner["metadata"]["uid"]
        dependents = [(each, object) for each, object in everything if is_dependent(object, uid)]
        for each, object in dependents:
            self._delete(each, object)
        if not any(self._objects.store.get(each, key_of(object)) for each, object in dependents):
            rest = [each for each in owner["metadata"]["finalizers"] if each != FOREGROUND]
            patch = {"metadata": {"finalizers": rest or None}}
            self._objects.patch(kind, key_of(owner), patch, "application/merge-patch+json")

    def _delete(self, kind: Resource, object: Body) -> None:
        if "deletionTimestamp" not in object["metadata"] and self._objects.store.get(kind, key_of(object)) is not None:
            self._objects.delete(kind, key_of(object), {})

    def _serve_namespaces(self) -> None:
        store = self._objects.store
        for namespace in store.all(NAMESPACES):
            name = namespace["metadata"]["name"]
            if "deletionTimestamp" not in namespace["metadata"]:
                if store.get(SERVICE_ACCOUNTS, (name, "default")) is None:
                    self._objects.create(SERVICE_ACCOUNTS, name, {"metadata": {"name": "default"}})
                continue
            inside = [each for each in self._all() if each[1]["metadata"].get("namespace") == name]
            for kind, object in inside:
                self._delete(kind, object)
            if not any(each[1]["metadata"].get("namespace") == name for each in self._all()):
                store.remove(NAMESPACES, ("", name))

    def _bind_claims(self) -> None:
        for claim in self._objects.store.all(CLAIMS):
            if claim["status"]["phase"] == "Pending":
                spec = claim["spec"]
                bound = claim | {"spec": {**spec, "volumeName": f"pvc-{claim['metadata']['uid']}"}}
                status = {
                    "phase": "Bound",
                    "accessModes": spec["accessModes"],
                    "capacity": spec["resources"]["requests"],
                }
                self._objects.store.put(CLAIMS, bound | {"status": status})
