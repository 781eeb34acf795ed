"""The status of a Pod, of the states of its containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...http.serving import Body
from .containers import Container


def phase_of(inits: Sequence[Container], mains: Sequence[Container], policy: str) -> str:
    """Return the phase of a Pod, whose `restartPolicy` is given."""
    if policy != "Always" and any(_failed(each) and policy == "Never" for each in inits):
        return "Failed"
    if any("running" in each.state for each in mains):
        return "Running"
    if mains and all("terminated" in each.state for each in mains) and policy != "Always":
        codes = [each.state["terminated"]["exitCode"] for each in mains]
        return "Succeeded" if not any(codes) else "Failed" if policy == "Never" else "Running"
    return "Running" if any(each.restarts or each.last for each in mains) else "Pending"


def _failed(container: Container) -> bool:
    return bool(container.state.get("terminated", {}).get("exitCode"))


def container_status(container: Container, *, init: bool) -> Body:
    """Return what a Pod's status says of a container."""
    ended_well = "terminated" in container.state and container.state["terminated"]["exitCode"] == 0
    there = container.process is not None
    return {
        "name": container.name,
        "state": container.state,
        "lastState": container.last,
        "ready": ended_well if init else container.runs,
        "restartCount": container.restarts,
        "image": container.spec["image"],
        "imageID": f"docker://sha256:{container.id[::-1]}" if there else "",
        **({"containerID": f"docker://{container.id}"} if there else {}),
        **({} if init else {"started": container.runs}),
    }


def conditions(inits: Sequence[Container], mains: Sequence[Container], now: str, before: Sequence[Body]) -> list[Body]:
    """Return the conditions of a Pod that has been placed; what hasn't changed keeps its time."""
    initialized = all("terminated" in each.state and not _failed(each) for each in inits)
    ready = bool(mains) and all(each.runs for each in mains)
    done = bool(mains) and all("terminated" in each.state for each in mains)
    why = {"reason": "PodCompleted"} if done else {"reason": "ContainersNotReady"}
    unready = [each.name for each in mains if not each.runs]
    said = why if done else {**why, "message": f"containers with unready status: [{' '.join(unready)}]"}
    found: list[Body] = [
        _condition("Initialized", initialized, {} if initialized else {"reason": "ContainersNotInitialized"}),
        _condition("Ready", ready, {} if ready else said),
        _condition("ContainersReady", ready, {} if ready else said),
        _condition("PodScheduled", True, {}),
    ]
    known = {each["type"]: each for each in before}
    for condition in found:
        old: dict[str, Any] = known.get(condition["type"], {})
        same = old.get("status") == condition["status"]
        condition |= {"lastProbeTime": None, "lastTransitionTime": old["lastTransitionTime"] if same else now}
    return found


def _condition(type: str, holds: bool, why: Body) -> Body:
    return {"type": type, "status": "True" if holds else "False", **why}
