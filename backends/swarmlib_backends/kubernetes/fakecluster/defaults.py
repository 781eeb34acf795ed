"""What an apiserver fills in where an object leaves it open."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from ...dockerapi.nullable import dict_of, list_of
from ...http.serving import Body
from ..api.resources import Resource

_MAX_SERVICES: Final = 65_000
NODE_PORTS: Final = range(30_000, 32_768)
"""The ports of nodes that Services may have."""
_MAX_NODE_PORTS: Final = len(NODE_PORTS)
_TOLERATED: Final = [
    {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for state in ("not-ready", "unreachable")
]


class Defaults:
    """Fills in what new objects leave open; keeps count of the addresses of Services."""

    def __init__(self) -> None:
        self._services = 1
        self._node_ports = 0
        self._of: Mapping[str, Callable[[Body], None]] = {
            "namespaces": _namespace,
            "persistentvolumeclaims": _claim,
            "pods": pod,
            "secrets": secret,
            "services": self._service,
        }

    def fill(self, resource: Resource, object: Body) -> None:
        """Fill in a new object, in place."""
        if fill := self._of.get(resource.plural):
            fill(object)

    def _service(self, object: Body) -> None:
        spec = object["spec"]
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        for port in list_of(spec.get("ports")):
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))
            if spec["type"] == "NodePort" and not port.get("nodePort"):
                self._node_ports = self._node_ports % _MAX_NODE_PORTS + 1
                port["nodePort"] = NODE_PORTS[-self._node_ports]  # from the end, so that few are those asked for
        if spec["type"] != "ExternalName":
            if not spec.get("clusterIP"):
                self._services = self._services % _MAX_SERVICES + 1
                spec["clusterIP"] = f"10.96.{self._services >> 8}.{self._services & 255}"
            spec["clusterIPs"] = [spec["clusterIP"]]
        object["status"] = {"loadBalancer": {}}


def _namespace(object: Body) -> None:
    object["spec"] = {"finalizers": ["kubernetes"]}
    object["status"] = {"phase": "Active"}
    labels = dict_of(object["metadata"].get("labels"))
    object["metadata"]["labels"] = {**labels, "kubernetes.io/metadata.name": object["metadata"].get("name", "")}


def _claim(object: Body) -> None:
    object["spec"].setdefault("volumeMode", "Filesystem")
    object["status"] = {"phase": "Pending"}


def secret(object: Body) -> None:
    """Fill in a Secret; its plain texts become data."""
    object.setdefault("type", "Opaque")
    for name, text in dict_of(object.pop("stringData", None)).items():
        object.setdefault("data", {})[name] = base64.b64encode(text.encode()).decode()


def pod(object: Body) -> None:
    """Fill in a Pod."""
    spec: Body = object["spec"]
    common: Body = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "serviceAccount": spec.get("serviceAccountName", "default"),
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    }
    for name, value in common.items():
        spec.setdefault(name, value)
    known = {each.get("key") for each in list_of(spec.get("tolerations"))}
    spec["tolerations"] = [
        *list_of(spec.get("tolerations")),
        *(dict(each) for each in _TOLERATED if each["key"] not in known),
    ]
    for container in [*list_of(spec.get("initContainers")), *list_of(spec.get("containers"))]:
        _container(container)
    object["status"] = {"phase": "Pending", "qosClass": _quality(spec)}


def _container(container: Body) -> None:
    tag = container.get("image", "").rpartition("/")[2]
    newest = "@" not in tag and (":" not in tag or tag.endswith(":latest"))
    container.setdefault("imagePullPolicy", "Always" if newest else "IfNotPresent")
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    if limits := container["resources"].get("limits"):
        container["resources"]["requests"] = {**limits, **dict_of(container["resources"].get("requests"))}
    for port in list_of(container.get("ports")):
        port.setdefault("protocol", "TCP")


def _quality(spec: Body) -> str:
    """Return the class by which a node chooses what to end first."""
    asked: list[dict[str, Any]] = [dict_of(each.get("resources")) for each in list_of(spec.get("containers"))]
    if not any(each.get("limits") or each.get("requests") for each in asked):
        return "BestEffort"
    whole = all({"cpu", "memory"} <= dict_of(each.get("limits")).keys() for each in asked)
    return "Guaranteed" if whole and all(each["limits"] == each.get("requests") for each in asked) else "Burstable"
