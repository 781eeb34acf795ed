"""One engine's objects, mirrored into the index: listed once, then kept up to date by its events.

An event says at once what was created, removed or renamed. Other changes only mark an object as stale; it is requested
when somebody wants to see it, so that an engine whose containers nobody lists is not asked anything.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson
import trio

from swarmlib import BadAnswer, NotFound, Request, Unsupported, Verb
from swarmlib.asking import Answer
from swarmlib.errors import ungrouped

from ..dockerapi.nullable import dict_of, list_of
from .index import Index, image_name
from .labels import MOVED, RESCHEDULE, group_of
from .node import Claim, Node
from .objects import Container, Item
from .shapes import MAX_OBJECTS
from .swarm_mode import SCOPE

_log = logging.getLogger(__name__)

_INSPECTIONS: Final = 8
"""Inspections of one engine at the same time."""
_FILTERED: Final = 50
"""Stale containers that are listed by their ids; if there are more, all containers are listed."""
_SUMMARY_EVENTS: Final = frozenset(
    {"start", "die", "stop", "kill", "oom", "pause", "unpause", "restart", "rename", "update"}
)
_STATES: Final = {"start": "running", "die": "exited", "pause": "paused", "unpause": "running"}
"""The state of a container after an event."""
_KINDS: Final = ("images", "networks", "volumes")
_KNOWN_EXECS: Final = 10_000
"""Processes in an engine's containers that are remembered, at most; others are looked up on the engines."""


Ask: TypeAlias = Callable[[Request], Awaitable[Answer]]
"""Sends a request to the engine; raises SwarmError."""


