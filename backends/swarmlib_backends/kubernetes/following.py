"""Objects of a namespace, followed by one watch for each resource, whoever changes them.

A call that has written something waits until a watch has brought it (`seen`): a client finds what it has made.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import trio

from swarmlib import BadAnswer, Denied, SwarmError, Unavailable
from swarmlib.supervision import supervised

from ..dockerapi.nullable import dict_of
from .api.client import Api
from .api.resources import Resource
from .api.sparing import Sparing
from .api.watch import Change, Kind, Told, watch
from .pods import names

_log = logging.getLogger(__name__)
READY_SECONDS: Final = 10.0
"""How long a call waits for the watches of a cluster that can't be reached."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 15.0
"""Between one list that failed and the next: one may be much to read."""
_OWN: Final = names.selector({names.MANAGED_BY: names.OWNER})

Body: TypeAlias = dict[str, Any]


@dataclass
class _View:
    """How far a watch has come."""

    synced: trio.Event = field(default_factory=trio.Event)
    moved: trio.Event = field(default_factory=trio.Event)
    version: int = 0
    pause: float = _FIRST_PAUSE
    """How long to wait after the next list that fails."""

    def advance(self, version: int) -> None:
        self.version = max(self.version, version)
        self.wake()

    def wake(self) -> None:
        self.moved.set()
        self.moved = trio.Event()


class Following(ABC):
    """Follows swarmlib's objects of some resources. `run` does it; calls wait until they are complete (`ready`)."""

    def __init__(self, api: Api, namespace: str, resources: Sequence[Resource]) -> None:
        self.api = api
        self.namespace = namespace
        self._resources = resources
        self._views = {resource.kind: _View() for resource in resources}
        self._denied: Denied | None = None
        self._trouble = ""
        self._warnings = Sparing(_log)

    @abstractmethod
    def note(self, body: Body, *, gone: bool) -> None:
        """Take an object into account as it is now, or that it is gone."""

    def left_out(self, exc: BadAnswer) -> None:
        """Warn of an object that can't be read."""
        self._warnings.warning("kubernetes: left out: %s", exc)

    async def served(self, resource: Resource) -> Resource:
        """Return a resource in the version in which the cluster has it. Raises `SwarmError`."""
        return resource

    @property
    def complete(self) -> bool:
        """Whether all that the cluster has is known."""
        return all(view.synced.is_set() for view in self._views.values())

    async def completed(self) -> None:
        """Wait until all that the cluster has is known, however long that takes."""
        for view in self._views.values():
            await view.synced.wait()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with trio.open_nursery() as nursery:
            for resource in self._resources:
                nursery.start_soon(self._follow, resource)

    async def ready(self) -> None:
        """Wait until all that the cluster has is known.

        Raises:
            Denied: the account may not list it.
            Unavailable: that takes longer than `READY_SECONDS`; the error says what is wrong with the cluster.
        """
        if not self.complete:
            what = " and ".join(resource.plural for resource in self._resources)
            with self._patience(f"list its {what}"):
                for view in self._views.values():
                    while not (view.synced.is_set() or self._denied):
                        await view.moved.wait()
        if self._denied:
            raise Denied(self._denied.message, details=self._denied.details)

    async def seen(self, body: Body) -> None:
        """Wait until an object is known in the version that the cluster has answered, or in a newer one.

        Raises:
            Unavailable: the watch does not bring it within `READY_SECONDS`.
        """
        view, version = self._views[body["kind"]], version_of(body)
        await self._until(view, lambda: view.version >= version, "tell of a change")

    async def until(self, resource: Resource, fits: Callable[[], bool], what: str) -> None:
        """Wait until a watch has brought what fits.

        what: names in the error what the cluster has not done.

        Raises:
            Unavailable: that takes longer than `READY_SECONDS`.
        """
        await self._until(self._views[resource.kind], fits, what)

    async def _until(self, view: _View, fits: Callable[[], bool], what: str) -> None:
        if not fits():
            with self._patience(what):
                while not fits():
                    await view.moved.wait()

    @contextmanager
    def _patience(self, what: str) -> Generator[None]:
        with trio.move_on_after(READY_SECONDS) as scope:
            yield
        if scope.cancelled_caught:
            why = f": {self._trouble}" if self._trouble else ""
            raise Unavailable(f"the cluster did not {what} within {READY_SECONDS:g} s{why}")

    async def _follow(self, resource: Resource) -> None:
        """Watch a resource for ever. A watch that failed, even by a bug, goes on from what it had told."""
        told: Told = {}
        view = self._views[resource.kind]
        while True:
            await supervised(f"kubernetes: the watch of {resource.plural}", self._watch, resource, told)
            await trio.sleep(view.pause)
            view.pause = min(2 * view.pause, _LONGEST_PAUSE)

    async def _watch(self, resource: Resource, told: Told) -> None:
        """Watch a resource until that fails: its first list, as what breaks later is the watch's own work."""
        view = self._views[resource.kind]
        try:
            async with watch(self.api, await self.served(resource), self.namespace, _OWN, told) as changes:
                async for change in changes:
                    self._changed(resource, view, change)
        except SwarmError as exc:
            if exc.message != self._trouble:
                _log.warning("kubernetes: can't list %s: %s; it is tried again", resource.plural, exc)
            self._trouble, self._denied = exc.message, exc if isinstance(exc, Denied) else None
            view.wake()

    def _changed(self, resource: Resource, view: _View, change: Change) -> None:
        if change.kind is Kind.SYNCED:
            self._trouble, self._denied = "", None
            view.pause = _FIRST_PAUSE
            view.synced.set()
            view.wake()
            return
        body: Body = {"kind": resource.kind, **change.object}  # the objects of a list do not say what they are
        if dict_of(body["metadata"].get("labels")).get(names.MANAGED_BY) == names.OWNER:
            self.note(body, gone=change.kind is Kind.DELETED)
        view.advance(version_of(body))


def version_of(body: Body) -> int:
    """Return the version of an object: in all clusters, versions are numbers that grow (KEP-5504)."""
    return int(body["metadata"]["resourceVersion"])
