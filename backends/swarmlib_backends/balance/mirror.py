"""What one engine has, mirrored into the index: listed once, then kept by its events.

An event says at once what came, went or was renamed. What else changed is only marked stale, and asked for when
somebody wants to see it, so that an engine whose containers nobody lists is not asked anything.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
import trio

from swarmlib import Message, NotFound, Path, Unavailable, Unsupported, Verb
from swarmlib.errors import ungrouped

from ..dockerapi.nulls import fields, items
from .index import Claim, Container, Index, Item

if TYPE_CHECKING:
    from .members import Member

_log = logging.getLogger("swarmlib.balance")

RESCHEDULE: Final = "com.docker.swarm.reschedule-policies"
MOVED: Final = "swarmlib.rescheduled-from"
"""The label of a container that stands in for one of an engine that died; holds that one's id."""
_PROJECT: Final = "com.docker.compose.project"
_INSPECTIONS: Final = 8
"""Inspections of one engine at once."""
_FILTERED: Final = 50
"""Stale containers that are listed by their ids; more are listed with all others."""
_SUMMARY_EVENTS: Final = frozenset(
    {"start", "die", "stop", "kill", "oom", "pause", "unpause", "restart", "rename", "update"}
)
_STATES: Final = {"start": "running", "die": "exited", "pause": "paused", "unpause": "running"}
"""What a container is after an event."""
_KINDS: Final = ("images", "networks", "volumes")
_GARBAGE: Final = (KeyError, TypeError, AttributeError, ValueError)


@contextmanager
def sensible(name: str) -> Generator[None]:
    """Around the reading of an engine's answers: what is none of an engine's is the engine's failure, not a bug here.

    Raises:
        Unavailable: the answers are none that an engine gives.
    """
    try:
        with ungrouped():
            yield
    except _GARBAGE as exc:
        raise Unavailable(f"its answers make no sense: {exc!r}", backend=name) from exc
    except BaseExceptionGroup as group:
        if group.split(_GARBAGE)[1] is not None:
            raise
        raise Unavailable(f"its answers make no sense: {group.exceptions[0]!r}", backend=name) from group


