"""Virtual machines as engines: containers on machines that are made when they are needed, and sleep when they are not.

It is a `balance` whose members come as they are made. Those that run are filled first, then one that sleeps is woken,
then one is made, up to `--max`. Those of `--vm` were there before, and are only used.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import trio

from swarmlib import (
    CLEANUP_SECONDS,
    UNSENT,
    Chain,
    NotFound,
    Path,
    Request,
    SwarmError,
    Unavailable,
    Unsupported,
)
from swarmlib.errors import ungrouped

from ..balance import Balance, lists, merge
from ..balance import wish as wishes
from ..balance.members import Member
from ..balance.placement import LAST_RESORT, Placement
from ..balance.spawning import Spawner
from ..balance.wish import Wish
from ..enginekit.pong import pong
from . import Azure, duration
from .access import Access, state_folder
from .client import connected
from .making import making
from .objects import Machine
from .sleeper import MachineEngine, Memory, Sleeper, capacity
from .spec import TAG, Body
from .workloads import default_spec, machines

_log = logging.getLogger(__name__)

_NOTHING: Final[Mapping[Path, Any]] = {("volumes",): {"Volumes": [], "Warnings": None}}
"""Lists that are no plain lists, with nothing in them."""
_LOOKS: Final = 4
"""How often within the time of `--idle` it is looked whether a machine is."""
_LONGEST_LOOK: Final = 15.0
_OFF: Final = frozenset({"deallocated", "deallocating", "stopped", "stopping"})


@dataclass(eq=False)
class _Engine:
    """A machine, and its stage. `joined`: its membership."""

    machine: Machine
    sleeper: Sleeper
    joined: Any

    @property
    def made(self) -> bool:
        """Whether it was made by swarmlib, and not before."""
        return self.machine.tags.get(TAG) == "engine"

    @property
    def member(self) -> Member:
        """Its place in the balance."""
        member: Member = self.joined.member
        return member


class _AwakeFirst(Placement):
    """Places on machines that run, as long as one of them fits."""

    asleep: Mapping[Member, _Engine]

    def choose(self, wish: Wish, members: Sequence[Member], tried: Mapping[Member, str]) -> Member:
        """See `Placement.choose`. A rule about the node spoke of this backend: the machines' names are made up."""
        wish = replace(wish, constraints=[rule for rule in wish.constraints if rule.key != "node"])
        awake = [member for member in members if not self.asleep[member].sleeper.asleep]
        try:
            return super().choose(wish, awake, tried)
        except Unavailable:
            return super().choose(wish, members, tried)


