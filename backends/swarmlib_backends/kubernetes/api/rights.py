"""The rights that the backend needs in its namespace: what each is for, whether an account has it, and the least Role.

`ROLE` is needed by every gateway; without a right of it, that is lost which the table says. What is in `CLUSTER_ROLE`
concerns the cluster as a whole, and many accounts may not have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import trio

from swarmlib import BadAnswer
from swarmlib.errors import ungrouped

from .client import Api
from .resources import (
    ACCESS_REVIEWS,
    CLAIMS,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    EVENTS,
    NETWORK_POLICIES,
    NODES,
    POD_METRICS,
    PODS,
    QUOTAS,
    SECRETS,
    SERVICES,
    Resource,
)

SubjectKind: TypeAlias = Literal["ServiceAccount", "User", "Group"]

_RBAC: Final = "rbac.authorization.k8s.io"
_NAME: Final = "swarmlib"
_AT_ONCE: Final = 10
"""How many reviews are asked for side by side."""


@dataclass(frozen=True)
class Right:
    """What may be done with a resource or one of its subresources, and what is lost without it."""

    resource: Resource
    verbs: tuple[str, ...]
    loss: str
    subresource: str = ""

    @property
    def name(self) -> str:
        """The resource as a Role names it, such as pods/log."""
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural

    @property
    def label(self) -> str:
        """The resource as people name it, with its group if it has one."""
        return f"{self.name}.{self.resource.group}" if self.resource.group else self.name


ROLE: Final = (
    Right(CONFIG_MAPS, ("create", "get", "list", "watch", "update", "delete"), "containers"),
    Right(PODS, ("create", "list", "watch", "patch", "delete"), "running containers"),
    Right(PODS, ("get",), "logs", "log"),
    Right(PODS, ("get", "create"), "exec, cp, kill, pause, top, stats and health checks", "exec"),
    Right(PODS, ("get", "create"), "attach, and so docker run without --detach", "attach"),
    Right(PODS, ("get", "create"), "published ports", "portforward"),
    Right(PODS, ("patch",), "update of running containers", "resize"),
    Right(SERVICES, ("create", "list", "watch", "delete"), "networks, and ports with --ports node"),
    Right(ENDPOINT_SLICES, ("create", "list", "watch", "update", "delete"), "names and aliases in networks"),
    Right(NETWORK_POLICIES, ("create", "list", "update", "delete"), "networks that are walls (--isolate)"),
    Right(CLAIMS, ("create", "list", "watch", "delete"), "named volumes"),
    Right(SECRETS, ("create", "list", "delete"), "images of registries that need credentials"),
    Right(EVENTS, ("list", "watch"), "a second of each docker run, which begins when the status tells it instead"),
    Right(QUOTAS, ("list",), "what the namespace may use, in info"),
)
"""In the namespace."""
CLUSTER_ROLE: Final = (
    Right(NODES, ("get", "list", "watch"), "nodes, and their processors and memory, in info and in constraints"),
    Right(POD_METRICS, ("get", "list"), "stats of containers without swarmlib's tools"),
)
"""In the whole cluster; each of these may be missing."""


@dataclass(frozen=True)
class Checked:
    """A right, and the verbs of it that the account has and lacks."""

    right: Right
    optional: bool
    allowed: Mapping[str, bool]

    @property
    def missing(self) -> list[str]:
        """The verbs that the account lacks."""
        return [verb for verb, allowed in self.allowed.items() if not allowed]

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "group": self.right.resource.group,
            "resource": self.right.name,
            "optional": self.optional,
            "verbs": dict(self.allowed),
            "loss": self.right.loss,
        }


async def version(api: Api) -> str:
    """Return the cluster's version, such as v1.20.2.

    Raises:
        SwarmError: the cluster's error.
    """
    answer: Any = await api.get("/version")
    try:
        return str(answer["gitVersion"])
    except (KeyError, TypeError) as exc:
        raise BadAnswer("the cluster gave a malformed version") from exc


async def check(api: Api, namespace: str, rights: Sequence[Right] = (*ROLE, *CLUSTER_ROLE)) -> list[Checked]:
    """Ask the cluster which of the rights this account has.

    Raises:
        SwarmError: the cluster's error.
    """
    answers: dict[tuple[Right, str], bool] = {}
    limiter = trio.CapacityLimiter(_AT_ONCE)

    async def ask(right: Right, verb: str) -> None:
        async with limiter:
            answers[right, verb] = await _is_allowed(api, namespace, right, verb)

    with ungrouped():
        async with trio.open_nursery() as nursery:
            for right in rights:
                for verb in right.verbs:
                    nursery.start_soon(ask, right, verb)
    return [
        Checked(right, right in CLUSTER_ROLE, {verb: answers[right, verb] for verb in right.verbs}) for right in rights
    ]


async def _is_allowed(api: Api, namespace: str, right: Right, verb: str) -> bool:
    attributes = {
        "namespace": namespace if right.resource.namespaced else "",
        "verb": verb,
        "group": right.resource.group,
        "resource": right.resource.plural,
        "subresource": right.subresource,
    }
    review = {
        "apiVersion": ACCESS_REVIEWS.api_version,
        "kind": ACCESS_REVIEWS.kind,
        "spec": {"resourceAttributes": attributes},
    }
    answer: Any = await api.post(ACCESS_REVIEWS.path(), review)
    try:
        return answer["status"]["allowed"] is True
    except (KeyError, TypeError) as exc:
        raise BadAnswer("the cluster gave a malformed review of an access") from exc


def role(namespace: str, kind: SubjectKind, name: str) -> list[dict[str, Any]]:
    """Return the Role with the least rights, and the RoleBinding that gives it to an account.

    kind: of the account; a ServiceAccount is one of the namespace. name: the account's.
    """
    metadata = {"name": _NAME, "namespace": namespace}
    return [
        {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": _rules(ROLE)},
        _binding("Role", metadata, _subject(kind, name, namespace)),
    ]


def cluster_role(namespace: str, kind: SubjectKind, name: str) -> list[dict[str, Any]]:
    """Return the ClusterRole with what is optional, and its ClusterRoleBinding, as `role` does."""
    metadata = {"name": _NAME}
    return [
        {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": _rules(CLUSTER_ROLE)},
        _binding("ClusterRole", metadata, _subject(kind, name, namespace)),
    ]


def _rules(rights: Iterable[Right]) -> list[dict[str, Any]]:
    return [
        {"apiGroups": [right.resource.group], "resources": [right.name], "verbs": list(right.verbs)} for right in rights
    ]


def _subject(kind: SubjectKind, name: str, namespace: str) -> dict[str, str]:
    if kind == "ServiceAccount":
        return {"kind": kind, "name": name, "namespace": namespace}
    return {"apiGroup": _RBAC, "kind": kind, "name": name}


def _binding(kind: str, metadata: Mapping[str, str], subject: Mapping[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": dict(metadata),
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": _NAME},
        "subjects": [dict(subject)],
    }
