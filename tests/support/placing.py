"""The rules of placement in plain words, for one engine after the other: a reference for tests of the real ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

from swarmlib_backends.balance.node import Claim, Port

MIB: Final = 2**20
PLACING: Final = "being created"
_ENDED: Final = ("exited", "dead")


@dataclass(frozen=True)
class Amounts:
    """What a container takes: whole CPUs, MiB of memory, ports."""

    cpus: int
    memory: int
    ports: list[Port]

    @property
    def claim(self) -> Claim:
        """The same for placement."""
        return Claim(self.cpus * 10**9, self.memory * MIB, self.ports)


@dataclass(frozen=True)
class Box:
    """A container of an engine."""

    name: str
    state: str
    tier: str
    claim: Amounts


@dataclass(frozen=True)
class Machine:
    """What is known of an engine."""

    name: str
    up: bool
    failure: str
    closed: str
    driver: str
    labels: list[str]
    attributes: dict[str, str]
    runtimes: list[str]
    cpus: int
    memory: int
    boxes: list[Box]
    images: list[str]
    at_hand: bool

    def taken(self, what: Literal["cpus", "memory"]) -> int:
        """Return what its containers take of it."""
        return sum(getattr(each.claim, what) for each in self.boxes)


@dataclass(frozen=True)
class Wish:
    """A rule, such as `region==~eu*`."""

    key: str
    operator: str
    value: str

    @property
    def soft(self) -> bool:
        """Whether it is a preference."""
        return self.operator.endswith("~")

    def __str__(self) -> str:
        return self.key + self.operator + self.value


@dataclass(frozen=True)
class Asked:
    """What a container asks for."""

    constraints: list[Wish]
    affinities: list[Wish]
    beside: list[str]
    origin: str
    of_host: str
    isolation: str
    runtime: str
    claim: Amounts
    service: bool


class Reference:
    """The rules, as docs/balance.md and the errors tell them."""

    def __init__(self, machines: Sequence[Machine], asked: Asked, tried: Mapping[str, str]) -> None:
        self.machines, self.asked, self.tried = machines, asked, tried

    def choice(self, *, fullest: bool) -> str:
        """Return the name of the engine that gets the container, or the text of the error."""
        why = {each.name: next(self.against(each), "") for each in self.machines}
        left = [each for each in self.machines if not why[each.name]]
        if not left:
            told = "; ".join(f"{name}: {reason}" for name, reason in why.items()) or "there is none"
            return f"no engine fits this container: {told}"
        for preferred in self.preferences():
            left = [each for each in left if each.name in preferred] or left
        home = self.home()
        if home in left:
            return home.name
        by_fullness = sorted(left, key=self.fullness, reverse=fullest)  # equal ones stay in their order
        return by_fullness[0].name

    def home(self) -> Machine | None:
        """The engine of the original, if the container is recreated."""
        return next((each for each in self.machines if each.name == self.asked.origin), None)

    def against(self, machine: Machine) -> Iterator[str]:
        """Yield the reasons against an engine, the one that is told first."""
        asked = self.asked
        if machine.name in self.tried:
            yield self.tried[machine.name]
        if not machine.up:
            yield f"it is down ({machine.failure})" if machine.failure else "it has not answered yet"
        elif machine.closed:
            yield machine.closed
        if (machine.driver == "swarm") != asked.service:
            yield "it is not a swarm" if asked.service else "its containers are services (label swarmlib.swarm=service)"
        if asked.service:
            return
        yield from self.against_wishes(machine)
        home = self.home()
        moves = home is None or not asked.of_host or any(self.against_wishes(home))
        if home is not None and not moves and machine is not home:
            kept = f"uses {asked.of_host} there (constraint:node=={machine.name} moves it)"
            yield f"it was on {home.name}, and {kept}"
        yield from self.against_room(machine)

    def against_wishes(self, machine: Machine) -> Iterator[str]:
        """Yield what an engine lacks of what is asked for by name."""
        for rule in self.asked.constraints:
            if not rule.soft and not meets(rule, value := told(machine, rule.key)):
                yield f"constraint {rule}: its {rule.key} is {''.join(value) or 'not set'}"
        if self.asked.isolation and self.asked.isolation not in machine.runtimes:
            have = ", ".join(sorted(machine.runtimes)) or "none at all"
            yield f"it has no isolation {self.asked.isolation}, only {have}"
        for name in self.asked.beside:
            holders = sorted(each.name for each in self.machines if name in has(each, "container"))
            if holders and machine.name not in holders:
                yield f"the container {name} is on {', '.join(holders)}"
        for rule in self.asked.affinities:
            if not rule.soft and not meets(rule, has(machine, rule.key)):
                noun = rule.key if rule.key in ("container", "image") else "label on a container"
                yield f"affinity {rule}: it has {'no such' if rule.operator == '==' else 'such a'} {noun}"

    def against_room(self, machine: Machine) -> Iterator[str]:
        """Yield what an engine has too little of."""
        for slots in told(machine, "containerslots"):
            if len(machine.boxes) >= int(slots):
                yield f"all its {slots} container slots are taken"
        wanted = self.asked.claim
        held = {port for box in machine.boxes if box.state not in _ENDED for port in box.claim.ports}
        for protocol, address, number in wanted.ports:
            everywhere = address in ("", "0.0.0.0")
            of_number = {held_at for other, held_at, taken in held if (other, taken) == (protocol, number)}
            if of_number & {address, "", "0.0.0.0"} or (of_number and everywhere):
                yield f"its port {number}/{protocol} is taken"
        free = machine.memory - machine.taken("memory")
        if wanted.memory and machine.memory and wanted.memory > free:
            yield f"{wanted.memory} MiB of memory are wanted, {max(free, 0)} MiB of {machine.memory} MiB are free"
        free = machine.cpus - machine.taken("cpus")
        if wanted.cpus and machine.cpus and wanted.cpus > free:
            yield f"{wanted.cpus} CPUs are wanted, {max(free, 0)} of {machine.cpus} are free"

    def preferences(self) -> Iterator[set[str]]:
        """Yield the engines that each preference would leave, the most important one first."""
        asked = self.asked
        yield {each.name for each in self.machines if each.at_hand}
        if asked.runtime:
            yield {each.name for each in self.machines if asked.runtime in each.runtimes}
        for rule in [each for each in asked.constraints if each.soft]:
            yield {each.name for each in self.machines if meets(rule, told(each, rule.key))}
        for rule in [each for each in asked.affinities if each.soft]:
            yield {each.name for each in self.machines if meets(rule, has(each, rule.key))}
        yield {each.name for each in self.machines if each.driver != "exec"}
        yield {each.name for each in self.machines if "swarmlib.last-resort=true" not in each.labels}

    def fullness(self, machine: Machine) -> tuple[float, int]:
        """How much of an engine would be reserved, and how many containers it has."""
        share = 0.0
        if self.asked.claim.cpus and machine.cpus:
            share += (self.asked.claim.cpus + machine.taken("cpus")) / machine.cpus
        if self.asked.claim.memory and machine.memory:
            share += (self.asked.claim.memory + machine.taken("memory")) / machine.memory
        return share, len(machine.boxes)


def told(machine: Machine, key: str) -> list[str]:
    """Return the value of a property of an engine, if it is set."""
    labels = dict(each.split("=", 1) for each in reversed(machine.labels))
    values = {"driver": machine.driver, **labels, **machine.attributes, "node": machine.name}
    return [values[key]] if key in values else []


def has(machine: Machine, key: str) -> list[str]:
    """Return the values on an engine that an affinity is compared with."""
    if key == "image":
        return machine.images
    created = [box for box in machine.boxes if box.state != PLACING]
    return [box.name if key == "container" else box.tier for box in created]


def meets(rule: Wish, values: Collection[str]) -> bool:
    """Return whether one of the values fits a rule, or none if the rule says `!=`."""
    return any(fnmatchcase(each, rule.value) for each in values) == rule.operator.startswith("==")
