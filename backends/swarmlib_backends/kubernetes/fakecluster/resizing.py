"""The resize of a Pod: what its containers may use changes while they run."""

from __future__ import annotations

import copy
from typing import Any, Final

from ...dockerapi.nullable import dict_of, list_of
from ...http.serving import Body
from ..api.resources import PODS
from .errors import invalid, invalid_value

_CLASS: Final = "Invalid value: Pod QOS Class may not change as a result of resizing"
_FIXED: Final = "Forbidden: only cpu and memory resources are mutable"


def resized(old: Body, wanted: Body) -> Body:
    """Return a Pod in which containers may use what another description of it says.

    Raises:
        StatusError: something else differs, or its class of service would.
    """
    made, left = copy.deepcopy(old), copy.deepcopy(dict_of(wanted.get("spec")))
    for container, asked in zip(made["spec"]["containers"], list_of(left.get("containers")), strict=False):
        container["resources"] = _with_requests(dict_of(asked.get("resources")))
        asked["resources"] = container["resources"]
    if left.get("containers") != made["spec"]["containers"]:
        raise _refused(old, _FIXED)
    if _service_class(made) != _service_class(old):
        raise _refused(old, _CLASS)
    return made


def _with_requests(resources: dict[str, Any]) -> dict[str, Any]:
    """Return resources in which what is limited is requested, too."""
    limits = dict_of(resources.get("limits"))
    requests: dict[str, Any] = {**limits, **dict_of(resources.get("requests"))}
    return {name: each for name, each in (("limits", limits), ("requests", requests)) if each}


def _refused(pod: Body, why: str) -> Exception:
    cause = invalid_value("spec", "", "")._replace(reason="FieldValueForbidden", message=why)
    return invalid(PODS, pod["metadata"]["name"], [cause])


def _service_class(pod: Body) -> str:
    found: list[dict[str, Any]] = [dict_of(each.get("resources")) for each in pod["spec"]["containers"]]
    if not any(found):
        return "BestEffort"
    sure = all({"cpu", "memory"} <= {*dict_of(each.get("limits"))} for each in found)
    return "Guaranteed" if sure and all(each["limits"] == each.get("requests") for each in found) else "Burstable"
