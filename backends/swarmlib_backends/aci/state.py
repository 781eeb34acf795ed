"""How a container is, in Docker's words: read from its group, as Azure shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..azure.objects import seconds
from ..azure.spec import Body, part, parts
from ..enginekit.seen import SeenState
from .arm import container_of

_NO_START: Final = 128
"""The exit code of a container that Azure could not start."""
KILLED: Final = 137
"""That of one that was stopped, if Azure does not tell another."""


def state(group: Body | None) -> SeenState:
    """Return how a container is. group: with its instance view; None if there is none yet."""
    if group is None:
        return SeenState()
    properties = part(group, "properties")
    view = part(container_of(group), "instanceView")
    now, before = part(view, "currentState"), part(view, "previousState")
    restarts = int(view.get("restartCount") or 0)
    stopped = part(properties, "instanceView").get("state") == "Stopped"
    match str(now.get("state") or ""):
        case "Running" if not stopped:
            return SeenState("running", 0, "", _at(now, "startTime"), _at(before, "finishTime"), restarts)
        case "Terminated":
            again = not stopped and _restarts(str(properties.get("restartPolicy")), now)
            return _ended("restarting" if again else "exited", now, restarts)
        case _ if stopped:
            return _ended("exited", now | {"exitCode": now.get("exitCode") or KILLED}, restarts)
        case _ if restarts:
            return _ended("restarting", before, restarts)
        case _ if properties.get("provisioningState") == "Failed":
            return SeenState("exited", _NO_START, why_failed(group), restarts=restarts)
        case _:
            return SeenState(restarts=restarts)


def has_failed(group: Body) -> bool:
    """Return whether Azure has given a group up before its container ran."""
    return part(group, "properties").get("provisioningState") == "Failed" and not state(group).started


def why_failed(group: Body) -> str:
    """Return the last thing that Azure says has happened to a group, or to its container."""
    view = part(group, "properties", "instanceView")
    events = [*parts(view, "events"), *parts(part(container_of(group), "instanceView"), "events")]
    texts = [str(each["message"]) for each in events if each.get("message")]
    return texts[-1] if texts else "Azure does not say why"


def _restarts(policy: str, ended: Mapping[str, Any]) -> bool:
    return policy == "Always" or (policy == "OnFailure" and ended.get("exitCode") != 0)


def _ended(status: str, end: Body, restarts: int) -> SeenState:
    code = int(end.get("exitCode") or 0)
    return SeenState(status, code, "", _at(end, "startTime"), _at(end, "finishTime"), restarts)


def _at(moments: Mapping[str, Any], name: str) -> float:
    return seconds(str(moments.get(name) or ""))
