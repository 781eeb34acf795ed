"""The containers of a namespace, as the cluster has them: kept in memory by two watches, of records and of Pods.

Only the watches change it, so that it is one unbroken history, whoever writes. A call that has written something waits
until a watch has brought it (`seen`): a client finds what it has made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import trio

from swarmlib import BadAnswer, SwarmError, Unavailable

from ..enginekit.store import ContainerStore
from .api.client import Api
from .api.resources import CONFIG_MAPS, PODS, Resource
from .api.watch import Change, Kind, watch
from .container import PodContainer
from .pods import names, reading, record
from .pods.record import Record
from .pods.status import State, run_of
from .reservations import reserved_name

_log = logging.getLogger(__name__)
READY_SECONDS: Final = 10.0
"""How long a call waits for the watches of a cluster that can't be reached."""
_PAUSE_SECONDS: Final = 1.0
_OWN: Final = names.selector({names.MANAGED_BY: names.OWNER})

Body: TypeAlias = dict[str, Any]
Listener: TypeAlias = Callable[[PodContainer, State | None], None]
"""Is told of each change of a container, with its state before (None if it is new), and of its removal."""


@dataclass
class _Parts:
    """What the cluster has of one container; whatever is missing may still come."""

    record: Record | None = None
    names: set[str] = field(default_factory=set[str])
    """The names that are reserved for it."""
    pods: dict[str, Body] = field(default_factory=dict[str, Body])
    container: PodContainer | None = None

    @property
    def pod(self) -> Body | None:
        """Its newest Pod."""
        return max(self.pods.values(), key=run_of, default=None)

    @property
    def none(self) -> bool:
        """Whether nothing of it is left."""
        return self.record is None and not self.names and not self.pods

    def note(self, body: Body, *, gone: bool) -> None:
        """Take an object into account, or that it is gone. Raises `BadAnswer` if it can't be read."""
        about = body["metadata"]
        match body["kind"], about["labels"].get(names.KIND):
            case "Pod", _:
                _put(self.pods, about["name"], None if gone else body)
            case _, record.CONTAINER:
                self.record = None if gone else reading.read(body)
            case _, record.RESERVATION:
                (self.names.discard if gone else self.names.add)(reserved_name(body))
            case _:
                pass  # it is another part's


def _put(to: dict[str, Body], name: str, body: Body | None) -> None:
    if body is None:
        to.pop(name, None)
    else:
        to[name] = body


@dataclass
class _View:
    """How far a watch has come."""

    synced: trio.Event = field(default_factory=trio.Event)
    moved: trio.Event = field(default_factory=trio.Event)
    version: int = 0

    def advance(self, version: int) -> None:
        self.version = max(self.version, version)
        self.moved.set()
        self.moved = trio.Event()


class Mirror:
    """The containers of a namespace. `run` keeps them; calls wait until they are complete (`ready`)."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self.containers = ContainerStore[PodContainer]()
        self.listeners: list[Listener] = []
        self._parts: dict[str, _Parts] = {}
        """By the values of the label `names.CONTAINER`."""
        self._views = {resource.kind: _View() for resource in (CONFIG_MAPS, PODS)}
        self._trouble = ""

    @property
    def complete(self) -> bool:
        """Whether all that the cluster has is known."""
        return all(view.synced.is_set() for view in self._views.values())

    async def run(self) -> None:
        """Watch until cancelled."""
        async with trio.open_nursery() as nursery:
            for resource in (CONFIG_MAPS, PODS):
                nursery.start_soon(self._follow, resource)

    async def ready(self) -> None:
        """Wait until all that the cluster has is known.

        Raises:
            Unavailable: that takes longer than `READY_SECONDS`; the error says what is wrong with the cluster.
        """
        if not self.complete:
            with self._patience("list its containers"):
                for view in self._views.values():
                    await view.synced.wait()

    async def seen(self, body: Body) -> None:
        """Wait until an object is known in the version that the cluster has answered, or in a newer one.

        Raises:
            Unavailable: the watch does not bring it within `READY_SECONDS`.
        """
        view, version = self._views[body["kind"]], version_of(body)
        if view.version < version:
            with self._patience("tell of a change"):
                while view.version < version:
                    await view.moved.wait()

    @contextmanager
    def _patience(self, what: str) -> Generator[None]:
        with trio.move_on_after(READY_SECONDS) as scope:
            yield
        if scope.cancelled_caught:
            why = f": {self._trouble}" if self._trouble else ""
            raise Unavailable(f"the cluster did not {what} within {READY_SECONDS:g} s{why}")

    async def _follow(self, resource: Resource) -> None:
        """Watch a resource. A first list that fails is tried again; what breaks later is the watch's own work."""
        view = self._views[resource.kind]
        while True:
            try:
                async with watch(self._api, resource, self._namespace, _OWN) as changes:
                    async for change in changes:
                        self._note(resource, view, change)
            except SwarmError as exc:
                self._trouble = exc.message
                _log.warning("kubernetes: can't list %s: %s; it is tried again", resource.plural, exc)
                await trio.sleep(_PAUSE_SECONDS)

    # Changes.

    def _note(self, resource: Resource, view: _View, change: Change) -> None:
        if change.kind is Kind.SYNCED:
            self._trouble = ""
            view.synced.set()
            return
        body: Body = {"kind": resource.kind, **change.object}  # the objects of a list do not say what they are
        about = body["metadata"]
        short = about["labels"].get(names.CONTAINER, "")
        parts = self._parts.setdefault(short, _Parts())
        try:
            parts.note(body, gone=change.kind is Kind.DELETED)
        except BadAnswer as exc:
            _log.warning("kubernetes: left out: %s", exc)
        self._settle(parts)
        if parts.none:
            del self._parts[short]
        view.advance(version_of(body))

    def _settle(self, parts: _Parts) -> None:
        """Make the container of what is known now, change it, or end it. It needs its record and its name."""
        record, container = parts.record, parts.container
        if record is None or record.name not in parts.names:
            if container is not None:
                self._remove(parts, container)
        elif container is None:
            parts.container = PodContainer(record, parts.pod)
            self.containers.add(parts.container)
            self._tell(parts.container, None)
        elif record is not container.record or parts.pod is not container.pod:
            before = container.update(record, parts.pod)
            if container.name != record.name:
                self.containers.set_name(container, record.name)
            self._tell(container, before)

    def _remove(self, parts: _Parts, container: PodContainer) -> None:
        parts.container = None
        self.containers.remove(container)
        container.removed.set()
        container.exited.set()
        container.wake()
        self._tell(container, container.state)

    def _tell(self, container: PodContainer, before: State | None) -> None:
        for listener in self.listeners:
            listener(container, before)


def version_of(body: Body) -> int:
    """Return the version of an object: in all clusters, versions are numbers that grow (KEP-5504)."""
    return int(body["metadata"]["resourceVersion"])
