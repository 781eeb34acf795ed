"""What there is in the fake cluster, every change of it, and what has been forgotten of these.

An object is never changed in place: a change makes a new one, so that old versions stay what they were.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import trio

from ...http.serving import Body
from ..api.resources import Resource

Key: TypeAlias = tuple[str, str]
"""The namespace ("" for none) and the name of an object."""
_FIRST: Final = 100
_MOST_CHANGES: Final = 100_000
"""The changes that are kept; older ones are forgotten as by a compaction."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an object; `before` and `object` are its states, of which one may be None."""

    version: int
    plural: str
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    before: Body | None
    object: Body


def key_of(object: Body) -> Key:
    """Return where an object belongs."""
    metadata = object["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


class Store:
    """The objects by their kinds, in all their versions since `oldest`."""

    def __init__(self) -> None:
        self.version = _FIRST
        self.oldest = _FIRST
        self._objects: dict[str, dict[Key, Body]] = {}
        self._changes = deque[Change]()
        self._changed = trio.Event()

    def get(self, resource: Resource, key: Key) -> Body | None:
        """Return an object; None if there is none."""
        return self._objects.get(resource.plural, {}).get(key)

    def all(self, resource: Resource, namespace: str = "") -> list[Body]:
        """Return the objects of a kind, of one namespace or of all, by their names."""
        there = self._objects.get(resource.plural, {})
        return [there[key] for key in sorted(there) if namespace in ("", key[0])]

    def everything(self) -> Iterator[tuple[str, Body]]:
        """Yield every object with its plural."""
        for plural, there in list(self._objects.items()):
            for object in list(there.values()):
                yield plural, object

    def put(self, resource: Resource, object: Body) -> Body:
        """Keep an object in a new version, and return it; one that doesn't differ stays as it is."""
        there = self._objects.setdefault(resource.plural, {})
        key = key_of(object)
        before = there.get(key)
        if before is not None and _unversioned(before) == _unversioned(object):
            return before
        kept = self._versioned(object)
        there[key] = kept
        self._add(Change(self.version, resource.plural, "ADDED" if before is None else "MODIFIED", before, kept))
        return kept

    def remove(self, resource: Resource, key: Key) -> None:
        """Remove an object, if it is there."""
        before = self._objects.get(resource.plural, {}).pop(key, None)
        if before is not None:
            gone = self._versioned(before)
            self._add(Change(self.version, resource.plural, "DELETED", before, gone))

    def _versioned(self, object: Body) -> Body:
        self.version += 1
        made = copy.deepcopy(object)
        made["metadata"]["resourceVersion"] = str(self.version)
        return made

    def _add(self, change: Change) -> None:
        self._changes.append(change)
        while len(self._changes) > _MOST_CHANGES:
            self.oldest = self._changes.popleft().version
        self._changed.set()
        self._changed = trio.Event()

    def compact(self) -> None:
        """Forget all versions but the present ones."""
        self._changes.clear()
        self.oldest = self.version

    def at(self, resource: Resource, namespace: str, version: int) -> list[Body]:
        """Return the objects of a kind as they were in a version that is not forgotten, by their names."""
        there = {key_of(each): each for each in self.all(resource, namespace)}
        for change in reversed(self._changes):
            if change.version <= version:
                break
            key = key_of(change.object)
            if change.plural == resource.plural and namespace in ("", key[0]):
                there.pop(key, None)
                if change.before is not None:
                    there[key] = change.before
        return [there[key] for key in sorted(there)]

    def since(self, version: int) -> list[Change]:
        """Return the changes after a version that is not forgotten."""
        newer: list[Change] = []
        for change in reversed(self._changes):
            if change.version <= version:
                break
            newer.append(change)
        return newer[::-1]

    async def wait(self, version: int) -> None:
        """Wait for a version after this one."""
        while self.version <= version:
            await self._changed.wait()


def _unversioned(object: Body) -> Body:
    return object | {"metadata": {k: v for k, v in object["metadata"].items() if k != "resourceVersion"}}
