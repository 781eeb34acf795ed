"""Virtual machines as engines: containers run on machines that are created on demand, and deallocated when idle.

The machines are the nodes of a `balance`. Running machines are filled first, then a sleeping one is woken, then a new
one is created, up to `--max`. The machines of `--vm` existed before, and are only used.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import trio

from swarmlib import CLEANUP_SECONDS, UNSENT, Chain, NotFound, Request, SwarmError, Unavailable, Unsupported
from swarmlib.errors import ungrouped

from ..balance.member import Member
from ..balance.members import Members
from ..balance.node import Node
from ..balance.owners import first_up
from ..balance.placement.filters import LAST_RESORT
from ..balance.placement.request import PlacementRequest
from ..balance.provisioner import Provisioner
from ..docker import Docker
from ..enginekit.views import pong
from .access import Access, state_folder
from .auto_suspend import AutoSuspend
from .billing import status, with_address
from .client import connected
from .lease import Lease
from .machines import default_spec, machines
from .memory import Memory
from .objects import Machine
from .open_ports import Port, PublishedPorts
from .options import AzureOptions
from .power import OFF, Power
from .provisioning import provisioning
from .sizes import Size, size_in
from .spec import MAKING, TAG, Body
from .stamps import is_past

_log = logging.getLogger(__name__)

_LOOKS: Final = 4
"""How many times within the `--idle` period a machine is checked."""
_LONGEST_LOOK: Final = 15.0


@dataclass(eq=False)
class _Engine:
    """A machine, the stage that suspends it, and its member of the balance."""

    machine: Machine
    stage: AutoSuspend
    member: Member

    @property
    def made(self) -> bool:
        """Whether the machine was created by swarmlib, rather than named by `--vm`."""
        return self.machine.tags.get(TAG) == "engine"


class Engines(Provisioner):
    """The machines of a resource group that run containers."""

    def __init__(self, options: AzureOptions) -> None:
        self._options = options
        self._engines: dict[Node, _Engine] = {}
        self._holder = Lease.new_holder()

    @property
    def name(self) -> str:
        """The names of the backend and of the group."""
        return f"azure {self._options.group}"

    @asynccontextmanager
    async def provision(self, members: Members, /) -> AsyncGenerator[None]:
        """Find the existing machines by their tags, and manage them; at the end they stay as they are."""
        options = self._options
        self._members = members
        self._growing = trio.Lock()
        async with connected(options.subscription, options.cloud) as self._arm:
            self._access = Access(options, self._arm)
            async with provisioning(self._arm, options.group, self._access) as self._maker:
                self._sizes = await self._maker.sizes.of(options.location)
                with ungrouped():
                    async with trio.open_nursery() as self._nursery:
                        await self._guarded(self._admit)
                        await self._find()
                        self._check_named()
                        self._nursery.start_soon(self._suspend_idle)
                        try:
                            yield
                        finally:
                            await self._release()
                        self._nursery.cancel_scope.cancel()

    async def _release(self) -> None:
        """Take this swarmd's leases off all machines."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
            async with trio.open_nursery() as nursery:
                for engine in self._engines.values():
                    nursery.start_soon(engine.stage.power.lease.release)

    # What the balance calls.

    async def when_empty(self, request: Request, /) -> Any:
        """Answer a request while there is no machine, by what there could be."""
        match request.path:
            case ():
                return self._could_be()
            case ("ping",) | ("ping", "head"):
                await pong(request.reply)
                return None
            case (_, name, *_) if not self._engines:
                raise NotFound(f"no such object: {name}", path=request.path)
            case (_, _, *_):
                first_up(self._members.all)  # raises, and says why no member is up
            case _:
                pass
        raise Unsupported("there is no machine so far", path=request.path)

    def _could_be(self) -> Body:
        states = ("", "Running", "Paused", "Stopped")
        counts = {**{f"Containers{state}": 0 for state in states}, "Images": 0}
        kind = {"Driver": "azure", "OSType": "linux", "Architecture": "x86_64", "OperatingSystem": "Azure"}
        about = {"ID": self.name, "Name": self.name, "ServerVersion": "azure", "Warnings": None}
        return {**about, **kind, **counts, **self.capacity()}

    def capacity(self) -> Body:
        """Return the capacity that there could be, with all machines that may be created."""
        largest = max((self._size(name) for name in self._new_sizes), key=lambda size: (size.memory, size.cpus))
        found = [largest] * self._options.max
        found += [self._size(engine.machine.size) for engine in self._engines.values() if not engine.made]
        cpus, memory = sum(size.cpus for size in found), sum(size.memory for size in found)
        machines = [engine.machine for engine in self._engines.values()]
        billing = status(machines, self._addressed)
        return {"NCPU": cpus, "MemTotal": memory, "Labels": [LAST_RESORT], "DriverStatus": billing}

    @property
    def _new_sizes(self) -> list[str]:
        """The names of the sizes that new machines may have."""
        return self._options.size.split(",")

    def _size(self, name: str) -> Size:
        """Return a machine size; one without any room if Azure doesn't know it."""
        return size_in(self._sizes, name) or replace(Size.by_name(name), cpus=0, memory=0)

    def at_hand(self, node: Node, /) -> bool:
        """Return whether a machine is running."""
        return node in self._engines and not self._engines[node].stage.asleep

    async def make_room(self, request: PlacementRequest, unfit: Callable[[], Unavailable | None], /) -> None:
        """Create a machine for a container, unless the machines have changed meanwhile and the container fits now.

        Raises:
            Unavailable: no more machines may be created (the message says why none fits), or the container does not
                fit on a new one either, as when it demands what no engine has. The new machine is removed again then.
        """
        async with self._growing:
            await self._find()
            if (full := unfit()) is None:
                return
            await self._grow(self._fitting_sizes(request, full), unfit)

    def _fitting_sizes(self, request: PlacementRequest, full: Unavailable) -> list[str]:
        """Return the sizes of new machines that are large enough for the container.

        Raises:
            Unavailable: no machine may be created, or all sizes are too small.
        """
        if sum(engine.made for engine in self._engines.values()) >= self._options.max:
            raise _refusal(f"all {len(self._engines)} machines (--max {self._options.max}) are full: {full.message}")
        claim = request.claim
        sizes = {name: self._size(name) for name in self._new_sizes}
        fitting = [name for name, size in sizes.items() if claim.memory <= size.memory]
        fitting = [name for name in fitting if claim.cpus <= sizes[name].cpus * 10**9]
        if not fitting:
            size = " or ".join(sizes)
            raise _refusal(f"a machine of size {size} is too small for this container: choose another --size")
        return fitting

    # The machines.

    async def _grow(self, sizes: Sequence[str], unfit: Callable[[], Unavailable | None]) -> None:
        """Create a machine of one of these sizes, and wait until a container fits on its engine.

        Otherwise the machine is removed again.
        """
        name = f"engine-{secrets.token_hex(3)}"

        async def serves(body: Body) -> None:
            await self._check_max(name)
            engine = await self._join(Machine(body, "running"), asleep=False)
            try:
                await engine.stage.answers()
                await engine.member.wait_up()
                if (still := unfit()) is not None:
                    raise _refusal(f"a new machine was made, and won't do either: {still.message}")
            except BaseException:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
                    await self._leave(engine)
                raise

        spec = default_spec(self._options, name, self._access, engine=True)
        await self._maker.make(replace(spec, size=",".join(sizes)), serves)

    async def _check_max(self, name: str) -> None:
        """Raise Unavailable if a new machine is one too many, because others were created at the same time."""
        found = [each for each in await machines(self._arm, self._options.group) if each.tags.get(TAG) == "engine"]
        kept = sorted(found, key=lambda each: (each.created, each.name))[: self._options.max]
        if all(each.name != name for each in kept):
            text = f"another swarmd has just made the last of the {self._options.max} machines (--max): try again"
            raise _refusal(text)

    async def _find(self) -> None:
        """Update the group's engines and their states from Azure: others may have changed them."""
        known = {engine.machine.arm_id.lower(): engine for engine in self._engines.values()}
        # A change of state while Azure is asked doesn't come from others.
        settled = {engine: engine.stage.asleep for engine in known.values() if not engine.stage.changing}
        self._addressed = await with_address(self._arm, self._options.group)
        found = await machines(self._arm, self._options.group)
        await self._access.host_keys.learn_all(each for each in found if self._is_new(each) and each.running)
        for machine in found:
            engine = known.pop(machine.arm_id.lower(), None)
            if engine is not None:
                self._take_over(engine, machine, settled.get(engine))
            elif self._is_new(machine):
                await self._guarded(partial(self._adopt, machine))
        for engine in known.values():
            _log.warning("%s no longer exists: somebody has removed it", engine.machine.name)
            await self._leave(engine)

    async def _adopt(self, machine: Machine) -> None:
        """Join a machine that others have made, and that counts as complete from now on."""
        if MAKING in machine.tags:
            await self._maker.complete(machine.body)
        await self._join(machine, asleep=machine.power in OFF)

    def _is_new(self, machine: Machine) -> bool:
        """Return whether a machine is an engine that could be joined: complete, or its making has taken too long."""
        is_engine = machine.tags.get(TAG) == "engine" or any(_is_named(machine, text) for text in self._options.vm)
        is_known = any(each.machine.arm_id.lower() == machine.arm_id.lower() for each in self._engines.values())
        complete = MAKING not in machine.tags or is_past(machine.tags[MAKING])
        return is_engine and complete and bool(machine.power) and not is_known

    async def _admit(self) -> None:
        """Let this machine's address reach the existing machines, if new ones may be made: it may have changed."""
        if self._options.max:
            await self._maker.admit(default_spec(self._options, "any", self._access, engine=True))

    def _check_named(self) -> None:
        """Raise NotFound if a machine that `--vm` names doesn't exist. Machines selected by a tag may appear later."""
        for text in self._options.vm:
            if "=" not in text and not any(_is_named(engine.machine, text) for engine in self._engines.values()):
                raise NotFound(f"--vm {text}: no such virtual machine in {self._options.group} that can be reached")

    def _take_over(self, engine: _Engine, machine: Machine, was_asleep: bool | None) -> None:
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
            self._nursery.start_soon(self._guarded, engine.stage.wake)

    async def _guarded(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except SwarmError as exc:
            _log.warning("can't manage the machines of %s: %s", self._options.group, exc.message)

    async def _leave(self, engine: _Engine) -> None:
        del self._engines[engine.member]
        await self._members.leave(engine.member)

    async def _join(self, machine: Machine, *, asleep: bool) -> _Engine:
        if not asleep:
            await self._access.host_keys.learn(machine)
        memory = Memory(state_folder() / f"azure-{machine.id[:32]}.json")
        await trio.to_thread.run_sync(memory.load)
        lease = Lease(self._arm, machine.arm_id, machine.tags, self._holder)
        power = Power(self._arm, self._options.group, machine, lease, self._access.host_keys)
        size = self._size(machine.size)
        unknown: Body = {**self._could_be(), "NCPU": size.cpus, "MemTotal": size.memory, "Labels": None}

        stage = AutoSuspend(machine.name, memory, unknown, power, begins_asleep=asleep)
        address, certificates = await self._access.engine(machine)
        ssh_options = dict[str, str]() if certificates else self._access.ssh_options(machine)
        docker = Docker(address, cert_path=certificates, ssh_options=ssh_options)
        ports = PublishedPorts(machine.name, [*map(Port.read, self._options.open_port)])
        member = await self._members.join(Chain(stage, ports, docker, label=machine.name))
        engine = self._engines[member] = _Engine(machine, stage, member)
        return engine

    async def _suspend_idle(self) -> None:
        """Check periodically, and deallocate the machines that have been idle for long enough."""
        made, named = self._options.idle, math.inf if self._options.vm_idle is None else self._options.vm_idle
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
        if engine.stage.asleep or engine.stage.changing or not engine.member.up:
            return
        if any(each.state == "running" for each in self._members.index.containers_on(engine.member)):
            engine.stage.use()
        elif engine.stage.idle < idle:
            await engine.stage.power.lease.renew()
        elif not engine.stage.power.lease.used_by_others and await engine.stage.fall_asleep():
            _log.info("%s was idle and has been deallocated", engine.machine.name)


def _is_named(machine: Machine, text: str) -> bool:
    """Return whether a machine matches a value of --vm: a name, in any case, or a tag NAME=VALUE."""
    name, equals, value = text.partition("=")
    return machine.tags.get(name) == value if equals else machine.name.lower() == name.lower()


def _refusal(text: str) -> Unavailable:
    """Return the error for a container that was certainly not created."""
    return Unavailable(text, details={UNSENT: True})
