"""Which engine a new container goes to: filters rule engines out, each with its reason, and the strategy picks one."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from itertools import count
from typing import Final, Literal, TypeAlias

from swarmlib import Unavailable

from ..dockerapi.isolation import lacking, offered
from . import origins
from .index import ENDED, RUNNING, Index, Port, placed
from .members import Member
from .wish import Rule, Wish

Strategy: TypeAlias = Literal["spread", "binpack", "random", "round-robin", "least-loaded", "hash"]

_ABOUT: Final = {
    "storagedriver": "Driver",
    "driver": "Driver",
    "kernelversion": "KernelVersion",
    "operatingsystem": "OperatingSystem",
    "ostype": "OSType",
    "architecture": "Architecture",
}
"""What rules may say of an engine besides its own labels, and where `info` says it."""
_SLOTS: Final = "containerslots"
LAST_RESORT: Final = "swarmlib.last-resort=true"
"""The label of an engine that is for what fits nowhere else: it costs more (machines that are made when needed)."""

Reason: TypeAlias = "str | None"
"""Why an engine can't have a container; None if it can."""


class Placement:
    """Chooses engines."""

    def __init__(self, strategy: Strategy, index: Index) -> None:
        self._strategy = strategy
        self._index = index
        self._turns = count()

    def choose(self, wish: Wish, members: Sequence[Member], tried: Mapping[Member, str]) -> Member:
        """The engine for a container.

        members: all there are. tried: those that have refused it, and why.

        Raises:
            Unavailable: no engine fits; says why each was ruled out.
        """
        reasons: dict[Member, str] = {}
        home = origins.home(wish.origins, members, self._index)
        rules = [*self._rules(wish, home)]
        fitting: list[Member] = []
        for member in members:
            reason = tried.get(member) or _health(member)
            for rule in rules:
                reason = reason or rule(member)
            if reason is None:
                fitting.append(member)
            else:
                reasons[member] = reason
        if not fitting:
            said = "; ".join(f"{member.name}: {reason}" for member, reason in reasons.items())
            raise Unavailable(f"no engine fits this container: {said or 'there is none'}")
        fitting = self._preferred(wish, fitting)
        return home if home in fitting else self._pick(wish, fitting)

    def _rules(self, wish: Wish, home: Member | None) -> Iterator[Callable[[Member], Reason]]:
        """What can rule an engine out; only what the container has a wish for.

        home: where the container was, if it is made anew. What is asked for may move it from there; want of room not.
        """
        asked = [*self._asked(wish)]
        yield from asked
        if wish.of_host and home is not None and all(rule(home) is None for rule in asked):
            yield partial(_stays, wish, home)
        yield _slots
        if wish.claim.ports:
            yield partial(_port, wish)
        if wish.claim.cpus or wish.claim.memory:
            yield partial(_resources, wish)

    def _asked(self, wish: Wish) -> Iterator[Callable[[Member], Reason]]:
        for rule in wish.constraints:
            if not rule.soft:
                yield partial(_constraint, rule)
        if wish.isolation:
            yield partial(_isolation, wish.isolation)
        for kind, ref in wish.beside:
            if holders := {item.member for item in self._index.find(kind, ref)}:
                yield partial(_beside, kind, ref, holders)
        for rule in wish.affinities:
            if not rule.soft:
                yield partial(self._affinity, rule)

    def _preferred(self, wish: Wish, members: list[Member]) -> list[Member]:
        """Those that soft rules prefer; a rule that would leave none is let go."""
        soft: list[Callable[[Member], Reason]] = [
            *(partial(_constraint, rule) for rule in wish.constraints if rule.soft),
            *(partial(self._affinity, rule) for rule in wish.affinities if rule.soft),
            _processes,
            _last_resort,
        ]
        if wish.runtime:
            soft.insert(0, partial(_isolation, wish.runtime))
        if holders := self._index.holders_of_group(wish.group):
            soft.append(partial(_beside, "group", wish.group, holders))
        for rule in soft:
            members = [member for member in members if rule(member) is None] or members
        return members

    def _affinity(self, rule: Rule, member: Member) -> Reason:
        if any(map(rule.fits, self._values(rule, member))) is rule.wanted:
            return None
        return f"affinity {rule.text}: it has {'no such' if rule.wanted else 'such a'} {_affinity_noun(rule.key)}"

    def _values(self, rule: Rule, member: Member) -> Iterator[str]:
        """What an affinity is compared with, of one engine."""
        if rule.key in ("container", "image") and rule.exact is not None:
            kind = f"{rule.key}s"
            yield from (rule.exact for item in self._index.find(kind, rule.exact) if item.member is member)
        elif rule.key == "container":
            yield from (name for each in member.mirror.containers.values() for name in (*each.names, each.id))
        elif rule.key == "image":
            yield from member.mirror.image_names
        else:
            for each in member.mirror.containers.values():
                labels: Mapping[str, str] = each.summary.get("Labels") or {}
                if rule.key in labels:
                    yield labels[rule.key]

    def _pick(self, wish: Wish, members: Sequence[Member]) -> Member:
        match self._strategy:
            case "spread":
                return min(members, key=partial(_fullness, wish))
            case "binpack":
                return max(members, key=partial(_fullness, wish))
            case "random":
                return random.choice(members)  # nothing secret
            case "round-robin":
                return members[next(self._turns) % len(members)]
            case "least-loaded":
                return min(members, key=_busy)
            case _:  # by hash: the highest stays the highest for most keys when engines come and go
                return max(members, key=partial(_weight, wish.key))


