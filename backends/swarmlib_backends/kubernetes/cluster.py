"""What this gateway does to the objects of containers in a cluster: makes them, changes them, removes them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

import trio

from swarmlib import CLEANUP_SECONDS, Conflict, NotFound, SwarmError, Unavailable

from ..dockerapi.status import refusal
from .api.client import Api
from .api.errors import reason_of
from .api.resources import CONFIG_MAPS, PODS, SECRETS
from .container import PodContainer
from .following import READY_SECONDS, Body
from .mirror import Mirror
from .pods import names, reading, record
from .pods.options import PodOptions
from .pods.pod import pod as pod_of
from .pods.record import Record
from .policies import put_policy
from .reservations import holder as holder_in
from .split_logs import SplitLogs
from .streams.negotiate import Dialects

_TRIES: Final = 10
"""How often a record is changed again that another gateway has changed meanwhile."""
_AT_ONCE: Final[dict[str, Any]] = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
_BACKGROUND: Final[dict[str, Any]] = {"propagationPolicy": "Background"}


@dataclass(frozen=True)
class Cluster:
    """One namespace of a cluster. Each method returns when the mirror shows what it has done."""

    api: Api
    mirror: Mirror
    options: PodOptions
    dialects: Dialects
    split_logs: SplitLogs = field(default_factory=SplitLogs)

    @property
    def namespace(self) -> str:
        """The namespace that all is in."""
        return self.options.namespace

    # Records.

    async def create(self, new: Record, pull_secret: Body | None = None) -> PodContainer:
        """Write the record of a new container, and reserve its name.

        pull_secret: the Secret that the record names, if it names one; it goes away with the record.

        Raises:
            Conflict: another container has the name. SwarmError: the cluster's error.
        """
        path = CONFIG_MAPS.path(self.namespace)
        made = reading.read(await self.api.post(path, new.config_map()))
        try:
            if pull_secret is not None:
                owner = names.owner_reference(names.record_name(made.id), made.uid)
                pull_secret["metadata"] |= {"ownerReferences": [owner], "labels": names.own_labels("pull", made.id)}
                await self.api.post(SECRETS.path(self.namespace), pull_secret)
            reserved = await self._reserve(made)
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
                await self._delete(CONFIG_MAPS.path(self.namespace, names.record_name(new.id)), _BACKGROUND)
            raise
        await self.mirror.seen(reserved)
        return self.mirror.containers.find(new.id)

    async def _reserve(self, of: Record) -> dict[str, Any]:
        """Reserve the name of a record. Raises `Conflict`, in an engine's words, if another container has it."""
        try:
            return await self.api.post(CONFIG_MAPS.path(self.namespace), record.reservation(of))  # type: ignore[no-any-return]
        except Conflict as exc:
            if reason_of(exc) != "AlreadyExists":
                raise
            holder = await self._holder(of.name)
            raise name_taken(of.name, holder) from exc

    async def _holder(self, name: str) -> str:
        path = CONFIG_MAPS.path(self.namespace, names.reservation_name(name))
        with suppress(NotFound):
            return holder_in(await self.api.get(path))
        return ""

    async def change(self, container: PodContainer, change: Callable[[Record], Record]) -> Record:
        """Change the record of a container; again, if another gateway changes it at the same time.

        change: returns the changed record. It may raise, where the container is no longer what it was.

        Raises:
            SwarmError: what `change` raises, or the cluster's error; NotFound if the container is gone.
        """
        path = CONFIG_MAPS.path(self.namespace, names.record_name(container.id))
        before = container.record
        for _ in range(_TRIES):
            after = change(before)
            if after == before:
                return before
            try:
                written = await self.api.put(path, after.config_map())
            except Conflict:
                before = reading.read(await self.api.get(path))
            else:
                await self.mirror.seen(written)
                return reading.read(written)
        raise Unavailable(f"the record of {container.name} was changed by others {_TRIES} times in a row")

    async def rename(self, container: PodContainer, name: str) -> None:
        """Give a container another name. Raises what `create` and `change` do."""
        old = container.name
        changed = replace(container.record, name=name)
        await self._reserve(changed)
        await self.change(container, lambda each: replace(each, name=name))
        await self._delete(CONFIG_MAPS.path(self.namespace, names.reservation_name(old)), _BACKGROUND)

    # Pods.

    async def make_pod(self, container: PodContainer, *, run: int, gate: bool) -> None:
        """Make the Pod of a run of a container. Raises `SwarmError`: it can't be, or the cluster's error."""
        body = pod_of(container.record, self.options, run=run, gate=gate)
        if self.options.isolate:
            await put_policy(self.api, container.record, self.options)
        await self.mirror.seen(await self.api.post(PODS.path(self.namespace), body))

    async def patch_pod(self, container: PodContainer, patch: Any, *part: str) -> Body:
        """Change the Pod of a container, or a part of it, and return it. Raises `SwarmError`: the cluster's error."""
        return await self.api.patch(PODS.path(self.namespace, pod_name(container), *part), patch)  # type: ignore[no-any-return]

    async def end_pod(self, container: PodContainer) -> None:
        """End the Pod of a container: the cluster sends TERM, waits as long as the Pod allows, and restarts nothing."""
        await self.patch_pod(container, {"spec": {"activeDeadlineSeconds": 1}})

    async def delete_pod(self, container: PodContainer) -> None:
        """Delete the Pod of a container at once, if it has one."""
        if container.pod is not None:
            await self._delete(PODS.path(self.namespace, pod_name(container)), _AT_ONCE)
            await self._gone(container, lambda: container.pod is None)

    async def remove(self, container: PodContainer) -> None:
        """Remove a container with all that belongs to it. It is there until its name is free."""
        await self._delete(CONFIG_MAPS.path(self.namespace, names.reservation_name(container.name)), _BACKGROUND)
        await self._delete(CONFIG_MAPS.path(self.namespace, names.record_name(container.id)), _BACKGROUND)
        if container.pod is not None:
            await self._delete(PODS.path(self.namespace, pod_name(container)), _AT_ONCE)
        await self._gone(container, container.removed.is_set)

    async def _gone(self, container: PodContainer, fits: Callable[[], bool]) -> None:
        with trio.move_on_after(READY_SECONDS):
            await container.until(lambda _: fits())
            return
        raise Unavailable(f"the cluster did not tell of a removal within {READY_SECONDS:g} s")

    async def _delete(self, path: str, options: dict[str, Any]) -> None:
        with suppress(NotFound):
            await self.api.delete(path, options)


def pod_name(container: PodContainer) -> str:
    """Return the name of a container's Pod. Raises `Conflict` if it has none."""
    if container.pod is None:
        raise refusal(409, f"Container {container.id} is not running")
    return str(container.pod["metadata"]["name"])


def name_taken(name: str, holder: str) -> SwarmError:
    """Return an engine's error for a name that another container has."""
    text = f'Conflict. The container name "/{name}" is already in use by container "{holder}"'
    return refusal(409, f"{text}. You have to remove (or rename) that container to be able to reuse that name.")
