"""Microsoft.ContainerInstance/containerGroups: created, shown and deleted, with what runs in them."""

from __future__ import annotations

from collections.abc import Mapping

from ....http.serving import Body
from .. import errors
from ..errors import ArmError
from ..kind import Action, Kind
from ..resource import Resource, dig
from ..state import ArmCall, State
from . import checks
from .running import CannotRun, Running, body_of

_GRACE = 1
"""Seconds that a container has to end when it is stopped; in Azure it has more."""


class ContainerGroups(Kind):
    """Container groups."""

    type = checks.TYPE
    working = "Pending"
    weight = 1.0

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.actions = {
            "start": Action(self._start),
            "stop": Action(self._stop, later=False),
            "restart": Action(self._restart, later=False),
        }

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Check what Azure checks before it answers, and fill in what it fills in."""
        checks.check(self.state, resource, old)
        checks.fill(self.state, resource, old)

    async def provision(self, resource: Resource, old: Resource | None) -> None:
        """Run the containers; those of a group that is replaced end before."""
        await self._halt(resource)
        resource.hidden["stopped"] = False
        resource.hidden["running"] = [
            self._new(resource, number) for number, _ in enumerate(checks.containers(resource))
        ]
        await self._launch(resource)

    def _new(self, group: Resource, number: int) -> Running:
        properties = checks.containers(group)[number]["properties"]
        address = "" if self.state.simulated else dig(group.properties, "ipAddress", "ip")
        body = body_of(properties, group.properties, group.hidden["environment"][number], address or "")
        assert self.state.engine is not None
        return Running(self.state.engine, properties["image"], body, group.properties["restartPolicy"])

    async def _launch(self, group: Resource) -> None:
        for each in running(group):
            try:
                await each.launch(self.state.nursery)
            except CannotRun as exc:
                raise checks.inaccessible(each.image, group) from exc

    async def _halt(self, group: Resource, grace: int = 0) -> None:
        for each in running(group):
            await each.halt(grace)

    async def _start(self, group: Resource, call: ArmCall) -> None:
        if not any(each.runs for each in running(group)):
            await self._halt(group)
            group.hidden["stopped"] = False
            await self._launch(group)

    async def _stop(self, group: Resource, call: ArmCall) -> None:
        self._check_settled(group)
        await self._halt(group, _GRACE)
        group.hidden["stopped"] = True

    async def _restart(self, group: Resource, call: ArmCall) -> None:
        self._check_settled(group)
        await self._halt(group, _GRACE)
        group.hidden["stopped"] = False
        await self._launch(group)

    def _check_settled(self, group: Resource) -> None:
        if group.busy:
            raise self.busy_error(group)

    async def remove(self, resource: Resource) -> None:
        """End the containers."""
        await self._halt(resource)

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """Show the group with its instance view."""
        found = running(resource)
        if not found:
            return resource.body
        shown = [
            each | {"properties": each["properties"] | {"instanceView": own.view()}}
            for each, own in zip(checks.containers(resource), found, strict=True)
        ]
        return resource.body | {"properties": checks.view_of(shown, resource.properties, _state_of(resource))}

    def listed(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """Show what a list shows: no instance view."""
        return resource.body

    def busy_error(self, resource: Resource) -> ArmError:
        """Return the error in Microsoft.ContainerInstance's words."""
        message = f"The container group '{resource.id.name}' is still transitioning, please retry later."
        return errors.conflict("ContainerGroupTransitioning", message)


def running(group: Resource) -> list[Running]:
    """Return what runs in a group; empty before it was provisioned, and for one that was planted."""
    found: list[Running] = group.hidden.get("running") or []
    return found


def _state_of(group: Resource) -> str:
    if group.hidden.get("stopped"):
        return "Stopped"
    states = [each.current for each in running(group)]
    if any(each["state"] == "Running" for each in states):
        return "Running"
    if all(each["state"] == "Terminated" for each in states):
        return "Succeeded" if all(each["exitCode"] == 0 for each in states) else "Failed"
    return "Pending"
