"""The owners of objects: every engine's objects by id, name and id prefix, and the list of containers ready to send.

All of it is in memory; `mirror` keeps it up to date. Finding an object costs the same with one engine as with many.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final, Generic, TypeVar

from .departed import Departed
from .node import Node
from .objects import Container, Item
from .summaries import Summaries, listed
from .swarm_mode import managers_of

_TELLING: Final = range(6, 64)
"""Digits of an id prefix that is no coincidence: it is ambiguous with an equal name of another engine's object. A whole
id has 64, and begins no other one.
"""
_DIGITS: Final = frozenset("0123456789abcdef")
_NONE: Final[Mapping[str, Container]] = {}

AnItem = TypeVar("AnItem", bound=Item)


class Table(Generic[AnItem]):
    """The objects of one kind on all engines, by id, name, and unique id prefix."""

    def __init__(self, lost: Callable[[AnItem], None] | None = None) -> None:
        """Create an empty table; `lost` is called with each item that is about to lose its names."""
        self._lost = lost
        self._by_id: dict[str, tuple[AnItem, ...]] = {}
        self._by_name: dict[str, tuple[AnItem, ...]] = {}
        self._ids: list[str] | None = None
        """The ids in order, for prefixes; None until a prefix is looked up."""

    def add(self, item: AnItem) -> None:
        """Add an object."""
        others = self._by_id.get(item.id, ())
        self._by_id[item.id] = (*others, item)
        if self._ids is not None and not others:
            insort(self._ids, item.id)
        self._name(item)

    def remove(self, item: AnItem) -> None:
        """Remove an object that was added."""
        _without(self._by_id, item.id, item)
        if self._ids is not None and item.id not in self._by_id:
            del self._ids[bisect_left(self._ids, item.id)]
        self._unname(item)

    def rename(self, item: AnItem, names: Iterable[str]) -> None:
        """Replace the names of an object that was added."""
        self._unname(item)
        item.names = tuple(names)
        self._name(item)

    def _name(self, item: AnItem) -> None:
        for name in item.names:
            self._by_name[name] = (*self._by_name.get(name, ()), item)

    def _unname(self, item: AnItem) -> None:
        if self._lost is not None:
            self._lost(item)
        for name in item.names:
            _without(self._by_name, name, item)

    def find(self, ref: str) -> tuple[AnItem, ...]:
        """Return the objects that `ref` may mean: an id, else a name, else a prefix of ids, as an engine reads it.

        Each engine decides for its own objects only: an id or a name on one engine does not hide what `ref` means on
        another. Only a short id prefix yields to a name, so that a container may be called `cafe`.
        """
        ids, names = self._by_id.get(ref, ()), self._by_name.get(ref, ())
        if not ids and not names:
            return self._beginning_with(ref)
        found = _with_others(ids, names) if ids and names else ids or names
        if len(ref) in _TELLING and set(ref) <= _DIGITS:
            found = _with_others(found, self._beginning_with(ref))
        return found

    def with_id(self, id: str) -> tuple[AnItem, ...]:
        """Return the objects with exactly this id."""
        return self._by_id.get(id, ())

    def _beginning_with(self, prefix: str) -> tuple[AnItem, ...]:
        if not prefix:
            return ()
        if self._ids is None:
            self._ids = sorted(self._by_id)
        at = bisect_left(self._ids, prefix)
        found: list[AnItem] = []
        while at < len(self._ids) and self._ids[at].startswith(prefix):
            found += self._by_id[self._ids[at]]
            at += 1
        return tuple(found)


def _with_others(found: tuple[AnItem, ...], more: Iterable[AnItem]) -> tuple[AnItem, ...]:
    """Return the items found, and those of `more` that are on other engines."""
    known = {item.node for item in found}
    return (*found, *(item for item in more if item.node not in known))


def _without(table: dict[str, tuple[AnItem, ...]], key: str, item: AnItem) -> None:
    left = tuple(each for each in table.get(key, ()) if each is not item)
    if left:
        table[key] = left
    else:
        table.pop(key, None)


class ImageNames:
    """When the names of one engine's images were given. Names in the first list have no known time.

    Where engines disagree about a name, it means the image that was named last, as on one engine.
    """

    def __init__(self, times: count[int]) -> None:
        """Create the table; `times` gives increasing numbers, and is shared by all engines."""
        self._times = times
        self._given: dict[str, tuple[str, int]] | None = None

    def listed(self, images: Mapping[str, Iterable[str]]) -> None:
        """Record a list of the engine's images: their names, by their ids."""
        now = 0 if self._given is None else next(self._times)
        known = self._given or {}
        self._given = {
            name: known[name] if known.get(name, ("",))[0] == id else (id, now)
            for id, names in images.items()
            for name in names
        }

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._given or ())

    def given(self, name: str) -> int:
        """Return when the engine's image of this name got it; 0 if that is not known."""
        return (self._given or {}).get(name, ("", 0))[1]


