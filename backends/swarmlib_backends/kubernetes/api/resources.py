"""The kinds of objects that are used, and their paths in the apiserver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from swarmlib import BadAnswer, Invalid, NotFound, Unsupported

if TYPE_CHECKING:
    from .client import Api


@dataclass(frozen=True)
class Resource:
    """A kind of object: its group ("" for the core), the group's version, its plural in paths, and its kind."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What an object of this kind has as its `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of an object or of one of its subresources; without a name, that of the list.

        namespace: "" for the list of all namespaces.

        Raises:
            Invalid: a name can't be part of a path.
        """
        places = [] if not namespace else ["namespaces", namespace]
        names = [name] if name else []
        below = [subresource] if subresource else []
        root = f"/apis/{self.group}" if self.group else "/api"
        return "/".join([root, self.version, *(_segment(each) for each in (*places, self.plural, *names, *below))])


def _segment(name: str) -> str:
    if name in (".", "..") or "/" in name:
        raise Invalid(f"invalid name {name!r}: the name of an object can't contain '/' or be '.' or '..'")
    return quote(name, safe="")


PODS: Final = Resource("", "v1", "pods", "Pod")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
SERVICES: Final = Resource("", "v1", "services", "Service")
SECRETS: Final = Resource("", "v1", "secrets", "Secret")
CLAIMS: Final = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
QUOTAS: Final = Resource("", "v1", "resourcequotas", "ResourceQuota")
EVENTS: Final = Resource("", "v1", "events", "Event")
NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES: Final = Resource("", "v1", "nodes", "Node", namespaced=False)
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
"""As it is in its newest version; see `served`."""
NETWORK_POLICIES: Final = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
ACCESS_REVIEWS: Final = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)
POD_METRICS: Final = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics")

SLICE_VERSIONS: Final = ("v1", "v1beta1")
"""The versions of EndpointSlices whose form is known; the older one was removed in 1.25."""


async def served(api: Api, resource: Resource, versions: Sequence[str]) -> Resource:
    """Return a resource in the first of the versions, the most wanted first, in which the cluster serves its group.

    Raises:
        Unsupported: the cluster has none of them.
        SwarmError: the cluster gives no answer.
    """
    try:
        group: Any = await api.get(f"/apis/{resource.group}")
    except NotFound:
        there = set[str]()
    else:
        there = _versions(group, resource.group)
    for version in versions:
        if version in there:
            return replace(resource, version=version)
    has = ", ".join(sorted(there)) or "none"
    raise Unsupported(f"the cluster serves no known version of {resource.group} ({', '.join(versions)}); it has: {has}")


def _versions(group: Any, name: str) -> set[str]:
    try:
        return {str(each["version"]) for each in group["versions"]}
    except (KeyError, TypeError) as exc:
        raise BadAnswer(f"the cluster gave a malformed answer about the group {name}") from exc
