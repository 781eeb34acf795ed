"""The life of containers: started, stopped, removed. Azure knows no signals, and does not pause anything."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import trio

from swarmlib import CLEANUP_SECONDS, SwarmError, Unavailable, Unsupported

from ..azure.spec import Body
from ..enginekit.refusals import check_running
from ..registry.images import Images
from . import state
from .container import Instance
from .group import Surroundings, group
from .mirror import Mirror
from .record import Record


@dataclass(frozen=True)
class Lifecycle:
    """Moves containers from state to state. What is told of it, the mirror tells."""

    mirror: Mirror
    around: Surroundings
    images: Images

    def body(self, record: Record) -> Body:
        """Return the group that a container is to be. Raises `SwarmError` if Azure can't have it."""
        return group(record, self.around, self.images.credentials(record.image))

    async def start(self, container: Instance) -> None:
        """See `enginekit.Lifecycle`. Returns when it runs, or has already ended."""
        container.failure, container.starting, container.started_here = "", True, True
        try:
            with container.kept(), self.mirror.followed(container):
                await (self._make(container) if container.group is None else self._start_again(container))
        except SwarmError as exc:
            container.failure = exc.message
            raise
        finally:
            container.starting = False
        self.mirror.follow_to_its_end(container)

    async def _make(self, container: Instance) -> None:
        """Have Azure make the group; what is half made is removed again."""
        name = container.record.group
        try:
            await self.mirror.groups.put(name, self.body(container.record))
            await self._begun(container, 0.0)
        except BaseException as exc:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
                await self._unmake(container, exc)
            raise
        self.mirror.held.forget(container.record)

    async def _unmake(self, container: Instance, why: BaseException) -> None:
        """Remove a group whose start has failed, and the container itself if it removes itself."""
        try:
            await self.mirror.groups.delete(container.record.group)
        except SwarmError as exc:
            id = self.mirror.groups.id(container.record.group)
            raise Unavailable(f"{why}; and {id} was not removed: {exc.message}") from exc
        container.update(container.record, None)
        if container.host.get("AutoRemove"):
            self.mirror.forget(container)

    async def _start_again(self, container: Instance) -> None:
        before = container.started
        await self.mirror.groups.start(container.record.group)
        await self._begun(container, before)

    async def _begun(self, container: Instance, before: float) -> None:
        """Wait until a container runs, or has ended. before: when its last run began, in seconds since the epoch.

        Raises:
            Unavailable: Azure says that it can't run.
        """
        await self.mirror.look_at(container)
        while not container.removed.is_set():
            if container.group is not None and state.has_failed(container.group):
                raise Unavailable(f"Azure can't run {container.name}: {state.why_failed(container.group)}")
            if container.started > before:
                return
            await container.next_change()

    async def stop(self, container: Instance, number: int, grace: float) -> None:
        """See `enginekit.Lifecycle`. Azure sends TERM, and decides itself when it kills."""
        if number != signal.SIGTERM:
            raise Unsupported(f"Azure stops a container by TERM, not by {signal.Signals(number).name}")
        await self._stop(container)
        self.mirror.events.tell_container(container, "stop")

    async def _stop(self, container: Instance) -> None:
        with container.kept():
            await self.mirror.groups.stop(container.record.group)
            await self.mirror.look_at(container)
            with self.mirror.followed(container):
                while container.running:
                    await container.next_change()

    async def kill(self, container: Instance) -> None:
        """See `enginekit.Lifecycle`."""
        check_running(container)
        self.mirror.events.tell_container(container, "kill", signal=str(int(signal.SIGKILL)))
        await self._stop(container)

    async def signal(self, container: Instance, number: int) -> None:
        """Refuse it: see `enginekit.Lifecycle`."""
        check_running(container)
        raise Unsupported(f"Azure sends no signals: docker kill without --signal ends {container.name}")

    async def pause(self, container: Instance) -> None:
        """Refuse it: see `enginekit.Lifecycle`."""
        raise Unsupported("Azure pauses no containers; a container that is stopped is not billed")

    async def unpause(self, container: Instance) -> None:
        """Refuse it: see `enginekit.Lifecycle`."""
        await self.pause(container)

    async def remove(self, container: Instance, *, volumes: bool) -> None:
        """See `enginekit.Lifecycle`. Empty folders go with it, and file shares stay."""
        await self.mirror.remove(container)

    async def rename(self, container: Instance, name: str) -> None:
        """Give a container another name, which is free: its group keeps its own. Raises `SwarmError`."""
        renamed = Record(container.id, name, container.created, container.record.body, container.record.group)
        if container.group is None:
            self.mirror.held.save(renamed)
        else:
            await self.mirror.groups.retag(renamed.group, self.body(renamed)["tags"])
        self.mirror.containers.set_name(container, name)
        container.record = renamed
