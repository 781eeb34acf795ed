"""The machines of a resource group that are engines: found by their tags, and kept as members of a balance."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

import trio

from swarmlib import CLEANUP_SECONDS, Chain, NotFound, SwarmError

from ..balance.member import Member
from ..balance.members import Members
from ..balance.node import Node
from ..docker import Docker
from .access import Access, state_folder
from .auto_suspend import AutoSuspend
from .billing import with_address
from .client import Arm
from .lease import Lease
from .machines import machines
from .memory import Memory
from .objects import Machine
from .options import AzureOptions
from .power import OFF, Power
from .provisioning import Maker
from .published_ports import OpeningPorts, PublishedPorts
from .sizes import Size, size_in
from .spec import MAKING, TAG, Body
from .stamps import is_past

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Engine:
    """A machine, the stage that suspends it, and its member of the balance."""

    machine: Machine
    stage: AutoSuspend
    member: Member

    @property
    def made(self) -> bool:
        """Whether the machine was created by swarmlib, rather than named by `--vm`."""
        return made(self.machine)

    @property
    def is_listed(self) -> bool:
        """Whether its containers are known: it answers, or it is asleep and was known before."""
        return bool(self.stage.memory.known) if self.stage.asleep else self.member.up


def made(machine: Machine) -> bool:
    """Return whether a machine was created by swarmlib as an engine."""
    return machine.tags.get(TAG) == "engine"


@dataclass(eq=False)
class Fleet:
    """The engines, by their nodes. Its changes are made one at a time: who calls `find` holds a lock.

    sizes: the region's, as `Sizes.of`. tasks: for what goes on while others are served.
    """

    options: AzureOptions
    arm: Arm
    access: Access
    maker: Maker
    members: Members
    sizes: Mapping[str, Size] | None
    tasks: trio.Nursery

    def __post_init__(self) -> None:
        self.engines: dict[Node, Engine] = {}
        self.addressed: Collection[str] = frozenset()
        """What has a public address, as `with_address`."""
        self.ports = PublishedPorts(self.access, self.options)
        self._holder = Lease.new_holder()

    @property
    def all(self) -> list[Engine]:
        """All engines."""
        return [*self.engines.values()]

    def size(self, name: str) -> Size:
        """Return a machine size; one without any room if Azure doesn't know it."""
        return size_in(self.sizes, name) or replace(Size.by_name(name), cpus=0, memory=0)

    async def guarded(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do something whose failure concerns nobody's call: it is logged."""
        try:
            await work()
        except SwarmError as exc:
            _log.warning("can't manage the machines of %s: %s", self.options.group, exc.message)

    async def release(self) -> None:
        """Take this swarmd's leases off all machines."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
            async with trio.open_nursery() as nursery:
                for engine in self.all:
                    nursery.start_soon(engine.stage.power.lease.release)

    async def find(self) -> None:
        """Update the group's engines and their states from Azure: others may have changed them."""
        known = {engine.machine.arm_id.lower(): engine for engine in self.all}
        # A change of state while Azure is asked doesn't come from others.
        settled = {engine: engine.stage.asleep for engine in known.values() if not engine.stage.changing}
        self.addressed = await with_address(self.arm, self.options.group)
        found = await machines(self.arm, self.options.group)
        await self.access.host_keys.learn_all(each for each in found if self._is_new(each) and each.running)
        for machine in found:
            engine = known.pop(machine.arm_id.lower(), None)
            if engine is not None:
                self._take_over(engine, machine, settled.get(engine))
            elif self._is_new(machine):
                await self.guarded(partial(self._adopt, machine))
        for engine in known.values():
            _log.warning("%s no longer exists: somebody has removed it", engine.machine.name)
            await self.leave(engine)
            self.ports.forget()

    async def settle_ports(self) -> None:
        """Open the ports that containers on swarmlib's machines publish, and close those that none does any longer."""
        if engines := [engine for engine in self.all if engine.made]:
            containers = [each for engine in engines for each in self.members.index.containers_on(engine.member)]
            known = [engine.member.knows_claims() and engine.is_listed for engine in engines]
            await self.ports.settle(containers, all_listed=all(known))

    async def _adopt(self, machine: Machine) -> None:
        """Join a machine that others have made, and that counts as complete from now on."""
        if MAKING in machine.tags:
            await self.maker.complete(machine.body)
        await self.join(machine, asleep=machine.power in OFF)

    def _is_new(self, machine: Machine) -> bool:
        """Return whether a machine is an engine that could be joined: complete, or its making has taken too long."""
        is_engine = made(machine) or any(_is_named(machine, text) for text in self.options.vm)
        is_known = any(each.machine.arm_id.lower() == machine.arm_id.lower() for each in self.all)
        complete = MAKING not in machine.tags or is_past(machine.tags[MAKING])
        return is_engine and complete and bool(machine.power) and not is_known

    def check_named(self) -> None:
        """Raise NotFound if a machine that `--vm` names doesn't exist. Machines selected by a tag may appear later."""
        for text in self.options.vm:
            if "=" not in text and not any(_is_named(engine.machine, text) for engine in self.all):
                raise NotFound(f"--vm {text}: no such virtual machine in {self.options.group} that can be reached")

    def _take_over(self, engine: Engine, machine: Machine, was_asleep: bool | None) -> None:
        """Note what others say of a machine, and that somebody else has switched it off (as Azure does with spot
        machines), or on.
        """
        engine.machine = machine
        engine.stage.power.lease.see(machine.tags)
        if engine.stage.changing or was_asleep is not engine.stage.asleep:
            return
        if machine.power in OFF and not was_asleep:
            engine.stage.lost()
        elif machine.running and was_asleep:
            self.tasks.start_soon(self.guarded, engine.stage.wake)

    async def leave(self, engine: Engine) -> None:
        """Take an engine off the balance."""
        del self.engines[engine.member]
        await self.members.leave(engine.member)

    async def join(self, machine: Machine, *, asleep: bool) -> Engine:
        """Add a machine to the balance.

        Raises:
            SwarmError: its host key or its address can't be found out.
        """
        if not asleep:
            await self.access.host_keys.learn(machine)
        memory = Memory(state_folder() / f"azure-{machine.id[:32]}.json")
        await trio.to_thread.run_sync(memory.load)
        lease = Lease(self.arm, machine.arm_id, machine.tags, self._holder)
        power = Power(self.arm, self.options.group, machine, lease, self.access.host_keys)
        size = self.size(machine.size)
        unknown = unknown_engine(self.options.group) | {"NCPU": size.cpus, "MemTotal": size.memory, "Labels": None}
        stage = AutoSuspend(machine.name, memory, unknown, power, begins_asleep=asleep)
        address, certificates = await self.access.engine(machine)
        ssh_options = dict[str, str]() if certificates else self.access.ssh_options(machine)
        docker = Docker(address, cert_path=certificates, ssh_options=ssh_options)
        opening = OpeningPorts(machine.name, self.ports, made=made(machine))
        member = await self.members.join(Chain(stage, opening, docker, label=machine.name))
        engine = self.engines[member] = Engine(machine, stage, member)
        return engine


def unknown_engine(group: str) -> Body:
    """Return the info of an engine of a group of which nothing is known yet, without its capacity."""
    states = ("", "Running", "Paused", "Stopped")
    counts = {**{f"Containers{state}": 0 for state in states}, "Images": 0}
    kind = {"Driver": "azure", "OSType": "linux", "Architecture": "x86_64", "OperatingSystem": "Azure"}
    about = {"ID": f"azure {group}", "Name": f"azure {group}", "ServerVersion": "azure", "Warnings": None}
    return {**about, **kind, **counts}


def _is_named(machine: Machine, text: str) -> bool:
    """Return whether a machine matches a value of --vm: a name, in any case, or a tag NAME=VALUE."""
    name, equals, value = text.partition("=")
    return machine.tags.get(name) == value if equals else machine.name.lower() == name.lower()
