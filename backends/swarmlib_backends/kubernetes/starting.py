"""How far the start of a Pod has come, and why it can't go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from swarmlib import SwarmError

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal as refusal_of
from .container import Pod, PodContainer
from .pods import names, status

_NO_IMAGE: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_NO_CONTAINER: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError"}
)


def has_begun(pod: Pod) -> bool:
    """Return whether Docker's container of a Pod, and the one for its stderr, run, or have ended."""
    needed = (names.MAIN, *((names.STDERR,) if status.has_stderr(pod) else ()))
    begun = (_has_begun(dict_of(each.get("state"))) for each in _statuses(pod) if each.get("name") in needed)
    return sum(begun) == len(needed) or status.is_over(pod)


def _has_begun(state: Mapping[str, Any]) -> bool:
    return "running" in state or "terminated" in state


def has_node(pod: Pod) -> bool:
    """Return whether a node has been found for a Pod."""
    return bool(dict_of(pod.get("spec")).get("nodeName"))


def refusal(container: PodContainer, pod: Pod) -> SwarmError | None:
    """Return the error, in an engine's words, of a Pod that can't start; None for one that has, or still may."""
    terminated = dict_of(dict_of(status.main_status(pod).get("state")).get("terminated"))
    if (unable := status.unable(terminated)) is not None:
        return refusal_of(400, unable[1])
    if failed := _failed_preparation(pod):
        return refusal_of(500, f"failed to create the container {container.name}: {failed}")
    for each in _statuses(pod):
        waiting = dict_of(dict_of(each.get("state")).get("waiting"))
        reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
        if reason in _NO_IMAGE:
            return refusal_of(404, f"No such image: {each.get('image')}: {message or reason}")
        if reason in _NO_CONTAINER:
            return refusal_of(500, f"failed to create the container {container.name}: {message or reason}")
    return None


def _failed_preparation(pod: Pod) -> str:
    """Return what is said of an init container that has failed for good; "" if none has."""
    if status.phase(pod) != "Failed":
        return ""
    for each in list_of(dict_of(pod.get("status")).get("initContainerStatuses")):
        ended = dict_of(dict_of(each.get("state")).get("terminated"))
        if ended.get("exitCode"):
            why = ended.get("message") or ended.get("reason") or "no reason is given"
            return f"{each.get('name')} has ended with {ended['exitCode']}: {why}"
    return ""


def _statuses(pod: Pod) -> list[dict[str, Any]]:
    found = dict_of(pod.get("status"))
    return [*list_of(found.get("initContainerStatuses")), *list_of(found.get("containerStatuses"))]


def why_no_node(pod: Pod) -> str:
    """Return what the cluster says of a Pod for which no node has been found."""
    for each in list_of(dict_of(pod.get("status")).get("conditions")):
        if each.get("type") == "PodScheduled" and each.get("message"):
            return str(each["message"])
    return "the scheduler has not said why"