class Mirror:
    """One engine's part of the index."""

    def __init__(self, member: Member, index: Index) -> None:
        self._member = member
        self._index = index
        self.containers: dict[str, Container] = {}
        self.inspected: dict[str, dict[str, Any]] = {}
        """The inspections of the containers that may be rescheduled."""
        self._others: dict[str, dict[str, Item]] = {kind: {} for kind in _KINDS}
        self._stale: set[str] = set()
        self._stale_kinds: set[str] = set()
        self._asking = trio.Lock()
        self._gone: set[str] = set()
        """The containers that went while the engine is being asked: its answers may still speak of them."""

    def unsettled(self, kind: str) -> bool:
        """Whether something must be asked, or is being asked, before the index can be shown."""
        return bool(self._stale if kind == "containers" else kind in self._stale_kinds) or self._asking.locked()

    # Asking the engine.

    async def sync(self) -> None:
        """List everything anew.

        Raises:
            SwarmError: the engine does not answer, or not sensibly.
        """
        self._stale.update(self.containers)
        self._stale_kinds.update(_KINDS)
        self._stale.add("")
        await self.settle("containers", *_KINDS)

    async def settle(self, *wanted: str) -> None:
        """Ask for what is stale of these kinds. What was so when this was called is true when it returns.

        Raises:
            SwarmError: as `sync`.
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
                with sensible(self._member.name):
                    async with trio.open_nursery() as nursery:
                        for kind in kinds:
                            nursery.start_soon(self._relist, kind)
                        if ids:
                            nursery.start_soon(self._refresh, ids)
                settled = True
            finally:
                if not settled:
                    self._stale_kinds |= kinds
                    self._stale |= ids

    async def _ask(self, verb: Verb, path: Path, **args: str) -> Any:
        """The engine's answer; None where it has nothing of the kind (processes have no networks)."""
        try:
            return (await self._member.ask(Message(verb, path, args))).value
        except (Unsupported, NotFound):
            return None

    async def _relist(self, kind: str) -> None:
        known = dict(self._others[kind])  # what comes while the engine is asked need not be in its answer
        listed: Any = await self._ask(Verb.LS, (kind,))
        entries: list[dict[str, Any]] = items(fields(listed).get("Volumes") if kind == "volumes" else listed)
        found = {each.get("Id") or each["Name"]: (_names(kind, each), _group(kind, each)) for each in entries}
        for id, item in known.items():
            if found.get(id) != (item.names, item.group):
                self._forget(kind, id)
        for id, (names, group) in found.items():
            self.learn(kind, id, names, group)

    async def _refresh(self, ids: set[str]) -> None:
        """Take over what the engine says of some containers; of all, if the id "" is among them."""
        whole = "" in ids or len(ids) > _FILTERED
        known = set(self.containers)
        args = {"all": "1"} if whole else {"all": "1", "filters": orjson.dumps({"id": sorted(ids)}).decode()}
        summaries: list[dict[str, Any]] = await self._ask(Verb.LS, ("containers",), **args) or []
        gone = (known if whole else ids) - {each["Id"] for each in summaries}
        self._forget_containers(gone)
        waiting = [each for each in summaries if each["Id"] in ids or each["Id"] not in self.containers][::-1]
        async with trio.open_nursery() as nursery:
            for _ in range(min(_INSPECTIONS, len(waiting))):
                nursery.start_soon(self._inspect_each, waiting)

    async def _inspect_each(self, waiting: list[dict[str, Any]]) -> None:
        while waiting:
            summary = waiting.pop()
            self._tell(summary, await self._ask(Verb.GET, ("containers", summary["Id"])))

    def _tell(self, summary: dict[str, Any], inspected: dict[str, Any] | None) -> None:
        id: str = summary["Id"]
        if inspected is None or id in self._gone:
            self._forget_containers({id})
            return
        container = self._container(id, [name.lstrip("/") for name in items(summary.get("Names"))])
        container.tell(summary, inspected)
        self._index.group(container, _group("containers", summary))
        self.claim(container, claim_of(inspected.get("HostConfig") or {}))
        self._index.changed()
        labels: dict[str, str] = summary.get("Labels") or {}
        if RESCHEDULE in labels:
            self.inspected[id] = inspected
        if MOVED in labels:
            self._index.moved.add(labels[MOVED])

    async def drift(self) -> int:
        """List the containers, and mark as stale what differs from what is known; gives how many did.

        Raises:
            SwarmError: as `sync`.
        """
        with sensible(self._member.name):
            listed: list[dict[str, Any]] = await self._ask(Verb.LS, ("containers",), all="1") or []
            found = {each["Id"]: str(each.get("State", "")) for each in listed}
        known = {id: each.state for id, each in self.containers.items() if id not in self._stale}
        differing = {id for id in found.keys() | known.keys() if found.get(id) != known.get(id)} - self._stale
        self._stale |= differing
        if differing:
            _log.warning("%s: %d containers had changed without an event", self._member.name, len(differing))
        return len(differing)

    # What is known without asking.

    def image_names(self) -> list[str]:
        """The tags and digests of its images."""
        return [name for item in self._others["images"].values() for name in item.names]

    def apply(self, event: Mapping[str, Any]) -> bool:
        """Take over an event; says whether it concerns a container that may be rescheduled."""
        actor: dict[str, Any] = event.get("Actor") or {}
        id, attributes = str(actor.get("ID", "")), cast("dict[str, Any]", actor.get("Attributes") or {})
        action = str(event.get("Action", ""))
        match event.get("Type"):
            case "container":
                self._container_event(action, id, attributes)
                return RESCHEDULE in attributes
            case "network" if action in ("connect", "disconnect"):
                self.touch(str(attributes.get("container", "")))
            case "network":
                self._came_or_went("networks", action, id, (str(attributes.get("name", "")),))
            case "volume":
                self._came_or_went("volumes", action, id, (id,))
            case "image":
                self._stale_kinds.add("images")
            case _:
                pass
        return False

    def _container_event(self, action: str, id: str, attributes: Mapping[str, Any]) -> None:
        name = str(attributes.get("name", ""))
        if action == "create":
            self.spawned(id, name)
        elif action == "destroy":
            self._forget_containers({id})
        elif action.startswith("exec_") and "execID" in attributes:
            self._index.add_exec(str(attributes["execID"]), self._member)
        elif action in _SUMMARY_EVENTS or action.startswith("health_status"):
            if (container := self.containers.get(id)) is not None:
                container.state = _STATES.get(action, container.state)
                if action == "rename":
                    self._index.containers.rename(container, [name])
            self.touch(id)

    def _came_or_went(self, kind: str, action: str, id: str, names: Sequence[str]) -> None:
        if action == "create":
            self.learn(kind, id, tuple(names))
        elif action in ("destroy", "remove"):
            self._forget(kind, id)
        self._stale_kinds.add(kind)  # an event doesn't tell labels, and a list that was just asked for may be older

    def spawned(self, id: str, name: str, claim: Claim | None = None) -> Container:
        """Know of a container that is new."""
        container = self._container(id, [name] if name else [])
        if claim is not None:
            self.claim(container, claim)
        self.touch(id)
        return container

    def _container(self, id: str, names: Sequence[str]) -> Container:
        container = self.containers.get(id)
        if container is None:
            container = self.containers[id] = Container(self._member, id, names)
            self._index.add(container)
        elif names and container.names != tuple(names):
            self._index.containers.rename(container, names)
        return container

    def claim(self, container: Container, claim: Claim) -> None:
        """Know what a container takes of its engine."""
        self._member.take(container.claim, -1)
        self._member.take(claim, 1)
        container.claim = claim

    def touch(self, id: str) -> None:
        """A container changed: its summary must be asked for before it is shown."""
        if id in self.containers:
            self._stale.add(id)

    def touch_kind(self, kind: str) -> None:
        """Objects of a kind changed."""
        if kind in self._others:
            self._stale_kinds.add(kind)

    def removed(self, kind: str, id: str) -> None:
        """Know that an object is gone."""
        if kind == "containers":
            self._forget_containers({id})
        elif kind in self._others:
            self._forget(kind, id)

    def forget_all(self) -> None:
        """The engine leaves."""
        self._forget_containers(set(self.containers))
        for kind, known in self._others.items():
            for id in list(known):
                self._forget(kind, id)

    def _forget_containers(self, ids: set[str]) -> None:
        gone = {self.containers.pop(id) for id in ids if id in self.containers}
        for container in gone:
            self._member.take(container.claim, -1)
            self.inspected.pop(container.id, None)
        self._stale -= ids
        if self._asking.locked():
            self._gone |= ids
        if gone:
            self._index.remove(gone)

    def learn(self, kind: str, id: str, names: tuple[str, ...], group: str = "") -> None:
        """Know of an object that is no container."""
        if id not in self._others[kind]:
            self._others[kind][id] = item = Item(self._member, id, names)
            self._table(kind).add(item)
            self._index.group(item, group)

    def _forget(self, kind: str, id: str) -> None:
        item = self._others[kind].pop(id, None)
        if item is not None:
            self._table(kind).remove(item)
            self._index.group(item, "")

    def _table(self, kind: str) -> Any:
        return self._index.table(kind)


def _names(kind: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    if kind == "images":
        tags: list[str] = [*items(entry.get("RepoTags")), *items(entry.get("RepoDigests"))]
        return tuple(tag for tag in tags if "<none>" not in tag)
    return (str(entry["Name"]),)


def _group(kind: str, entry: Mapping[str, Any]) -> str:
    return "" if kind == "images" else group_of(entry.get("Labels"))


def group_of(labels: Mapping[str, str] | None) -> str:
    """What its labels say it belongs with: the Compose project, whose parts must be on one engine."""
    return (labels or {}).get(_PROJECT, "")


def claim_of(host_config: Mapping[str, Any]) -> Claim:
    """What a container takes of its engine, by its `HostConfig`."""
    bindings: dict[str, list[dict[str, Any]] | None] = host_config.get("PortBindings") or {}
    ports = [
        (key.partition("/")[2] or "tcp", str(each.get("HostIp") or ""), int(each["HostPort"]))
        for key, given in bindings.items()
        for each in given or []
        if str(each.get("HostPort") or "").isdigit() and int(each["HostPort"])
    ]
    memory = host_config.get("Memory") or host_config.get("MemoryReservation") or 0
    return Claim(int(host_config.get("NanoCpus") or 0), int(memory), ports)
