"""The containers of a namespace, as the cluster has them: kept in memory by two watches, of records and of Pods.

Only the watches change it, so that it is one unbroken history, whoever writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from swarmlib import BadAnswer

from ..enginekit.store import ContainerStore
from .api.client import Api
from .api.resources import CONFIG_MAPS, PODS
from .container import PodContainer
from .following import Body, Following
from .pods import names, reading, record
from .pods.record import Record
from .pods.status import State, run_of
from .reservations import reserved_name

Listener: TypeAlias = Callable[[PodContainer, State | None], None]
"""Is told of each change of a container, with its state before (None if it is new), and of its removal."""


@dataclass
class _Parts:
    """What the cluster has of one container; whatever is missing may still come."""

    record: Record | None = None
    names: dict[str, str] = field(default_factory=dict[str, str])
    """The names that are reserved for it, by the ConfigMaps that do so."""
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
                self.names.pop(about["name"], None)
                if not gone:
                    self.names[about["name"]] = reserved_name(body)
            case _:
                pass  # it is another part's


def _put(to: dict[str, Body], name: str, body: Body | None) -> None:
    if body is None:
        to.pop(name, None)
    else:
        to[name] = body


class Mirror(Following):
    """The containers of a namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        super().__init__(api, namespace, (CONFIG_MAPS, PODS))
        self.containers = ContainerStore[PodContainer]()
        self.listeners: list[Listener] = []
        self.others: dict[str, Callable[[Body, bool], None]] = {}
        """Those that are told of ConfigMaps of other kinds (`names.KIND`), and of their removal (True)."""
        self._parts: dict[str, _Parts] = {}
        """By the values of the label `names.CONTAINER`."""

    def note(self, body: Body, *, gone: bool) -> None:
        """See `Following`."""
        if body["kind"] == CONFIG_MAPS.kind and (other := self.others.get(body["metadata"]["labels"].get(names.KIND))):
            other(body, gone)
            return
        short = body["metadata"]["labels"].get(names.CONTAINER, "")
        parts = self._parts.setdefault(short, _Parts())
        try:
            parts.note(body, gone=gone)
        except BadAnswer as exc:
            self.left_out(exc)
        self._settle(parts)
        if parts.none:
            del self._parts[short]

    def _settle(self, parts: _Parts) -> None:
        """Make the container of what is known now, change it, or end it. It needs its record and its name."""
        record, container = parts.record, parts.container
        if record is None or record.name not in parts.names.values():
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
