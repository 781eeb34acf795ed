"""Keeps the NetworkPolicies of a namespace as the networks of its containers are (`--isolate`).

A policy is written before the labels of the Pod that it is for. Wherever these are not as the container's networks want
them, whoever has left them so, every gateway that isolates writes both.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Final

import trio

from swarmlib import Denied, NotFound, SwarmError, Unavailable
from swarmlib.supervision import supervised

from ..dockerapi.nullable import dict_of
from ..pauses import pauses
from .cluster import Cluster
from .container import Pod, PodContainer
from .following import READY_SECONDS
from .pods import walls
from .pods.status import State
from .policies import put_policy

_log = logging.getLogger(__name__)
_FIRST_PAUSE: Final = 0.5


class Walls:
    """Keeps the policies and the labels of Pods in step with the networks of containers."""

    def __init__(self, cluster: Cluster, nursery: trio.Nursery) -> None:
        self._cluster = cluster
        self._nursery = nursery
        self._moved: set[str] = set()
        """The ids of the containers whose walls are moved now."""
        cluster.mirror.listeners.append(self._changed)

    async def standing(self, container: PodContainer) -> None:
        """Wait until the walls of a container are as its networks are, or it has no Pod.

        Raises:
            Unavailable: the cluster does not take them.
        """
        with trio.move_on_after(READY_SECONDS):
            await container.until(lambda each: not _changes(each))
            return
        raise Unavailable(f"the cluster did not take the walls of {container.name} within {READY_SECONDS:g} s")

    def _changed(self, container: PodContainer, before: State | None) -> None:
        if _changes(container) and container.id not in self._moved:
            self._moved.add(container.id)
            name = f"kubernetes: the walls of {container.name}"
            self._nursery.start_soon(partial(supervised, name, self._move, container, expected=(Denied,)))

    async def _move(self, container: PodContainer) -> None:
        """Write what differs, until nothing does; what fails is tried again.

        Raises:
            Denied: the account may not have policies.
        """
        waits = pauses(first=_FIRST_PAUSE)
        try:
            while changes := _changes(container):
                try:
                    await self._move_once(container, changes)
                except (Denied, NotFound) as exc:
                    if isinstance(exc, Denied):
                        raise
                    return  # the Pod has gone meanwhile
                except SwarmError as exc:
                    _log.warning("kubernetes: the walls of %s: %s; it is tried again", container.name, exc)
                    await trio.sleep(next(waits))
        finally:
            self._moved.discard(container.id)

    async def _move_once(self, container: PodContainer, changes: dict[str, str | None]) -> None:
        await put_policy(self._cluster.api, container.record, self._cluster.options)
        patch = {"metadata": {"labels": changes}}
        await self._cluster.mirror.seen(await self._cluster.patch_pod(container, patch))


def _changes(container: PodContainer) -> dict[str, str | None]:
    """Return the labels that a container's Pod lacks, and (None) those that it has too many."""
    if container.pod is None or container.removed.is_set():
        return {}
    wanted, has = walls.labels(container.record), _labels(container.pod)
    return {**{name: "" for name in wanted if name not in has}, **{name: None for name in has if name not in wanted}}


def _labels(pod: Pod) -> list[str]:
    found: dict[str, Any] = dict_of(dict_of(pod.get("metadata")).get("labels"))
    return [name for name in found if walls.is_label(name)]
