"""Virtual machines as engines: containers run on machines that are created on demand, and deallocated when idle.

The machines are the nodes of a `balance`. Running machines are filled first, then a sleeping one is woken, then a new
one is created, up to `--max`. The machines of `--vm` existed before, and are only used.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

import trio

from swarmlib import CLEANUP_SECONDS, UNSENT, NotFound, Request, Unavailable, Unsupported
from swarmlib.errors import ungrouped

from ..balance.members import Members
from ..balance.node import Node
from ..balance.owners import first_up
from ..balance.placement.filters import LAST_RESORT
from ..balance.placement.request import PlacementRequest
from ..balance.provisioner import Provisioner
from ..enginekit.views import pong
from .access import Access
from .billing import status
from .client import connected
from .fleet import Engine, Fleet, made, unknown_engine
from .machines import default_spec, machines
from .objects import Machine
from .options import AzureOptions
from .provisioning import provisioning
from .spec import Body

_log = logging.getLogger(__name__)

_LOOKS: Final = 4
"""How many times within the `--idle` period a machine is checked."""
_LONGEST_LOOK: Final = 15.0


class Engines(Provisioner):
    """The machines of a resource group that run containers."""

    def __init__(self, options: AzureOptions) -> None:
        self._options = options

    @property
    def name(self) -> str:
        """The names of the backend and of the group."""
        return f"azure {self._options.group}"

    @asynccontextmanager
    async def provision(self, members: Members, /) -> AsyncGenerator[None]:
        """Find the existing machines by their tags, and manage them; at the end they stay as they are."""
        options = self._options
        self._growing = trio.Lock()
        async with connected(options.subscription, options.cloud) as self._arm:
            self._access = Access(options, self._arm)
            async with provisioning(self._arm, options.group, self._access) as self._maker:
                sizes = await self._maker.sizes.of(options.location)
                with ungrouped():
                    async with trio.open_nursery() as nursery:
                        self._fleet = Fleet(options, self._arm, self._access, self._maker, members, sizes, nursery)
                        await self._fleet.guarded(self._admit)
                        await self._fleet.find()
                        self._fleet.check_named()
                        nursery.start_soon(self._suspend_idle)
                        try:
                            yield
                        finally:
                            await self._fleet.release()
                        nursery.cancel_scope.cancel()

    async def _admit(self) -> None:
        """Let this machine's address reach the existing machines, if new ones may be made: it may have changed."""
        if self._options.max:
            await self._maker.admit(default_spec(self._options, "any", self._access, engine=True))

    # What the balance calls.

    async def when_empty(self, request: Request, /) -> Any:
        """Answer a request while there is no machine, by what there could be."""
        match request.path:
            case ():
                return {**unknown_engine(self._options.group), **self.capacity()}
            case ("ping",) | ("ping", "head"):
                await pong(request.reply)
                return None
            case (_, name, *_) if not self._fleet.engines:
                raise NotFound(f"no such object: {name}", path=request.path)
            case (_, _, *_):
                first_up(self._fleet.members.all)  # raises, and says why no member is up
            case _:
                pass
        raise Unsupported("there is no machine so far", path=request.path)

    def capacity(self) -> Body:
        """Return the capacity that there could be, with all machines that may be created."""
        size, engines = self._fleet.size, self._fleet.all
        largest = max((size(name) for name in self._new_sizes), key=lambda size: (size.memory, size.cpus))
        found = [largest] * self._options.max
        found += [size(engine.machine.size) for engine in engines if not engine.made]
        cpus, memory = sum(size.cpus for size in found), sum(size.memory for size in found)
        billing = status([engine.machine for engine in engines], self._fleet.addressed)
        return {"NCPU": cpus, "MemTotal": memory, "Labels": [LAST_RESORT], "DriverStatus": billing}

    @property
    def _new_sizes(self) -> list[str]:
        """The names of the sizes that new machines may have."""
        return self._options.size.split(",")

    def at_hand(self, node: Node, /) -> bool:
        """Return whether a machine is running."""
        return node in self._fleet.engines and not self._fleet.engines[node].stage.asleep

    async def make_room(self, request: PlacementRequest, unfit: Callable[[], Unavailable | None], /) -> None:
        """Create a machine for a container, unless the machines have changed meanwhile and the container fits now.

        Raises:
            Unavailable: no more machines may be created (the message says why none fits), or the container does not
                fit on a new one either, as when it demands what no engine has. The new machine is removed again then.
        """
        async with self._growing:
            await self._fleet.find()
            if (full := unfit()) is None:
                return
            await self._grow(self._fitting_sizes(request, full), unfit)

    def _fitting_sizes(self, request: PlacementRequest, full: Unavailable) -> list[str]:
        """Return the sizes of new machines that are large enough for the container.

        Raises:
            Unavailable: no machine may be created, or all sizes are too small.
        """
        engines, most = self._fleet.all, self._options.max
        if sum(engine.made for engine in engines) >= most:
            raise _refusal(f"all {len(engines)} machines (--max {most}) are full: {full.message}")
        claim = request.claim
        sizes = {name: self._fleet.size(name) for name in self._new_sizes}
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
            engine = await self._fleet.join(Machine(body, "running"), asleep=False)
            try:
                await engine.stage.answers()
                await engine.member.wait_up()
                if (still := unfit()) is not None:
                    raise _refusal(f"a new machine was made, and won't do either: {still.message}")
            except BaseException:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
                    await self._fleet.leave(engine)
                raise

        spec = default_spec(self._options, name, self._access, engine=True)
        await self._maker.make(replace(spec, size=",".join(sizes)), serves)

    async def _check_max(self, name: str) -> None:
        """Raise Unavailable if a new machine is one too many, because others were created at the same time."""
        found = [each for each in await machines(self._arm, self._options.group) if made(each)]
        kept = sorted(found, key=lambda each: (each.created, each.name))[: self._options.max]
        if all(each.name != name for each in kept):
            text = f"another swarmd has just made the last of the {self._options.max} machines (--max): try again"
            raise _refusal(text)

    async def _suspend_idle(self) -> None:
        """Check periodically, and deallocate the machines that have been idle for long enough."""
        made, named = self._options.idle, math.inf if self._options.vm_idle is None else self._options.vm_idle
        while True:
            await trio.sleep(min(made / _LOOKS, named / _LOOKS, _LONGEST_LOOK))
            await self._fleet.guarded(self._find_alone)
            await self._fleet.guarded(self._fleet.settle_ports)
            for engine in self._fleet.all:
                idle = made if engine.made else named
                self._fleet.tasks.start_soon(self._fleet.guarded, partial(self._look_at, engine, idle))

    async def _find_alone(self) -> None:
        async with self._growing:
            await self._fleet.find()

    async def _look_at(self, engine: Engine, idle: float) -> None:
        if engine.stage.asleep or engine.stage.changing or not engine.member.up:
            return
        if any(each.state == "running" for each in self._fleet.members.index.containers_on(engine.member)):
            engine.stage.use()
        elif engine.stage.idle < idle:
            await engine.stage.power.lease.renew()
        elif not engine.stage.power.lease.used_by_others and await engine.stage.fall_asleep():
            _log.info("%s was idle and has been deallocated", engine.machine.name)


def _refusal(text: str) -> Unavailable:
    """Return the error for a container that was certainly not created."""
    return Unavailable(text, details={UNSENT: True})
