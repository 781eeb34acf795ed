"""One engine's containers in the index: listed at once, and inspected when somebody wants to know more of them.

A list tells what a container is called, and how long it runs in words: `Up 3 hours`. The exact moments, from which such
words can be made again later, and what a container takes of its engine are in its inspection only. That costs a call
for each container, so it is asked for only as far as it is needed: until then, the words are true at the time of the
list, which is asked for again when somebody wants to see the container.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from heapq import nlargest
from typing import Any, Final, TypeAlias

import orjson
import trio

from swarmlib import BadAnswer, NotFound, Request, Unsupported, Verb
from swarmlib.asking import Answer

from ..dockerapi.nullable import dict_of, list_of
from .due import Due
from .index import Index, image_name
from .labels import MOVED, RESCHEDULE, group_of
from .node import Claim, Node
from .objects import Container
from .shapes import MAX_OBJECTS

_log = logging.getLogger(__name__)

_FEW: Final = 8
"""Containers that one list inspects, and the inspections of one engine at the same time."""
_FILTERED: Final = 50
"""Stale containers that are listed by their ids; if there are more, all containers are listed."""
_SUMMARY_EVENTS: Final = frozenset(
    {"start", "die", "stop", "kill", "oom", "pause", "unpause", "restart", "rename", "update"}
)
_STATES: Final = {"start": "running", "die": "exited", "pause": "paused", "unpause": "running"}
"""The state of a container after an event."""
_ALL: Final = ""
"""In place of an id: all containers must be listed."""

Ask: TypeAlias = Callable[[Request], Awaitable[Answer]]
"""Sends a request to the engine; raises SwarmError."""


class Containers:
    """One engine's containers.

    node: the engine, as its containers name it. ask: sends it a request. `refresh` must not run twice at a time.
    """

    def __init__(self, node: Node, index: Index, ask: Ask) -> None:
        self._node = node
        self._index = index
        self._ask = ask
        self.all: dict[str, Container] = {}
        self.inspected: dict[str, dict[str, Any]] = {}
        """The inspections of the containers that may be rescheduled."""
        self._stale = Due(node)
        """What must be listed."""
        self._unknown = Due(node)
        """What must be inspected before more is known of it than a list tells."""
        self._movable = set[str]()
        """The containers that may be rescheduled: they are inspected before their engine may be down."""
        self.shows = 0
        """How often it was begun to list all that is not known, to be shown."""
        self._linked: set[str] = set()
        """The containers that have names by links from others (`web/db`), which change with the others' names."""
        self._new_links: set[str] = set()
        """Containers with such a name that is not known yet."""
        self._asking = False
        self._gone: set[str] = set()
        """The containers that were removed while the engine is being asked: its answers may still contain them."""

    @property
    def changed(self) -> bool:
        """Whether the engine has told changes that are not known in full."""
        return bool(self._stale)

    @property
    def inspected_all(self) -> bool:
        """Whether all that an inspection tells is known of each container, such as what it takes of the engine."""
        return not self._stale and not self._unknown

    # Asking the engine.

    def forget_answers(self) -> None:
        """List everything anew at the next `refresh`, and inspect it anew when somebody wants to know it."""
        self._stale.update(self.all, (_ALL,))
        self._unknown.update(self.all)

    async def refresh(self, *, shown: bool = False, claims: bool = False) -> None:
        """Ask for what has changed; of what is not inspected, only for what may be rescheduled.

        shown: somebody wants to see the containers: ask also for how long those run that are not inspected, and inspect
        a few of them, so that lists that are asked for often soon cost the engine nothing. claims: inspect all; what is
        inspected is not asked for again when somebody wants to see it, so it is listed as if it were shown.

        Raises:
            SwarmError: the engine does not answer, or gives a malformed answer.
        """
        self._asking, refreshed = True, False
        self._gone.clear()
        self.shows += shown
        ids = self._stale.taken()
        told = shown or claims
        ids |= self._unknown if told else set[str]()
        try:
            await self._list(ids, shown=told)
            await self._inspect_all(self._wanted(shown=shown, claims=claims))
            linked, self._new_links = self._new_links, set()
            await self._list(linked, shown=told)
            refreshed = True
        finally:
            self._asking = False
            if not refreshed:
                self._stale |= ids

    async def _listed(self, **args: str) -> list[dict[str, Any]]:
        """Return the engine's list; an empty one if it holds no containers."""
        try:
            found: Any = (await self._ask(Request(Verb.LS, ("containers",), {"all": "1", **args}))).value
        except Unsupported:
            return []
        return list_of(found)

    async def _list(self, ids: set[str], *, shown: bool) -> None:
        """List some containers; all of them if there are many."""
        if not ids:
            return
        whole = _ALL in ids or len(ids) > _FILTERED
        known = set(self.all)
        args = {} if whole else {"filters": orjson.dumps({"id": sorted(ids)}).decode()}
        summaries = await self._listed(**args)
        self.forget((known if whole else ids) - {each["Id"] for each in summaries})
        for each in summaries:
            if each["Id"] not in self._gone and (each["Id"] in ids or each["Id"] not in self.all):
                self._tell(each, shown=shown)

    def _tell(self, summary: Mapping[str, Any], *, shown: bool) -> None:
        id: str = summary["Id"]
        container = self._named(id, [name.lstrip("/") for name in list_of(summary.get("Names"))])
        labels: dict[str, str] = dict_of(summary.get("Labels"))
        if RESCHEDULE in labels:
            self._movable.add(id)
        if container.has_moments and id in self._unknown:
            container.date({})
        container.tell(summary, shown=shown or id not in self._unknown or id in self._movable)
        self._index.group(container, group_of(labels))
        self._index.summaries.label(container, labels)
        if MOVED in labels:
            self._index.replacing[container] = labels[MOVED]
        self._index.summaries.changed(container)

    def _wanted(self, *, shown: bool, claims: bool) -> set[str]:
        """Return what is to be inspected now."""
        if claims:
            return set(self._unknown)
        movable = self._unknown & self._movable
        if not shown:
            return movable
        newest = nlargest(_FEW, (self.all[id] for id in self._unknown), key=lambda each: each.created)
        seconds = {int(each.created) for each in newest}  # an order by moments needs all moments of a second
        return movable | {id for id in self._unknown if int(self.all[id].created) in seconds}

    async def _inspect_all(self, ids: set[str]) -> None:
        if not ids:
            return
        waiting, missing = list(ids), set(ids)
        self._unknown -= ids  # one that changes meanwhile is unknown again

        async def inspect_each() -> None:
            while waiting:
                id = waiting.pop()
                await self._inspect(id)
                missing.discard(id)

        try:
            async with trio.open_nursery() as nursery:
                for _ in range(min(_FEW, len(waiting))):
                    nursery.start_soon(inspect_each)
        finally:
            self._unknown |= missing & self.all.keys()

    async def _inspect(self, id: str) -> None:
        try:
            found: dict[str, Any] = (await self._ask(Request(Verb.GET, ("containers", id)))).value
        except NotFound:
            self.forget({id})
            return
        container = self.all.get(id)
        if container is None:
            return  # it was removed meanwhile
        container.date(found)
        self.claim(container, Claim.of(found.get("HostConfig") or {}))
        self._note_links(found)
        if id in self._movable:
            self.inspected[id] = found
        self._index.summaries.changed(container)

    def _note_links(self, inspected: Mapping[str, Any]) -> None:
        for link in list_of(dict_of(inspected.get("HostConfig")).get("Links")):
            target, _, alias = str(link).partition(":")
            for each in self._index.containers.find(target.lstrip("/")):
                if each.node is self._node and alias.lstrip("/") not in each.names:
                    self._new_links.add(each.id)

    async def drift(self) -> int:
        """List the containers, and mark those that differ from what is known as stale; return how many did.

        Raises:
            SwarmError: as in `refresh`.
        """
        found = {each["Id"]: each.get("State") or "" for each in await self._listed()}
        known = {id: each.state for id, each in self.all.items() if id not in self._stale}
        differing = {id for id in found.keys() | known.keys() if found.get(id) != known.get(id)} - self._stale
        self._stale |= differing
        self._unknown |= differing & self.all.keys()
        if differing:
            _log.warning("%s: %d containers had changed without an event", self._node.name, len(differing))
        return len(differing)

    # What is known without asking.

    def happened(self, action: str, id: str, attributes: Mapping[str, str]) -> None:
        """Apply a well-formed event of a container."""
        name = attributes.get("name", "")
        if action == "create":
            self.spawned(id, name)
        elif action == "destroy":
            self.forget({id})
        elif action in _SUMMARY_EVENTS or action.startswith("health_status"):
            if (container := self.all.get(id)) is not None:
                container.state = _STATES.get(action, container.state)
                self._index.summaries.changed(container)
                if action == "rename":
                    self._index.containers.rename(container, [name])
                    self._stale |= self._linked
            self.touch(id)

    def image_changed(self, image: str, attributes: Mapping[str, str]) -> None:
        """Apply a well-formed event of an image: containers may show another name of it."""
        self._stale.update(each.id for each in self.all.values() if _may_show(each, image, attributes))

    def spawned(self, id: str, name: str, claim: Claim | None = None) -> Container:
        """Add a new container, or mark a known one as changed."""
        container = self._named(id, [name] if name else [])
        if claim is not None:
            self.claim(container, claim)
        self.touch(id)
        return container

    def _named(self, id: str, names: Sequence[str]) -> Container:
        container = self.all.get(id)
        if container is None:
            check_bound(self.all, self._node)
            container = self.all[id] = Container(self._node, id, names)
            self._unknown.add(id)
            self._index.add(container)
        elif names and container.names != tuple(names):
            self._index.containers.rename(container, names)
            self._stale |= self._linked
        if any("/" in name for name in container.names):
            self._linked.add(id)
        else:
            self._linked.discard(id)
        return container

    def claim(self, container: Container, claim: Claim) -> None:
        """Record the resources that a container takes of its engine."""
        self._node.take(container.claim, -1)
        self._node.take(claim, 1)
        container.claim = claim

    def touch(self, id: str) -> None:
        """Mark a container as changed: its summary must be requested before it is shown."""
        if id in self.all:
            self._stale.add(id)
            self._unknown.add(id)

    def forget(self, ids: set[str]) -> None:
        """Remove containers that are gone."""
        gone = {self.all.pop(id) for id in ids if id in self.all}
        for container in gone:
            self._node.take(container.claim, -1)
            self.inspected.pop(container.id, None)
        self._linked -= ids
        if gone:
            self._stale |= self._linked
        self._stale -= ids
        self._unknown -= ids
        self._movable -= ids
        if self._asking:
            self._gone |= ids
        if gone:
            self._index.remove(gone)


def check_bound(known: Collection[object], node: Node) -> None:
    """Check that one more object is no more than an engine has.

    Raises:
        BadAnswer: it is.
    """
    if len(known) >= MAX_OBJECTS:
        raise BadAnswer(f"it has more than {MAX_OBJECTS} objects of a kind", backend=node.name)


def _may_show(container: Container, image: str, attributes: Mapping[str, str]) -> bool:
    """Return whether a container's list may show another name of its image after an event of an image."""
    named = image_name(container.image) == attributes.get("name")
    return named or container.image_id == image or container.image.startswith("sha256:")
