"""Changes of containers that were made: of what they may use, and of their restart policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from swarmlib import NotFound, Request, Unsupported

from ..dockerapi.nullable import dict_of
from ..dockerapi.status import refusal
from ..enginekit.bodies import check_restart_policy
from ..enginekit.events import Events
from ..enginekit.operations import answers, body_of, ref_of
from .cluster import Cluster
from .container import Pod, PodContainer
from .pods import fields, names, status
from .pods.pod import pod as pod_of
from .pods.pod import restart_policy
from .pods.record import Record
from .pods.resources import resources

_QUOTA: Final = ("CpuQuota", "CpuPeriod")


@dataclass(frozen=True)
class Updates:
    """Answers what is asked to be changed in containers."""

    cluster: Cluster
    events: Events

    @answers("ContainerUpdate")
    async def _update(self, request: Request) -> dict[str, Any]:
        if request.json is None:
            raise refusal(500, "EOF")
        container = self.cluster.mirror.containers.find(ref_of(request))
        changes = {name: value for name, value in body_of(request).items() if value}  # an empty one asks for nothing
        if not dict_of(changes.get("RestartPolicy")).get("Name"):
            changes.pop("RestartPolicy", None)
        fields.check({"HostConfig": changes})
        _check(container, changes)
        await self._apply(container, _changed(container.record, changes))
        await self.cluster.change(container, lambda each: _changed(each, changes))
        self.events.tell_container(container, "update")
        return {"Warnings": None}

    async def _apply(self, container: PodContainer, new: Record) -> None:
        """Change the Pod of a container as its new record says, if it has one.

        Raises:
            Unsupported: its policy can't be changed any more; or the cluster can't change what a Pod may use.
            SwarmError: a value is wrong, or the cluster's error.
        """
        made = pod_of(new, self.cluster.options, run=1)
        if container.pod is None or status.phase(container.pod) in ("Failed", "Succeeded"):
            return
        if restart_policy(new) != restart_policy(container.record):
            why = "that of a Pod that was made can't change, unless it was created with the option --keep of kubernetes"
            raise fields.refused(("HostConfig.RestartPolicy", why))
        options = self.cluster.options
        if resources(new.host, options) != resources(container.host, options):
            await self._resize(container, container.pod, made)

    async def _resize(self, container: PodContainer, pod: Pod, made: Pod) -> None:
        at, after = _place(pod), made["spec"]["containers"][_place(made)].get("resources", {})
        test = {"op": "test", "path": f"/spec/containers/{at}/name", "value": names.MAIN}
        change = {"op": "add", "path": f"/spec/containers/{at}/resources", "value": after}
        try:
            await self.cluster.patch_pod(container, [test, change], "resize")
        except NotFound as exc:
            why = "clusters before Kubernetes 1.33 can't change what a Pod that was made may use"
            raise Unsupported(f"{container.name} can't be updated: {why}") from exc


def _check(container: PodContainer, changes: Mapping[str, Any]) -> None:
    """Raise what an engine says of changes that contradict what a container has."""
    what = f"Cannot update container {container.id}: "
    policy = dict_of(changes.get("RestartPolicy"))
    check_restart_policy(policy)
    if policy and container.host.get("AutoRemove"):
        text = "Restart policy cannot be updated because AutoRemove is enabled for the container"
        raise refusal(409, what + text)
    if container.host.get("NanoCpus") and any(changes.get(name) for name in _QUOTA):
        text = "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set."
        raise refusal(409, what + text)
    if changes.get("NanoCpus") and any(container.host.get(name) for name in _QUOTA):
        text = "Conflicting options: NanoCPUs cannot be updated as CPU Quota has already been set."
        raise refusal(409, what + text)


def _changed(record: Record, changes: Mapping[str, Any]) -> Record:
    return replace(record, body={**record.body, "HostConfig": {**record.host, **changes}})


def _place(pod: Pod) -> int:
    """Return where Docker's own container stands among those of a Pod."""
    return [each["name"] for each in pod["spec"]["containers"]].index(names.MAIN)
