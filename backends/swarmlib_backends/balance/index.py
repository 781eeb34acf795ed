"""Who owns what: every engine's objects by id, name and id prefix, and the list of containers kept ready to send.

All of it is memory; `mirror` keeps it true. Finding an object costs the same for one engine and for a thousand.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, cast

import orjson

from ..dockerapi.ages import human, since, template
from .origins import Departed

if TYPE_CHECKING:
    from .members import Member

LABEL: Final = "swarmlib.node"
"""The label that tells an object's engine."""
_TELLING: Final = 6
"""Digits of an id's beginning that are no accident: a name of another engine's object that is the same is ambiguous."""
_DIGITS: Final = frozenset("0123456789abcdef")
_FOREVER: Final = float("inf")


class Item:
    """One object on one engine."""

    __slots__ = ("group", "id", "member", "names", "shared")

    def __init__(self, member: Member, id: str, names: Iterable[str], *, shared: bool = False) -> None:
        self.member = member
        self.shared = shared
        """Whether it says that all engines of a swarm have it."""
        self.group = ""
        self.id = id
        self.names = tuple(names)

    @property
    def label(self) -> str:
        """What tells it from others of the same name."""
        return f"{self.member.name}/{self.names[0] if self.names else self.id[:12]}"


class Container(Item):
    """One container: its summary, ready to send but for its age, and what placement must know of it."""

    __slots__ = ("_after", "_base", "_before", "_status", "_until", "body", "claim", "created", "state")

    def __init__(self, member: Member, id: str, names: Iterable[str] = ()) -> None:
        super().__init__(member, id, names)
        self.body = b""
        self.created = 0.0
        self.state = "created"
        self.claim = NOTHING
        self._before = self._after = ""
        self._base = 0.0
        self._status = b""
        self._until = 0.0

    def tell(self, summary: dict[str, Any], inspected: Mapping[str, Any]) -> None:
        """Take over what its engine says: its entry in a list, and its inspection."""
        state: Mapping[str, Any] = inspected.get("State") or {}
        rest = {key: value for key, value in summary.items() if key != "Status"}
        rest["Labels"] = {**(summary.get("Labels") or {}), LABEL: self.member.name}
        rest["Node"] = self.member.name
        self.body = orjson.dumps(rest)[:-1]
        self.created = since(inspected.get("Created") or "") or summary.get("Created") or 0
        self.state = summary.get("State") or ""
        status: str = summary.get("Status") or ""
        ages = template(status)
        self._before, self._after = ages or (status, "")
        moment = since(state.get("StartedAt" if status.startswith("Up") else "FinishedAt") or "")
        self._base = moment if ages else 0.0
        self._until = 0.0
        if not self._base:
            self._status, self._until = _field(status), _FOREVER

    def parts(self, now: float) -> tuple[bytes, bytes, float]:
        """Its summary in two pieces, and until when they are true; `now` is the time on its engine's clock."""
        if now >= self._until:
            age, lasts = human(now - self._base)
            self._status = _field(f"{self._before}{age}{self._after}")
            self._until = self._base + lasts
        return self.body, self._status, self._until

    @property
    def summary(self) -> dict[str, Any]:
        """Its summary, without the status; {} until it is known."""
        return cast("dict[str, Any]", orjson.loads(self.body + b"}")) if self.body else {}


def _field(status: str) -> bytes:
    return b',"Status":' + orjson.dumps(status) + b"}"


Port: TypeAlias = tuple[str, str, int]
"""Of an engine: protocol, address, number."""


class Claim:
    """What a container takes of its engine: billionths of a CPU, bytes of memory, ports."""

    __slots__ = ("cpus", "memory", "ports")

    def __init__(self, cpus: int = 0, memory: int = 0, ports: Iterable[Port] = ()) -> None:
        self.cpus = cpus
        self.memory = memory
        self.ports = tuple(ports)


NOTHING: Final = Claim()

AnItem = TypeVar("AnItem", bound=Item)


class Table(Generic[AnItem]):
    """The objects of one kind on all engines, by id, name, and unique id prefix."""

    def __init__(self, lost: Callable[[AnItem], None] | None = None) -> None:
        """lost: is called with each item that is about to lose its names."""
        self._lost = lost
        self._by_id: dict[str, tuple[AnItem, ...]] = {}
        self._by_name: dict[str, tuple[AnItem, ...]] = {}
        self._ids: list[str] | None = None
        """The ids in order, for prefixes; None until somebody asks for one."""

    def add(self, item: AnItem) -> None:
        """Take up an object."""
        others = self._by_id.get(item.id, ())
        self._by_id[item.id] = (*others, item)
        if self._ids is not None and not others:
            insort(self._ids, item.id)
        self._name(item)

    def remove(self, item: AnItem) -> None:
        """Forget an object that was added."""
        _without(self._by_id, item.id, item)
        if self._ids is not None and item.id not in self._by_id:
            del self._ids[bisect_left(self._ids, item.id)]
        self._unname(item)

    def rename(self, item: AnItem, names: Iterable[str]) -> None:
        """Give an object that was added other names."""
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
        """What `ref` may mean: an id, else a name, else the beginning of ids, as an engine reads it.

        Each engine vouches for its own objects only: what is an id or a name on one engine does not hide what `ref`
        means on another. Only the short beginning of an id yields to a name, so that a container may be called `cafe`.
        """
        ids, names = self._by_id.get(ref, ()), self._by_name.get(ref, ())
        if not ids and not names:
            return self._beginning_with(ref)
        found = _with_others(ids, names)
        if len(ref) >= _TELLING and set(ref) <= _DIGITS:
            found = _with_others(found, self._beginning_with(ref))
        return found

    def with_id(self, id: str) -> tuple[AnItem, ...]:
        """The objects of exactly this id."""
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
    """What was found, and what others than those engines have."""
    known = {item.member for item in found}
    return (*found, *(item for item in more if item.member not in known))