class Engines(Balance):
    """The machines of one group that hold containers."""

    azure: Azure

    def __post_init__(self) -> None:
        """Machines come later: none is needed."""

    @property
    def name(self) -> str:
        """The backend's, and the group's."""
        return f"azure {self.azure.group}"

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Find the machines that there are, by their tags, and keep them; in the end they stay as they are."""
        azure = self.azure
        self._engines: dict[Member, _Engine] = {}
        self._growing = trio.Lock()
        async with super().lifespan(), connected(azure.subscription) as self._arm:
            placement = _AwakeFirst("binpack", self._roster.index)
            placement.asleep = self._engines
            self._placement, self._spawner = placement, Spawner(self._roster, placement)
            self._access = Access(azure, self._arm)
            sizes = self._arm.listed(self._arm.compute.virtual_machine_sizes.list(azure.location))
            self._capacity = partial(capacity, await sizes)
            async with making(self._arm, azure.group, self._access) as self._maker:
                with ungrouped():
                    async with trio.open_nursery() as self._nursery:
                        await self._find()
                        self._check_named()
                        self._nursery.start_soon(self._put_to_sleep)
                        yield
                        self._nursery.cancel_scope.cancel()

    # The verbs that differ from a balance's.

    async def ls(self, request: Request) -> Any:
        """As a balance; without a machine that answers nothing, which is no failure: one can be made."""
        if self._answering or request.path not in merge.LISTS:
            return await super().ls(request)
        await lists.reply(request, _NOTHING.get(request.path, []), lists.missing(self._roster.members))
        return None

    @property
    def _answering(self) -> bool:
        return any(member.up for member in self._roster.members)

    async def get(self, request: Request) -> Any:
        """As a balance; without a machine that answers, what there could be."""
        if self._answering:
            return await super().get(request)
        match request.path:
            case ():
                return self._could_be()
            case ("ping",) | ("ping", "head"):
                await pong(request.reply)
                return None
            case (_, name, *_) if not self._engines:
                raise NotFound(f"no such object: {name}", path=request.path)
            case (_, _, *_):
                return await super().get(request)
            case _:
                raise Unsupported("there is no machine yet", path=request.path)

    async def _summary(self, request: Request) -> None:
        """As a balance; of the service itself, with what the machines could hold that are not made yet."""
        if request.path:
            await super()._summary(request)
            return
        outcome = await self._ask(request)
        merged = merge.SUMMARIES[request.path](outcome.values) | self._size()
        await lists.reply(request, merged, outcome.missing)

    def _could_be(self) -> Body:
        states = ("", "Running", "Paused", "Stopped")
        counts = {**{f"Containers{state}": 0 for state in states}, "Images": 0}
        kind = {"Driver": "azure", "OSType": "linux", "Architecture": "x86_64", "OperatingSystem": "Azure"}
        about = {"ID": self.name, "Name": self.name, "ServerVersion": "azure", "Warnings": None}
        return {**about, **kind, **counts, **self._size()}

    def _size(self) -> Body:
        """What there could be, with all that may be made."""
        found = [self._capacity(self.azure.size, self.azure.max)]
        found += [self._capacity(engine.machine.size, 1) for engine in self._engines.values() if not engine.made]
        cpus, memory = zip(*found, strict=True)
        return {"NCPU": sum(cpus), "MemTotal": sum(memory), "Labels": [LAST_RESORT]}

    async def _everywhere(self, request: Request) -> None:
        """A pull goes to the machines that run; those that sleep get the image when they need it."""
        if all(engine.sleeper.asleep for engine in self._engines.values()):
            raise Unsupported("no machine runs: images come with the containers that need them", path=request.path)
        await super()._everywhere(request)

    async def _create(self, request: Request) -> Any:
        wish, _ = wishes.read(str(request.params.get("name") or ""), request.json)
        await self._make_room(wish)
        try:
            return await super()._create(request)
        except Unavailable as exc:
            if not exc.details.get(UNSENT):
                raise
        # Its machine was removed by others, which is found out when it is to be woken.
        await self._find_alone()
        await self._make_room(wish)
        return await super()._create(request)

    async def _make_room(self, wish: Wish) -> None:
        """See that a machine has room for a container.

        Raises:
            Unavailable: there may be no more machines, and why none of them fits; or not even a new one does, as when
                the container demands what no engine has. That one is removed again.
        """
        if self._has_room(wish) is None:
            return
        async with self._growing:
            await self._find()
            full = self._has_room(wish)
            if full is None:
                return
            if sum(engine.made for engine in self._engines.values()) >= self.azure.max:
                text = f"all {len(self._engines)} machines (--max {self.azure.max}) are full: {full.message}"
                raise Unavailable(text, details={UNSENT: True})
            cpus, memory = self._capacity(self.azure.size, 1)
            if wish.claim.memory > memory or wish.claim.cpus > cpus * 10**9:
                text = f"a machine of size {self.azure.size} is too small for this container: choose another --size"
                raise Unavailable(text, details={UNSENT: True})
            engine = await self._grow()
            unfit = self._has_room(wish)
            if unfit is not None:
                await self._discard(engine)
                raise Unavailable(
                    f"a new machine was made, and won't do either: {unfit.message}", details={UNSENT: True}
                )

    def _has_room(self, wish: Wish) -> SwarmError | None:
        try:
            self._placement.choose(wish, self._roster.members, {})
        except Unavailable as exc:
            return exc
        return None

    # The machines.

    async def _grow(self) -> _Engine:
        """Make a machine, and wait for its engine. One that never answers is removed again."""
        name = f"engine-{secrets.token_hex(3)}"
        spec = default_spec(self.azure, name, self._access, engine=True)
        body = await self._maker.make(spec)
        try:
            await self._check_max(name)
            engine = await self._join(Machine(body, "running"), asleep=False)
        except BaseException:
            self._maker.remove_later(body)
            raise
        try:
            await engine.sleeper.answers()
            await engine.member.wait_up()
        except BaseException:
            await self._discard(engine)
            raise
        return engine

    async def _check_max(self, name: str) -> None:
        """Raise Unavailable if others made machines at the same time, and a new one is too many: the newest go."""
        found = [each for each in await machines(self._arm, self.azure.group) if each.tags.get(TAG) == "engine"]
        kept = sorted(found, key=lambda each: (each.created, each.name))[: self.azure.max]
        if all(each.name != name for each in kept):
            text = f"another swarmd has just made the last of the {self.azure.max} machines (--max): try again"
            raise Unavailable(text, details={UNSENT: True})

    async def _discard(self, engine: _Engine) -> None:
        self._maker.remove_later(engine.machine.body)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
            await self._leave(engine)

    async def _find(self) -> None:
        """Take in the machines of the group that are engines, and how they are; others may change them."""
        known = {engine.machine.arm_id.lower(): engine for engine in self._engines.values()}
        # What changes while Azure is asked is no news of others.
        settled = {engine: engine.sleeper.asleep for engine in known.values() if not engine.sleeper.changing}
        for machine in await machines(self._arm, self.azure.group):
            engine = known.pop(machine.arm_id.lower(), None)
            if engine is not None:
                self._take_over(engine, machine, settled.get(engine))
            elif self._is_engine(machine) and machine.power:
                await self._guarded(partial(self._join, machine, asleep=machine.power in _OFF))
        for engine in known.values():
            _log.warning("%s is gone: somebody has removed it", engine.machine.name)
            await self._leave(engine)

    def _is_engine(self, machine: Machine) -> bool:
        return machine.tags.get(TAG) == "engine" or any(_is_named(machine, text) for text in self.azure.vm)

    def _check_named(self) -> None:
        """Raise NotFound if a machine that is named isn't there. Those of a tag may come later."""
        for text in self.azure.vm:
            if "=" not in text and not any(_is_named(engine.machine, text) for engine in self._engines.values()):
                raise NotFound(
                    f"--vm {text}: there is no such virtual machine in {self.azure.group} that can be reached"
                )

    def _take_over(self, engine: _Engine, machine: Machine, was_asleep: bool | None) -> None:
        """Note that another has switched a machine off (Azure itself does it with spot machines), or on."""
        if engine.sleeper.changing or was_asleep is not engine.sleeper.asleep:
            return
        if machine.power in _OFF and not was_asleep:
            engine.sleeper.lost()
        elif machine.running and was_asleep:
            self._nursery.start_soon(self._guarded, engine.sleeper.wake)

    async def _guarded(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except SwarmError as exc:
            _log.warning("the machines of %s can't be looked after: %s", self.azure.group, exc.message)

    async def _leave(self, engine: _Engine) -> None:
        del self._engines[engine.member]
        await self._roster.leave(engine.joined)

    async def _join(self, machine: Machine, *, asleep: bool) -> _Engine:
        memory = Memory(state_folder() / f"azure-{machine.id[:32]}.json")
        await trio.to_thread.run_sync(memory.load)
        operations = self._arm.compute.virtual_machines
        begin = partial(operations.begin_start, self.azure.group, machine.name)
        cpus, memory_size = self._capacity(machine.size, 1)
        unknown: Body = {**self._could_be(), "NCPU": cpus, "MemTotal": memory_size, "Labels": None}

        async def switch_on() -> None:
            try:
                await self._arm.finished(begin)
            except NotFound as exc:
                raise Unavailable(f"{machine.name} is gone: {exc.message}", details={UNSENT: True}) from exc

        sleeper = Sleeper(machine.name, memory, unknown, switch_on, asleep=asleep)
        address, certificates = await self._access.engine(machine)
        docker = MachineEngine(address, cert_path=certificates)
        docker.ssh_options = {} if certificates else self._access.ssh_options(machine)
        joined = await self._roster.join(Chain(sleeper, docker, label=machine.name))
        engine = self._engines[joined.member] = _Engine(machine, sleeper, joined)
        return engine

    async def _put_to_sleep(self) -> None:
        """Deallocate, again and again, what has been idle for long enough."""
        made, named = duration(self.azure.idle), duration(self.azure.vm_idle) if self.azure.vm_idle else math.inf
        while True:
            await trio.sleep(min(made / _LOOKS, named / _LOOKS, _LONGEST_LOOK))
            await self._guarded(self._find_alone)
            for engine in [*self._engines.values()]:
                idle = made if engine.made else named
                self._nursery.start_soon(self._guarded, partial(self._look_at, engine, idle))

    async def _find_alone(self) -> None:
        async with self._growing:
            await self._find()

    async def _look_at(self, engine: _Engine, idle: float) -> None:
        if engine.sleeper.asleep or engine.sleeper.changing or not engine.member.up:
            return
        if any(each.state == "running" for each in engine.member.mirror.containers.values()):
            engine.sleeper.use()
        elif engine.sleeper.idle >= idle:
            operations = self._arm.compute.virtual_machines
            begin = partial(operations.begin_deallocate, self.azure.group, engine.machine.name)

            async def switch_off() -> None:
                await self._arm.finished(begin)

            if await engine.sleeper.fall_asleep(switch_off):
                _log.info("%s was idle, and is deallocated", engine.machine.name)


def _is_named(machine: Machine, text: str) -> bool:
    """Whether a machine is what --vm says: a name, as Azure compares them, or a tag NAME=VALUE."""
    name, equals, value = text.partition("=")
    return machine.tags.get(name) == value if equals else machine.name.lower() == name.lower()


def engines(azure: Azure) -> Engines:
    """The backend."""
    made = Engines()
    made.azure = azure
    return made
