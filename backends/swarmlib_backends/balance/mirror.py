"""One engine's objects, mirrored into the index: listed once, then kept up to date by its events.

An event says at once what was created, removed or renamed. Other changes only mark an object as stale; it is requested
when somebody wants to see it, so that an engine whose containers nobody lists is not asked anything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

import trio

from swarmlib import Request, Unsupported, Verb
from swarmlib.errors import ungrouped

from ..dockerapi.nullable import dict_of, list_of
from .containers import Ask, Containers, check_bound
from .due import Due
from .index import Index
from .labels import RESCHEDULE, group_of
from .node import Claim, Node
from .objects import Container, Item
from .swarm_mode import SCOPE

CLAIMS: Final = "claims"
"""What the containers take of the engine, which is settled as a kind of objects is."""
_CONTAINERS: Final = "containers"
_KINDS: Final = ("images", "networks", "volumes")
_KNOWN_EXECS: Final = 10_000
"""Processes in an engine's containers that are remembered, at most; others are looked up on the engines."""


class Mirror:
    """One engine's part of the index.

    node: the engine, as its objects name it. ask: sends it a request.
    """

    def __init__(self, node: Node, index: Index, ask: Ask) -> None:
        self._node = node
        self._index = index
        self._ask = ask
        self._own = own = Containers(node, index, ask)
        self.containers, self.inspected = own.all, own.inspected
        self._image_names = index.join(node, self.containers)
        self._execs = OrderedDict[str, Item]()
        self._others: dict[str, dict[str, Item]] = {kind: {} for kind in _KINDS}
        self._stale_kinds = Due(node)
        self._asking = trio.Lock()

    @property
    def knows_claims(self) -> bool:
        """Whether it is known what each container takes of the engine."""
        return self._own.inspected_all

    def unsettled(self, kinds: Collection[str]) -> bool:
        """Return whether the engine must be asked, or is being asked, before the index can be shown for these kinds."""
        if self._asking.locked() or not self._stale_kinds.isdisjoint(kinds):
            return True
        return not self._own.inspected_all and (_CONTAINERS in kinds or CLAIMS in kinds)

    # Asking the engine.

    async def sync(self) -> None:
        """List all objects again: one kind after another, so that a thousand engines need no thousands of connections.

        Raises:
            SwarmError: the engine does not answer, or gives a malformed answer.
        """
        self._own.forget_answers()
        self._stale_kinds.update(_KINDS)
        await self.follow_up()
        for kind in _KINDS:
            await self.settle(kind)

    async def follow_up(self) -> None:
        """Inspect what has changed and may be rescheduled. Raises as `sync`."""
        await self._refresh((), self._own.refresh)

    async def settle(self, *wanted: str) -> None:
        """Request the stale objects of these kinds. What was true when this was called is known when it returns.

        Raises:
            SwarmError: as in `sync`.
        """
        if self.unsettled(wanted):
            await self._refresh(wanted, partial(self._show, self._own.shows, wanted))

    async def _show(self, shows: int, wanted: Collection[str]) -> None:
        """Ask for the containers if they are wanted, unless that was begun since there were so many `shows`."""
        shown = _CONTAINERS in wanted and (self._own.changed or self._own.shows == shows)
        if shown or CLAIMS in wanted:
            await self._own.refresh(shown=shown, claims=CLAIMS in wanted)

    async def _refresh(self, wanted: Collection[str], containers: Callable[[], Awaitable[None]]) -> None:
        async with self._asking:
            kinds = self._stale_kinds.intersection(wanted)
            self._stale_kinds -= kinds
            settled = False
            try:
                with ungrouped():
                    async with trio.open_nursery() as nursery:
                        for kind in kinds:
                            nursery.start_soon(self._relist, kind)
                        await containers()
                settled = True
            finally:
                if not settled:
                    self._stale_kinds |= kinds
                self._node.due = bool(self._stale_kinds) or not self._own.inspected_all

    async def _list(self, kind: str) -> Any:
        """Return the engine's list; None if it does not support the kind (processes have no networks)."""
        try:
            return (await self._ask(Request(Verb.LS, (kind,)))).value
        except Unsupported:
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

    async def drift(self) -> int:
        """See `Containers.drift`."""
        return await self._own.drift()

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
                if action.startswith("exec_") and "execID" in attributes:
                    self.learn_exec(attributes["execID"])
                self._own.happened(action, id, attributes)
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
                self._own.image_changed(id, attributes)
            case _:
                pass
        return False

    def _came_or_went(self, kind: str, action: str, id: str, names: Sequence[str], *, shared: bool = False) -> None:
        if action == "create":
            self.learn(kind, id, tuple(names), shared=shared)
        elif action in ("destroy", "remove"):
            self._forget(kind, id)
        self._stale_kinds.add(kind)  # an event has no labels, and a list that was just requested may be older

    def spawned(self, id: str, name: str, claim: Claim | None = None) -> Container:
        """See `Containers.spawned`."""
        return self._own.spawned(id, name, claim)

    def learn_exec(self, id: str) -> None:
        """Add a process in a container."""
        if id in self._execs:
            return
        self._execs[id] = item = Item(self._node, id, ())
        self._index.execs.add(item)
        if len(self._execs) > _KNOWN_EXECS:
            self._index.execs.remove(self._execs.popitem(last=False)[1])

    def touch(self, id: str) -> None:
        """See `Containers.touch`."""
        self._own.touch(id)

    def touch_kind(self, kind: str) -> None:
        """Mark the objects of a kind as changed."""
        if kind in self._others:
            self._stale_kinds.add(kind)

    def removed(self, kind: str, id: str) -> None:
        """Remove an object that is gone."""
        if kind == "containers":
            self._own.forget({id})
        elif kind in self._others:
            self._forget(kind, id)
        elif id in self._execs:
            self._index.execs.remove(self._execs.pop(id))

    def forget_all(self) -> None:
        """Remove all objects, because the engine leaves."""
        self._own.forget(set(self.containers))
        for kind, known in self._others.items():
            for id in list(known):
                self._forget(kind, id)
        while self._execs:
            self._index.execs.remove(self._execs.popitem()[1])
        self._index.leave(self._node)

    def learn(self, kind: str, id: str, names: tuple[str, ...], group: str = "", *, shared: bool = False) -> None:
        """Add an object that is not a container. Raise BadAnswer if there are more than any engine has."""
        if id not in self._others[kind]:
            check_bound(self._others[kind], self._node)
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


def _told(kind: str, entry: Mapping[str, Any]) -> tuple[tuple[str, ...], str, bool]:
    """Return what a list says of an object: its names, its group, and whether all engines of a swarm have it."""
    if kind == "images":
        tags: list[str] = [*list_of(entry.get("RepoTags")), *list_of(entry.get("RepoDigests"))]
        return tuple(tag for tag in tags if "<none>" not in tag), "", False
    return (entry["Name"],), group_of(entry.get("Labels")), _is_shared(kind, entry)


def _is_shared(kind: str, entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("ClusterVolume")) if kind == "volumes" else entry.get("Scope") == SCOPE
