"""The containers of a resource group, as Azure shows them.

Azure tells nothing by itself. It is asked when a client asks, and periodically while somebody waits: one call at a
time, so that any number of containers takes no more than its share of what ARM allows.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Final

import trio

from swarmlib import Invalid, SwarmError
from swarmlib.supervision import supervised

from ..azure.spec import Body
from ..enginekit.events import Events
from ..enginekit.seen import SeenState
from ..enginekit.store import ContainerStore
from .arm import Groups
from .container import Instance
from .held import Held
from .record import Record

_log = logging.getLogger(__name__)
_AT_ONCE: Final = 8
"""The calls that one look makes side by side."""


class Mirror:
    """The containers, and who waits for them. poll: seconds between two looks at what is waited for."""

    def __init__(self, groups: Groups, held: Held, events: Events, nursery: trio.Nursery, poll: float) -> None:
        self.containers = ContainerStore[Instance]()
        self.groups = groups
        self.held = held
        self.events = events
        self._nursery = nursery
        self._poll = poll
        self._lock = trio.Lock()
        self._looking = trio.Lock()
        self._followed = Counter[Instance]()
        self._watchers = 0
        self._wanted = trio.Event()
        self._has_looked = False

    # Looking.

    async def look(self, *, states: bool = True) -> None:
        """Learn which containers there are, and if `states` how each is. Raises `SwarmError`."""
        async with self._lock:
            await self._look(states=states)

    async def _look(self, *, states: bool) -> None:
        listed = [(_record(group), group) for group in await self.groups.list()]
        seen = {record.id for record, _ in listed if record is not None}
        for record, group in listed:
            if record is not None:
                self._learn(record, group)
        held = {record.id: record for record in self.held.load()}
        for record in held.values():
            if record.id in seen:
                self.held.forget(record)  # its start was the last thing that a swarmd did
            else:
                self._learn(record, None)
        unsure = [each for each in self.containers if each.id not in seen and each.id not in held]
        asked = [each for each in self.containers if states and each.group is not None]
        await self._look_at_all(dict.fromkeys([*unsure, *asked]))
        self._has_looked = self._has_looked or states

    async def _look_at_all(self, containers: dict[Instance, None]) -> None:
        limit = trio.CapacityLimiter(_AT_ONCE)

        async def one(container: Instance) -> None:
            async with limit:
                await self.look_at(container)

        async with trio.open_nursery() as nursery:
            for each in containers:
                nursery.start_soon(one, each)

    async def look_at(self, container: Instance) -> None:
        """Learn how one container is. Raises `SwarmError`."""
        if container.group is None and not container.starting and self.held.has(container.record):
            return
        group = await self.groups.get(container.record.group)
        record = _record(group) if group is not None else None
        if record is not None and record.id == container.id:
            before = container.update(record, group)
            if container.is_known:
                self._tell(container, before)
            container.is_known = True
        elif not (container.starting or self.held.has(container.record)):
            self.forget(container)

    def _learn(self, record: Record, group: Body | None) -> None:
        """Take a container as a list shows it, whose group has no instance view there."""
        known = next((each for each in self.containers if each.id == record.id), None)
        if known is None:
            known = Instance(record, group, is_known=self._has_looked or group is None)
            known.name = self._free(record)
            self.containers.add(known)
            if self._has_looked:
                self.events.tell_container(known, "create")
        elif known.record.name != record.name:
            self.containers.set_name(known, self._free(record))
        if known.group is None and group is not None:
            known.update(record, group)

    def _free(self, record: Record) -> str:
        """Return the name of a container; with its id if another one has the same, as two gateways may have made it."""
        return record.name if self.containers.named(record.name) is None else f"{record.name}-{record.id[:12]}"

    def _tell(self, container: Instance, before: SeenState) -> None:
        """Tell what has changed."""
        now = container.state
        has_begun = now.started > 0 and now.started != before.started
        if has_begun:
            self.events.tell_container(container, "start")
        if not now.running and (before.running or has_begun):
            self.events.tell_container(container, "die", exitCode=str(now.exit_code))
            container.tell_exit()
            if container.started_here and container.host.get("AutoRemove"):
                self._nursery.start_soon(self._removed_when_free, container)

    async def _removed_when_free(self, container: Instance) -> None:
        """Remove a container that removes itself, once nobody reads what it has written any more."""
        await container.until(lambda each: not each.stoppers)
        if not (container.removed.is_set() or container.running):
            await supervised(f"aci: the removal of {container.name}", self.remove, container)

    # Changing.

    def add(self, record: Record) -> Instance:
        """Add a new container, which is not started. Raises `Invalid` if its record can't be kept."""
        self.held.save(record)
        made = Instance(record)
        self.containers.add(made)
        self.events.tell_container(made, "create")
        return made

    async def remove(self, container: Instance) -> None:
        """Remove a container, and what Azure has of it. Raises `SwarmError`."""
        if container.group is not None or container.starting:
            await self.groups.delete(container.record.group)
        self.forget(container)

    def forget(self, container: Instance) -> None:
        """Take a container off, which is gone."""
        self.held.forget(container.record)
        if self.containers.remove(container):
            if container.running:
                container.lose()
                self.events.tell_container(container, "die", exitCode=str(container.exit_code))
                container.tell_exit()
            container.removed.set()
            container.wake()
            self.events.tell_container(container, "destroy")

    # Waiting.

    @contextmanager
    def followed(self, container: Instance) -> Generator[None]:
        """Look at a container again and again, for the time of the context."""
        self._followed[container] += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._followed[container] -= 1
            if not self._followed[container]:
                del self._followed[container]

    @contextmanager
    def watched(self) -> Generator[None]:
        """Look at all containers again and again, for the time of the context."""
        self._watchers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._watchers -= 1

    async def run(self) -> None:
        """Look while somebody waits. What Azure refuses meanwhile is logged, and asked again."""
        while True:
            await self._wanted.wait()
            if not (self._watchers or self._followed):
                self._wanted = trio.Event()
                continue
            look = self.look if self._watchers else self._look_at_followed
            async with self._looking:
                await supervised("aci: a look at the containers", look, expected=(SwarmError,))
            await trio.sleep(self._poll)

    async def rest(self) -> None:
        """Look no more; returns when a look that is under way has ended.

        Source: httpcore 1.0 leaves a connection open that is cancelled during its TLS handshake.
        """
        await self._looking.acquire()

    async def _look_at_followed(self) -> None:
        for container in [*self._followed]:
            await self.look_at(container)

    def follow_to_its_end(self, container: Instance) -> None:
        """Look at a container that this gateway has started until it has ended, if it is to be removed then."""
        if container.host.get("AutoRemove"):
            self._nursery.start_soon(partial(self._follow, container))

    async def _follow(self, container: Instance) -> None:
        with self.followed(container):
            while container.running:
                await container.next_change()


def _record(group: Body) -> Record | None:
    """Return the record of a group; None if it is none of ours, or what its tags say is malformed."""
    try:
        return Record.of_group(group)
    except Invalid as exc:
        _log.warning("aci: left alone: %s", exc)
        return None