def _without(table: dict[str, tuple[AnItem, ...]], key: str, item: AnItem) -> None:
    left = tuple(each for each in table.get(key, ()) if each is not item)
    if left:
        table[key] = left
    else:
        table.pop(key, None)


class Index:
    """The objects of all engines."""

    def __init__(self) -> None:
        self.departed = Departed()
        self.times = count(1)
        """In which order what engines tell was heard."""
        self.containers = Table[Container](self.departed.note_names)
        self.images = Table[Item]()
        self.networks = Table[Item]()
        self.volumes = Table[Item]()
        self.execs = Table[Item]()
        self._groups: dict[str, list[Item]] = {}
        self._order: list[Container] = []
        """Nearly in the order of the list, so that sorting it costs little."""
        self._lists: dict[bool, tuple[bytes, float]] = {}

    def table(self, kind: str) -> Table[Any] | None:
        """The table of a kind of objects, by the first word of their paths."""
        tables: dict[str, Table[Any]] = {
            "containers": self.containers,
            "images": self.images,
            "networks": self.networks,
            "volumes": self.volumes,
        }
        return tables.get(kind)

    def find(self, kind: str, ref: str) -> tuple[Item, ...]:
        """What `ref` may mean among the objects of a kind; () where that isn't known."""
        if kind == "exec":
            return self.execs.with_id(ref)
        if kind == "images":
            return self._find_image(ref)
        table = self.table(kind)
        return table.find(ref.lstrip("/")) if table is not None else ()

    def _find_image(self, ref: str) -> tuple[Item, ...]:
        name = image_name(ref)
        if len(found := self.images.find(name)) > 1:
            return tuple(sorted(found, key=lambda item: item.member.mirror.image_names.given(name), reverse=True))
        return found or self.images.find(ref) or self.images.find(f"sha256:{ref}")

    def newer_image(self, ref: str, member: Member) -> Item | None:
        """The image that a name means on another engine, where it was given later than on this one."""
        found = [item for item in self._find_image(ref) if item.member.up]
        here = next((item for item in found if item.member is member), None)
        if here is None or found[0].id == here.id:
            return None
        there, name = found[0], image_name(ref)
        later = there.member.mirror.image_names.given(name) > member.mirror.image_names.given(name)
        return there if later else None

    def group(self, item: Item, group: str) -> None:
        """Say what an object belongs with; "" for nothing."""
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

    def holders_of_group(self, group: str) -> set[Member]:
        """The engines that have something of a group; where none has any more, the one that had it last."""
        return {item.member for item in self._groups.get(group, ())} or self.departed.holders("groups", group)

    # The list of containers.

    def changed(self) -> None:
        """A container's summary changed, or which engines are up."""
        self._lists.clear()

    def add(self, container: Container) -> None:
        """Take up a container."""
        self.containers.add(container)
        self._order.append(container)
        self._lists.clear()

    def remove(self, containers: set[Container]) -> None:
        """Forget containers."""
        for container in containers:
            self.containers.remove(container)
            self.group(container, "")
        self._order = [each for each in self._order if each not in containers]
        self._lists.clear()

    def listed(self, *, running: bool, now: float) -> bytes:
        """The JSON list of the containers of the engines that are up, the newest first; `now` is our clock's."""
        known = self._lists.get(running)
        if known is not None and now < known[1]:
            return known[0]
        self._order.sort(key=_created, reverse=True)
        self._lists[running] = made = _joined(self._order, running, now)
        return made[0]

    def listed_of(self, members: Iterable[Member], *, running: bool, now: float) -> bytes:
        """The same, of some engines."""
        chosen = [each for member in members for each in member.mirror.containers.values()]
        return _joined(sorted(chosen, key=_created, reverse=True), running, now)[0]


def _created(container: Container) -> float:
    return container.created


def _joined(containers: Iterable[Container], running: bool, now: float) -> tuple[bytes, float]:
    pieces: list[bytes] = []
    lasts = _FOREVER
    for each in containers:
        if (running and each.state not in RUNNING) or not each.body or not each.member.up:
            continue
        skew = each.member.skew
        body, status, until = each.parts(now + skew)
        pieces += (b",", body, status)
        lasts = min(lasts, until - skew)
    return b"[" + b"".join(pieces[1:]) + b"]\n", lasts


RUNNING: Final = frozenset({"running", "paused", "restarting"})
"""The states of what `docker ps` shows without `--all`."""
ENDED: Final = frozenset({"exited", "dead", "removing"})
"""The states of what holds no port any more."""


def placed(kind: str, ref: str, holders: Iterable[Member]) -> str:
    """What says where an object is."""
    return f"the {kind.removesuffix('s')} {ref} is on {', '.join(sorted(member.name for member in holders))}"


def image_name(ref: str) -> str:
    """An image's name as engines list it: with its tag, without the registry that is meant where none is named."""
    name = ref.removeprefix("docker.io/").removeprefix("library/")
    return name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"