def _fullness(wish: Wish, member: Member) -> tuple[float, int]:
    return _share(wish, member), member.count


def _weight(key: str, member: Member) -> bytes:
    return blake2b(f"{member.name}\0{key}".encode()).digest()


@contextmanager
def placing(member: Member, wish: Wish) -> Generator[None]:
    """While a container is being made, count it as its engine's."""
    member.placing.append(wish.claim)
    member.take(wish.claim, 1)
    try:
        yield
    finally:
        member.placing.remove(wish.claim)
        member.take(wish.claim, -1)


def _health(member: Member) -> Reason:
    if member.up:
        return None
    return f"it is down ({member.failure.message})" if member.failure else member.trouble


def _constraint(rule: Rule, member: Member) -> Reason:
    value = _property(rule.key, member)
    if (value is not None and rule.fits(value)) is rule.wanted:
        return None
    return f"constraint {rule.text}: its {rule.key} is {'not set' if value is None else value}"


def _stays(wish: Wish, home: Member, member: Member) -> Reason:
    if member is home:
        return None
    return f"it was on {home.name}, and uses {wish.of_host} there (constraint:node=={member.name} moves it)"


def _property(key: str, member: Member) -> str | None:
    if key == "node":
        return member.name
    labels: list[str] = member.about.get("Labels") or []
    for name, _, value in (each.partition("=") for each in labels):
        if name == key:
            return value
    known = _ABOUT.get(key.lower())
    return None if known is None else str(member.about.get(known, ""))


def _isolation(name: str, member: Member) -> Reason:
    have = offered(member.about)
    return None if name in have else lacking(name, have)


def _slots(member: Member) -> Reason:
    if not member.about.get("Labels"):
        return None
    slots = _property(_SLOTS, member)
    if slots is None or not slots.isdigit() or member.count < int(slots):
        return None
    return f"all its {slots} container slots are taken"


def _beside(kind: str, ref: str, holders: set[Member], member: Member) -> Reason:
    if member in holders:
        return None
    return placed(kind, ref, holders)


def _port(wish: Wish, member: Member) -> Reason:
    for wanted in wish.claim.ports:
        if any(holders and _clash(wanted, port) for port, holders in member.ports.items()) and _in_use(wanted, member):
            return f"its port {wanted[2]}/{wanted[0]} is taken"
    return None


def _in_use(wanted: Port, member: Member) -> bool:
    """Whether something that runs, or is about to, has the port; what has ended may keep its claim, and has let go."""
    alive = [each.claim for each in member.mirror.containers.values() if each.state not in ENDED]
    return any(_clash(wanted, port) for claim in [*alive, *member.placing] for port in claim.ports)


def _clash(one: Port, other: Port) -> bool:
    everywhere = {"", "0.0.0.0", "::"}
    same = one[1] == other[1] or one[1] in everywhere or other[1] in everywhere
    return same and one[0] == other[0] and one[2] == other[2]


def _resources(wish: Wish, member: Member) -> Reason:
    memory, cpus = int(member.about.get("MemTotal") or 0), _billionths(member)
    if wish.claim.memory and wish.claim.memory + member.load.memory > memory:
        free = max(memory - member.load.memory, 0)
        return f"{_mib(wish.claim.memory)} of memory are wanted, {_mib(free)} of {_mib(memory)} are free"
    if wish.claim.cpus and wish.claim.cpus + member.load.cpus > cpus:
        free = max(cpus - member.load.cpus, 0)
        return f"{wish.claim.cpus / 1e9:g} CPUs are wanted, {free / 1e9:g} of {cpus / 1e9:g} are free"
    return None


def _billionths(member: Member) -> int:
    return int(member.about.get("NCPU") or 0) * 10**9


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def _processes(member: Member) -> Reason:
    return "its workloads are processes, not containers" if member.about.get("Driver") == "exec" else None


def _last_resort(member: Member) -> Reason:
    labels: list[str] = member.about.get("Labels") or []
    return "it is for what fits nowhere else" if LAST_RESORT in labels else None


def _affinity_noun(key: str) -> str:
    return key if key in ("container", "image") else "label on a container"


def _share(wish: Wish, member: Member) -> float:
    """How much of the engine would be reserved, of 2: its CPUs and its memory. 0 for who reserves nothing."""
    share = 0.0
    if wish.claim.cpus and (cpus := _billionths(member)):
        share += (member.load.cpus + wish.claim.cpus) / cpus
    if wish.claim.memory and (memory := int(member.about.get("MemTotal") or 0)):
        share += (member.load.memory + wish.claim.memory) / memory
    return share


def _busy(member: Member) -> float:
    """Running containers for each CPU."""
    running = sum(each.state in RUNNING for each in member.mirror.containers.values()) + len(member.placing)
    return running / float(member.about.get("NCPU") or 1)