class Index:
    """The objects of all engines."""

    def __init__(self) -> None:
        self.departed = Departed()
        self._times = count(1)
        """Numbers that order what engines report by its arrival."""
        self.containers = Table[Container](self.departed.note_names)
        self.summaries = Summaries()
        self.images = Table[Item]()
        self.networks = Table[Item]()
        self.volumes = Table[Item]()
        self.execs = Table[Item]()
        self._tables: Final[Mapping[str, Table[Any]]] = {
            "containers": self.containers,
            "images": self.images,
            "networks": self.networks,
            "volumes": self.volumes,
        }
        self.image_names: dict[Node, ImageNames] = {}
        self._held: dict[Node, Mapping[str, Container]] = {}
        self._groups: dict[str, list[Item]] = {}
        self.replacing: dict[Container, str] = {}
        """The containers that, by their labels, replace others, and the ids of these."""

    def join(self, node: Node, containers: Mapping[str, Container]) -> ImageNames:
        """Add a node whose containers are kept in this mapping; return where the names of its images are kept."""
        self._held[node] = containers
        self.image_names[node] = names = ImageNames(self._times)
        return names

    def leave(self, node: Node) -> None:
        """Forget a node, all of whose objects have been removed."""
        del self._held[node], self.image_names[node]

    def containers_on(self, node: Node) -> Collection[Container]:
        """Return the containers of a node."""
        return self._held.get(node, _NONE).values()

    def count(self, node: Node) -> int:
        """Count a node's containers, including those that are being created."""
        return len(self._held.get(node, _NONE)) + len(node.placing)

    def table(self, kind: str) -> Table[Any] | None:
        """Return the table of a kind of objects, named by the first word of their paths."""
        return self._tables.get(kind)

    def find(self, kind: str, ref: str) -> tuple[Item, ...]:
        """Return the objects of a kind that `ref` may mean; () for an unknown kind."""
        if kind == "exec":
            return self.execs.with_id(ref)
        if kind == "images":
            return self._find_image(ref)
        table = self.table(kind)
        return table.find(ref.lstrip("/")) if table is not None else ()

    def _find_image(self, ref: str) -> tuple[Item, ...]:
        name = image_name(ref)
        if len(found := self.images.find(name)) > 1:
            return tuple(sorted(found, key=lambda item: self._given(name, item.node), reverse=True))
        return found or self.images.find(ref) or self.images.find(f"sha256:{ref}")

    def _given(self, name: str, node: Node) -> int:
        return names.given(name) if (names := self.image_names.get(node)) else 0

    def newer_image(self, ref: str, node: Node) -> Item | None:
        """Find the image of this name on another node, if it was given the name later there than on this node."""
        found = [item for item in self._find_image(ref) if item.node.up]
        here = next((item for item in found if item.node is node), None)
        if here is None or found[0].id == here.id:
            return None
        there, name = found[0], image_name(ref)
        return there if self._given(name, there.node) > self._given(name, node) else None

    def places(self, kind: str, ref: str) -> set[Node]:
        """Return the nodes where an object can be used: those that have it; of a swarm's network, all of the swarm."""
        items = self.find(kind, ref)
        managers = frozenset[str]().union(*(managers_of(item.node.about) for item in items if item.shared))
        reached = {node for node in self._held if managers & managers_of(node.about)} if managers else set[Node]()
        return {item.node for item in items} | reached

    def group(self, item: Item, group: str) -> None:
        """Set the group of an object; "" for none."""
        if item.group == group:
            return
        if item.group:
            self.departed.note_group(item)
            self._groups[item.group].remove(item)
            if not self._groups[item.group]:
                del self._groups[item.group]
        item.group = sys.intern(group)
        if group:
            self._groups.setdefault(group, []).append(item)

    def holders_of_group(self, group: str) -> set[Node]:
        """Return the engines that have objects of a group, or the last one that had any."""
        return {item.node for item in self._groups.get(group, ())} or self.departed.holders("groups", group)

    def add(self, container: Container) -> None:
        """Add a container."""
        self.containers.add(container)
        self.summaries.add(container)

    def remove(self, containers: set[Container]) -> None:
        """Remove containers."""
        for container in containers:
            self.containers.remove(container)
            self.group(container, "")
            self.replacing.pop(container, None)
        self.summaries.remove(containers)

    def listed(self, labels: Sequence[str], nodes: Collection[Node] | None, *, running: bool, now: float) -> bytes:
        """Return the JSON list of the containers of some nodes, None for all, that have all of these labels, newest
        first; `now` is this host's clock. Nodes that are down are left out.
        """
        if nodes is not None:
            on_nodes = (each for node in nodes for each in self.containers_on(node))
            chosen = (each for each in self.summaries.having(labels) if each.node in nodes) if labels else on_nodes
            return listed(chosen, running=running, now=now)
        if labels:
            return self.summaries.listed_with(labels, running=running, now=now)
        return self.summaries.listed(running=running, now=now)


def placed(kind: str, ref: str, holders: Iterable[Node]) -> str:
    """Return a phrase that says where an object is."""
    return f"the {kind.removesuffix('s')} {ref} is on {', '.join(sorted(node.name for node in holders))}"


def image_name(ref: str) -> str:
    """Return an image's name as engines list it: with its tag, and without the default registry."""
    name = ref.removeprefix("docker.io/").removeprefix("library/")
    return name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"
