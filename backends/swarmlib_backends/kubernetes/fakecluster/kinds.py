"""The kinds of objects of the fake cluster, its releases, and what it says of them (discovery)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ...http.serving import Body
from ..api import resources
from ..api.resources import Resource

_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount")
SUBRESOURCES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "namespaces": {"status": ("get", "patch", "update")},
    "nodes": {"status": ("get", "patch", "update")},
    "persistentvolumeclaims": {"status": ("get", "patch", "update")},
    "pods": {
        "attach": ("create", "get"),
        "exec": ("create", "get"),
        "log": ("get",),
        "portforward": ("create", "get"),
        "resize": ("get", "patch", "update"),
        "status": ("get", "patch", "update"),
    },
    "services": {"status": ("get", "patch", "update")},
}
"""The subresources of kinds, with their verbs."""
_SHORT: Final[Mapping[str, Sequence[str]]] = {
    "configmaps": ["cm"],
    "events": ["ev"],
    "networkpolicies": ["netpol"],
    "namespaces": ["ns"],
    "nodes": ["no"],
    "persistentvolumeclaims": ["pvc"],
    "pods": ["po"],
    "serviceaccounts": ["sa"],
    "services": ["svc"],
}


@dataclass(frozen=True)
class Release:
    """What a release of Kubernetes speaks.

    slices: the version of EndpointSlices. modern_streams: WebSocket v5, and SPDY in WebSockets for port-forwards.
    split_logs: whether logs have a parameter `stream`. get_creates: whether a GET of exec, attach and portforward needs
    the right to create it, as the POST does. resizes: whether what a Pod may use can be changed while it runs.
    """

    minor: int
    git_version: str
    slices: str
    modern_streams: bool
    split_logs: bool
    get_creates: bool
    resizes: bool

    @property
    def kinds(self) -> list[Resource]:
        """The kinds of objects."""
        return [
            resources.PODS,
            resources.CONFIG_MAPS,
            resources.SERVICES,
            resources.SECRETS,
            resources.CLAIMS,
            resources.QUOTAS,
            resources.EVENTS,
            resources.NAMESPACES,
            resources.NODES,
            SERVICE_ACCOUNTS,
            resources.NETWORK_POLICIES,
            replace(resources.ENDPOINT_SLICES, version=self.slices),
            resources.ACCESS_REVIEWS,
        ]

    def subresources(self, plural: str) -> Mapping[str, tuple[str, ...]]:
        """Return the subresources of a kind, with their verbs."""
        found = SUBRESOURCES.get(plural, {})
        return {name: verbs for name, verbs in found.items() if name != "resize" or self.resizes}

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return a kind; None if there is none."""
        wanted = (group, version, plural)
        return next((each for each in self.kinds if (each.group, each.version, each.plural) == wanted), None)


OLD: Final = Release(20, "v1.20.2", "v1beta1", modern_streams=False, split_logs=False, get_creates=False, resizes=False)
"""Kubernetes 1.20.2."""
NEW: Final = Release(35, "v1.35.0", "v1", modern_streams=True, split_logs=True, get_creates=True, resizes=True)
"""Kubernetes 1.35, with the feature gate PodLogsQuerySplitStreams."""


def discovered(release: Release, path: str) -> Body | None:
    """Return what the cluster says of itself at a path; None if it is another one."""
    groups = sorted({(each.group, each.version) for each in release.kinds if each.group})
    match path.strip("/").split("/"):
        case ["version"]:
            return _version(release)
        case ["api"]:
            addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}
        case ["api", "v1"]:
            return _resources(release, "", "v1")
        case ["apis"]:
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*each) for each in groups]}
        case ["apis", group]:
            found = next((_group(*each) for each in groups if each[0] == group), None)
            return None if found is None else {"kind": "APIGroup", "apiVersion": "v1", **found}
        case ["apis", group, version] if (group, version) in groups:
            return _resources(release, group, version)
        case _:
            return None


def _version(release: Release) -> Body:
    return {
        "major": "1",
        "minor": str(release.minor),
        "gitVersion": release.git_version,
        "gitCommit": "faecb196815e248d3ecfb03c680a4507229c2a56",
        "gitTreeState": "clean",
        "buildDate": "2021-01-13T13:20:00Z",
        "goVersion": "go1.15.5",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def _group(name: str, version: str) -> Body:
    both = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [both], "preferredVersion": both}


def _resources(release: Release, group: str, version: str) -> Body:
    found: list[dict[str, Any]] = []
    for kind in release.kinds:
        if (kind.group, kind.version) == (group, version):
            verbs = ["create"] if kind is resources.ACCESS_REVIEWS else list(_VERBS)
            common = {"singularName": "", "namespaced": kind.namespaced, "kind": kind.kind}
            short = {"shortNames": list(_SHORT[kind.plural])} if kind.plural in _SHORT else {}
            found.append({"name": kind.plural, **common, "verbs": verbs, **short})
            for name, own in release.subresources(kind.plural).items():
                found.append({"name": f"{kind.plural}/{name}", **common, "verbs": list(own)})
    named = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": named, "resources": found}
