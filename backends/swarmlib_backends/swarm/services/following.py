"""The services that are containers, followed: a manager tells of services, the engines of the nodes tell of tasks.

The Engine API has no events of tasks. A task's state is asked for when an engine tells that its container began or
ended, and then again until the manager knows it too; and now and then while its node's engine can't be followed.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import trio

from swarmlib import Json, Request, SwarmError, Unavailable, Verb
from swarmlib.asking import Answer

from ...balance.lasting import lasting
from ...balance.member import Member
from ...dockerapi.filters import encode
from ...dockerapi.nullable import dict_of
from ...dockerapi.status import refusal
from ...enginekit.events import Events
from ...enginekit.store import ContainerStore
from ...pauses import pauses
from ..membership import Membership
from . import container as shapes
from .container import Service, ServiceContainer, Task
from .spec import ID, restarts

_log = logging.getLogger(__name__)

_LONGEST: Final = 2.0
"""Seconds between two questions for tasks whose state is about to change, or whose nodes' engines can't be followed."""
_OURS: Final = {"filters": encode({"label": [ID]})}
_SERVICE: Final = "com.docker.swarm.service.id"
_ATTEMPTS: Final = 5
"""Attempts to change a service that others change at the same time."""


class Following:
    """Keeps the containers in step with the services and tasks of the swarm.

    ended: is called when a run of a container has ended.
    """

    def __init__(
        self,
        membership: Membership,
        store: ContainerStore[ServiceContainer],
        events: Events,
        ended: Callable[[ServiceContainer], None],
    ) -> None:
        self._membership = membership
        self.ended = ended
        self._store = store
        self._events = events
        self._heard = trio.Event()
        self._synced = trio.Event()
        self._lock = trio.Lock()
        self._begun = False

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take note of an event of any engine."""
        if event["Type"] in ("service", "node"):
            self._heard.set()
        service = dict_of(dict_of(event.get("Actor")).get("Attributes")).get(_SERVICE)
        if service and event.get("Action") in ("start", "die"):
            for each in self._store:
                each.ending |= each.service == service and event.get("Action") == "die"
            self._heard.set()

    async def begin(self) -> None:
        """Find the containers that there are, of which no event tells.

        Raises:
            SwarmError: as in `sync`.
        """
        await self.sync()
        self._begun = True

    async def run(self) -> None:
        """Follow the swarm forever."""
        await lasting("swarm: following its services", self._follow)

    async def _follow(self) -> None:
        waits = pauses(_LONGEST)
        while True:
            if self._heard.is_set():
                self._heard, waits = trio.Event(), pauses(_LONGEST)
            try:
                await self.sync()
            except SwarmError as exc:
                _log.warning("swarm: its services can't be listed: %s", exc.message)
                await trio.sleep(_LONGEST)
                continue
            with trio.move_on_after(self._pause(waits)):
                await self._heard.wait()

    def _pause(self, waits: Iterator[float]) -> float:
        """Return how long nothing can have happened without an event, in seconds."""
        if any(each.ending or each.status in ("starting", "restarting") for each in self._store):
            return next(waits)
        seen = all(self._is_seen(each) for each in self._store if each.running)
        return float("inf") if seen else _LONGEST

    def about(self) -> dict[str, Any]:
        """See `Membership.about`."""
        return self._membership.about()

    def place(self, container: ServiceContainer) -> tuple[Member, str]:
        """Return the member that is the node of a container's last run, and the container's id on its engine.

        Raises:
            Conflict: it has not run so far.
            Unavailable: its node is down, or no member.
        """
        task = container.task
        if task is None or not task.container_id:
            raise refusal(
                409, f"Container {container.id} is not running, and a swarm service has no files before it runs"
            )
        if (member := self._membership.member_of(task.node_id)) is None:
            raise Unavailable(f"the node of {container.name} is not a member")
        member.must_be_up()
        return member, task.container_id

    def _is_seen(self, container: ServiceContainer) -> bool:
        """Return whether the engine of a container's node tells what happens to it."""
        member = None if container.task is None else self._membership.member_of(container.task.node_id)
        return member is not None and member.up

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until something is so, as the swarm says."""
        while not done():
            await self._synced.wait()

    # What the swarm says.

    async def sync(self) -> None:
        """Ask the swarm for the services and their tasks.

        Raises:
            SwarmError: no manager answers as it should.
        """
        async with self._lock:
            found = shapes.services((await self.ask(Request(Verb.LS, ("services",), _OURS))).value)
            listed = shapes.tasks((await self.ask(Request(Verb.LS, ("tasks",), _OURS))).value) if found else []
            tasks = defaultdict[str, list[Task]](list)
            for task in sorted(listed, key=lambda each: each.created_at):
                tasks[task.service_id].append(task)
            present = set[str]()
            for entry in sorted(found, key=lambda each: str(each.get("CreatedAt"))):
                if (read := self._of(entry)) is not None:
                    container, service = read
                    present.add(container.id)
                    self._take(container, service, tasks[service.id])
                    await self._recreate_lost(container, service)
            for gone in [each for each in self._store if each.id not in present]:
                self.forget(gone)
        self._synced.set()
        self._synced = trio.Event()

    def _of(self, entry: Mapping[str, Any]) -> tuple[ServiceContainer, Service] | None:
        """Return the container that a service is, and the service; None if it can't be read, which is logged."""
        try:
            service = shapes.read_service(entry)
            known = next((each for each in self._store if each.service == service.id), None)
            if known is None:
                known = ServiceContainer.of(service)
                self._store.free_name(known.name)
                self._store.add(known)
                if self._begun:
                    self._events.tell_container(known, "create")
        except (SwarmError, ValueError) as exc:
            _log.warning("swarm: a service with the label %s is no container: %s", ID, exc)
            return None
        return known, service

    def _take(self, container: ServiceContainer, service: Service, tasks: list[Task]) -> None:
        for action in container.take(service, tasks):
            if self._begun:
                attributes = {"exitCode": str(container.exit_code)} if action == "die" else {}
                self._events.tell_container(container, action, **attributes)
            if action == "die":
                container.tell_exit()
                self.ended(container)

    async def _recreate_lost(self, container: ServiceContainer, service: Service) -> None:
        """Let the swarm run a container elsewhere whose node is down, if the swarm would leave it as it is.

        It does so by itself only for services with a restart policy.
        """
        task = container.task
        lost = task is not None and container.running and self._membership.is_down(task.node_id)
        if task is not None and lost and not restarts(container.config) and task.spec == service.spec.task_template:
            _log.warning("swarm: %s is run again elsewhere: its node is down", container.name)
            try:
                await self.change(container, again=True, lost=task.spec.force_update)
            except SwarmError as exc:
                _log.error("swarm: %s can't be run again: %s", container.name, exc.message)

    def forget(self, container: ServiceContainer) -> None:
        """Forget a container whose service is gone."""
        if self._store.remove(container):
            container.tell_exit()
            container.removed.set()
            self._events.tell_container(container, "destroy")

    # What is asked of the swarm.

    async def ask(self, request: Request) -> Answer:
        """Ask a manager; see `Membership.ask`."""
        return await self._membership.ask(request)

    async def change(
        self,
        container: ServiceContainer,
        *,
        run: bool = True,
        again: bool = False,
        ended: str | None = None,
        lost: int | None = None,
    ) -> None:
        """Change the service of a container: whether it runs, whether in a new task, and the label that tells its end.

        lost: the update in which the task began that was lost; nothing is changed if another gateway has replaced it.

        Raises:
            SwarmError: the swarm refuses it, or others change the service all the time.
        """
        path = ("services", container.service)
        for attempt in range(_ATTEMPTS):
            told = dict_of((await self.ask(Request(Verb.GET, path))).value)
            wanted = dict_of(told.get("Spec"))
            if lost is not None and (dict_of(wanted.get("TaskTemplate")).get("ForceUpdate") or 0) != lost:
                return
            shapes.change(wanted, run=run, again=again, ended=ended)
            version = str(dict_of(told.get("Version")).get("Index"))
            try:
                await self.ask(Request(Verb.SET, path, {"version": version}, Json.from_data(wanted)))
            except SwarmError as exc:
                if "out of sequence" not in exc.message or attempt == _ATTEMPTS - 1:
                    raise
            else:
                self._heard.set()
                return