class Mirror:
    """One engine's part of the index.

    node: the engine, as its objects name it. ask: sends it a request.
    """

    def __init__(self, node: Node, index: Index, ask: Ask) -> None:
        self._node = node
        self._index = index
        self._ask = ask
        self.containers: dict[str, Container] = {}
        self._image_names = index.join(node, self.containers)
        self.inspected: dict[str, dict[str, Any]] = {}
        """The inspections of the containers that may be rescheduled."""
        self.originals: dict[str, str] = {}
        """The labels of containers that replace others: the ids of the originals, by the ids of the replacements."""
        self._execs = OrderedDict[str, Item]()
        self._others: dict[str, dict[str, Item]] = {kind: {} for kind in _KINDS}
        self._stale: set[str] = set()
        self._stale_kinds: set[str] = set()
        self._asking = trio.Lock()
        self._linked: set[str] = set()
        """The containers that have names by links from others (`web/db`), which change with the others' names."""
        self._new_links: set[str] = set()
        """Containers with such a name that is not known yet."""
        self._gone: set[str] = set()
        """The containers that were removed while the engine is being asked: its answers may still contain them."""

    def unsettled(self, kind: str) -> bool:
        """Return whether the engine must be asked, or is being asked, before the index can be shown."""
        return bool(self._stale if kind == "containers" else kind in self._stale_kinds) or self._asking.locked()

    # Asking the engine.

    async def sync(self) -> None:
        """List all objects again.

        Raises:
            SwarmError: the engine does not answer, or gives a malformed answer.
        """
        self._stale.update(self.containers)
        self._stale_kinds.update(_KINDS)
        self._stale.add("")
        await self.settle("containers", *_KINDS)

    async def settle(self, *wanted: str) -> None:
        """Request the stale objects of these kinds. What was true when this was called is known when it returns.

        Raises:
            SwarmError: as in `sync`.
        """
        if not any(map(self.unsettled, wanted)):
            return
        async with self._asking:
            kinds = self._stale_kinds.intersection(wanted)
            self._stale_kinds -= kinds
            ids = set[str]()
            if "containers" in wanted:
                ids, self._stale = self._stale, ids
            settled = False
            self._gone.clear()
            try:
                with ungrouped():
                    async with trio.open_nursery() as nursery:
                        for kind in kinds:
                            nursery.start_soon(self._relist, kind)
                        if ids:
                            nursery.start_soon(self._refresh_linked, ids)
                settled = True
            finally:
                if not settled:
                    self._stale_kinds |= kinds
                    self._stale |= ids

    async def _list(self, kind: str, **args: str) -> Any:
        """Return the engine's list; None if it does not support the kind (processes have no networks)."""
        try:
            return (await self._ask(Request(Verb.LS, (kind,), args))).value
        except Unsupported:
            return None

    async def _inspection(self, id: str) -> Any:
        """Return the engine's inspection of a container; None if the container is gone."""
        try:
            return (await self._ask(Request(Verb.GET, ("containers", id)))).value
        except NotFound:
            return None

    async def _relist(self, kind: str) -> None:
        known = dict(self._others[kind])  # objects that are created meanwhile need not be in the answer
        listed: Any = await self._list(kind)
        entries: list[dict[str, Any]] = list_of(dict_of(listed).get("Volumes") if kind == "volumes" else listed)
        found = {each["Name" if kind == "volumes" else "Id"]: _told(kind, each) for each in entries}
        if kind == "images":
            self._image_names.listed({id: names for id, (names, _, _) in found.items()})
        for id, item in known.items():
            if found.get(id) != (item.names, item.group, item.shared):
                self._forget(kind, id)
        for id, (names, group, shared) in found.items():
            self.learn(kind, id, names, group, shared=shared)

    async def _refresh(self, ids: set[str]) -> None:
        """Update some containers from the engine's answers; all of them if the id "" is among them."""
        whole = "" in ids or len(ids) > _FILTERED
        known = set(self.containers)
        args = {"all": "1"} if whole else {"all": "1", "filters": orjson.dumps({"id": sorted(ids)}).decode()}
        summaries: list[dict[str, Any]] = list_of(await self._list("containers", **args))
        gone = (known if whole else ids) - {each["Id"] for each in summaries}
        self._forget_containers(gone)
        waiting = [each for each in summaries if each["Id"] in ids or each["Id"] not in self.containers][::-1]
        async with trio.open_nursery() as nursery:
            for _ in range(min(_INSPECTIONS, len(waiting))):
                nursery.start_soon(self._inspect_each, waiting)

    async def _refresh_linked(self, ids: set[str]) -> None:
        """Update some containers, and those that they are linked to, if the links give these new names."""
        await self._refresh(ids)
        linked, self._new_links = self._new_links, set()
        if linked:
            await self._refresh(linked)

    async def _inspect_each(self, waiting: list[dict[str, Any]]) -> None:
        while waiting:
            summary = waiting.pop()
            self._tell(summary, await self._inspection(summary["Id"]))

    def _tell(self, summary: dict[str, Any], inspected: dict[str, Any] | None) -> None:
        id: str = summary["Id"]
        if inspected is None or id in self._gone:
            self._forget_containers({id})
            return
        names: list[str] = [name.lstrip("/") for name in list_of(summary.get("Names"))]
        container = self._container(id, names)
        container.tell(summary, inspected)
        self._index.group(container, group_of(summary.get("Labels")))
        self.claim(container, Claim.of(inspected.get("HostConfig") or {}))
        labels: dict[str, str] = dict_of(summary.get("Labels"))
        self._index.label(container, labels)
        self._index.changed()
        self._note_links(inspected)
        if RESCHEDULE in labels:
            self.inspected[id] = inspected
        if MOVED in labels:
            self.originals[id] = labels[MOVED]

    def _note_links(self, inspected: Mapping[str, Any]) -> None:
        for link in list_of(dict_of(inspected.get("HostConfig")).get("Links")):
            target, _, alias = str(link).partition(":")
            for each in self._index.containers.find(target.lstrip("/")):
                if each.node is self._node and alias.lstrip("/") not in each.names:
                    self._new_links.add(each.id)

    async def drift(self) -> int:
        """List the containers, and mark those that differ from what is known as stale; return how many did.

        Raises:
            SwarmError: as in `sync`.
        """
        listed: list[dict[str, Any]] = list_of(await self._list("containers", all="1"))
        found = {each["Id"]: each.get("State") or "" for each in listed}
        known = {id: each.state for id, each in self.containers.items() if id not in self._stale}
        differing = {id for id in found.keys() | known.keys() if found.get(id) != known.get(id)} - self._stale
        self._stale |= differing
        if differing:
            _log.warning("%s: %d containers had changed without an event", self._node.name, len(differing))
        return len(differing)

    # What is known without asking.

    def apply(self, event: Mapping[str, Any]) -> bool:
        """Apply a well-formed event; return whether it concerns a container that may be rescheduled.

        Raises:
            BadAnswer: the engine reports more objects than any engine has.
        """
        actor = dict_of(event.get("Actor"))
        attributes: dict[str, str] = dict_of(actor.get("Attributes"))
        id: str = actor.get("ID") or ""
        action: str = event.get("Action") or ""
        match event["Type"]:
            case _ if not id:
                pass
            case "container":
                self._container_event(action, id, attributes)
                return RESCHEDULE in attributes
            case "network" if action in ("connect", "disconnect"):
                self.touch(attributes.get("container", ""))
            case "network":
                names = (attributes.get("name", ""),)
                self._came_or_went("networks", action, id, names, shared=event.get("scope") == SCOPE)
            case "volume":
                self._came_or_went("volumes", action, id, (id,))
            case "image":
                self._stale_kinds.add("images")
                self._stale.update(each.id for each in self.containers.values() if _may_show(each, id, attributes))
            case _:
                pass
        return False

    def _container_event(self, action: str, id: str, attributes: Mapping[str, str]) -> None:
        name = attributes.get("name", "")
        if action == "create":
            self.spawned(id, name)
        elif action == "destroy":
            self._forget_containers({id})
        elif action.startswith("exec_") and "execID" in attributes:
            self.learn_exec(attributes["execID"])
        elif action in _SUMMARY_EVENTS or action.startswith("health_status"):
            if (container := self.containers.get(id)) is not None:
                container.state = _STATES.get(action, container.state)
                if action == "rename":
                    self._index.containers.rename(container, [name])
                    self._stale |= self._linked
            self.touch(id)

    def _came_or_went(self, kind: str, action: str, id: str, names: Sequence[str], *, shared: bool = False) -> None:
        if action == "create":
            self.learn(kind, id, tuple(names), shared=shared)
        elif action in ("destroy", "remove"):
            self._forget(kind, id)
        self._stale_kinds.add(kind)  # an event has no labels, and a list that was just requested may be older

    def spawned(self, id: str, name: str, claim: Claim | None = None) -> Container:
        """Add a new container, or mark a known one as stale."""
        container = self._container(id, [name] if name else [])
        if claim is not None:
            self.claim(container, claim)
        self.touch(id)
        return container

    def _container(self, id: str, names: Sequence[str]) -> Container:
        container = self.containers.get(id)
        if container is None:
            self._check_bound(self.containers)
            container = self.containers[id] = Container(self._node, id, names)
            self._index.add(container)
        elif names and container.names != tuple(names):
            self._index.containers.rename(container, names)
            self._stale |= self._linked
        if any("/" in name for name in container.names):
            self._linked.add(id)
        else:
            self._linked.discard(id)
        return container

    def _check_bound(self, known: Mapping[str, Item]) -> None:
        if len(known) >= MAX_OBJECTS:
            raise BadAnswer(f"it has more than {MAX_OBJECTS} objects of a kind", backend=self._node.name)

    def learn_exec(self, id: str) -> None:
        """Add a process in a container."""
        if id in self._execs:
            return
        self._execs[id] = item = Item(self._node, id, ())
        self._index.execs.add(item)
        if len(self._execs) > _KNOWN_EXECS:
            self._index.execs.remove(self._execs.popitem(last=False)[1])

    def claim(self, container: Container, claim: Claim) -> None:
        """Record the resources that a container takes of its engine."""
        self._node.take(container.claim, -1)
        self._node.take(claim, 1)
        container.claim = claim

    def touch(self, id: str) -> None:
        """Mark a container as changed: its summary must be requested before it is shown."""
        if id in self.containers:
            self._stale.add(id)

    def touch_kind(self, kind: str) -> None:
        """Mark the objects of a kind as changed."""
        if kind in self._others:
            self._stale_kinds.add(kind)

    def removed(self, kind: str, id: str) -> None:
        """Remove an object that is gone."""
        if kind == "containers":
            self._forget_containers({id})
        elif kind in self._others:
            self._forget(kind, id)
        elif id in self._execs:
            self._index.execs.remove(self._execs.pop(id))

    def forget_all(self) -> None:
        """Remove all objects, because the engine leaves."""
        self._forget_containers(set(self.containers))
        for kind, known in self._others.items():
            for id in list(known):
                self._forget(kind, id)
        while self._execs:
            self._index.execs.remove(self._execs.popitem()[1])
        self._index.leave(self._node)

    def _forget_containers(self, ids: set[str]) -> None:
        gone = {self.containers.pop(id) for id in ids if id in self.containers}
        for container in gone:
            self._node.take(container.claim, -1)
            self.inspected.pop(container.id, None)
            self.originals.pop(container.id, None)
        self._linked -= ids
        if gone:
            self._stale |= self._linked
        self._stale -= ids
        if self._asking.locked():
            self._gone |= ids
        if gone:
            self._index.remove(gone)

    def learn(self, kind: str, id: str, names: tuple[str, ...], group: str = "", *, shared: bool = False) -> None:
        """Add an object that is not a container. Raise BadAnswer if there are more than any engine has."""
        if id not in self._others[kind]:
            self._check_bound(self._others[kind])
            self._others[kind][id] = item = Item(self._node, id, names, shared=shared)
            self._table(kind).add(item)
            self._index.group(item, group)

    def _forget(self, kind: str, id: str) -> None:
        item = self._others[kind].pop(id, None)
        if item is not None:
            self._table(kind).remove(item)
            self._index.group(item, "")

    def _table(self, kind: str) -> Any:
        return self._index.table(kind)


def _may_show(container: Container, image: str, attributes: Mapping[str, str]) -> bool:
    """Return whether a container's list may show another name of its image after an event of an image."""
    named = image_name(container.image) == attributes.get("name")
    return named or container.image_id == image or container.image.startswith("sha256:")


def _told(kind: str, entry: Mapping[str, Any]) -> tuple[tuple[str, ...], str, bool]:
    """Return what a list says of an object: its names, its group, and whether all engines of a swarm have it."""
    if kind == "images":
        tags: list[str] = [*list_of(entry.get("RepoTags")), *list_of(entry.get("RepoDigests"))]
        return tuple(tag for tag in tags if "<none>" not in tag), "", False
    return (entry["Name"],), group_of(entry.get("Labels")), _is_shared(kind, entry)


def _is_shared(kind: str, entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("ClusterVolume")) if kind == "volumes" else entry.get("Scope") == SCOPE
