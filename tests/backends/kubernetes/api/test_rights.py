"""The rights that the backend needs: what is asked of the cluster, and the Role that has them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from swarmlib import BadAnswer, Denied
from swarmlib_backends.kubernetes.api.access import Access
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.api.rights import CLUSTER_ROLE, ROLE, Right, check, cluster_role, role
from tests.support.scripted_http import Answer, Asked, served


def asked_of(right: Right, verb: str, namespace: str = "ci") -> tuple[str, ...]:
    return (
        namespace if right.resource.namespaced else "",
        verb,
        right.resource.group,
        right.resource.plural,
        right.subresource,
    )


async def test_each_right_is_asked_for_and_what_is_missing_is_told() -> None:
    asked_for: set[tuple[str, ...]] = set()

    async def script(asked: Asked, answer: Answer) -> None:
        assert (asked.method, asked.path) == ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        spec = orjson.loads(asked.body)["spec"]["resourceAttributes"]
        asked_for.add(tuple(spec[key] for key in ("namespace", "verb", "group", "resource", "subresource")))
        await answer.json({"status": {"allowed": spec["verb"] != "watch", "reason": "x"}}, 201)

    async with served(script) as server, Api.open(Access(server.url)) as api:
        checked = await check(api, "ci")
    assert asked_for == {asked_of(right, verb) for right in (*ROLE, *CLUSTER_ROLE) for verb in right.verbs}
    assert [each.right for each in checked] == [*ROLE, *CLUSTER_ROLE]
    assert {verb for each in checked for verb in each.missing} == {"watch"}
    assert [each.optional for each in checked] == [False] * len(ROLE) + [True] * len(CLUSTER_ROLE)


@pytest.mark.parametrize("status", [{}, {"allowed": "true"}, {"allowed": 1}, {"allowed": None}])
async def test_only_a_clear_yes_is_one(status: Any) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json({"status": status})

    async with served(script) as server, Api.open(Access(server.url)) as api:
        if "allowed" in status:
            assert not any(any(each.allowed.values()) for each in await check(api, "ci"))
        else:
            with pytest.raises(BadAnswer, match="malformed review"):
                await check(api, "ci")


async def test_an_account_that_may_not_even_ask_is_told_so() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json({"kind": "Status", "reason": "Forbidden", "message": "no"}, 403)

    async with served(script) as server, Api.open(Access(server.url)) as api:
        with pytest.raises(Denied, match="no"):
            await check(api, "ci")


def test_no_right_is_listed_twice_and_each_names_its_loss() -> None:
    pairs = [(right.label, verb) for right in (*ROLE, *CLUSTER_ROLE) for verb in right.verbs]
    assert len(set(pairs)) == len(pairs)
    assert all(right.loss for right in (*ROLE, *CLUSTER_ROLE))
    assert "*" not in str(ROLE + CLUSTER_ROLE)


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("ServiceAccount", {"kind": "ServiceAccount", "name": "me", "namespace": "ci"}),
        ("User", {"kind": "User", "name": "me", "apiGroup": "rbac.authorization.k8s.io"}),
        ("Group", {"kind": "Group", "name": "me", "apiGroup": "rbac.authorization.k8s.io"}),
    ],
)
def test_a_role_is_bound_to_its_account(kind: Any, subject: dict[str, str]) -> None:
    made, binding = role("ci", kind, "me")
    assert (made["kind"], binding["kind"]) == ("Role", "RoleBinding")
    assert made["metadata"] == binding["metadata"] == {"name": "swarmlib", "namespace": "ci"}
    assert binding["subjects"] == [subject]
    assert binding["roleRef"]["name"] == made["metadata"]["name"]
    assert {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]} in made["rules"]
    for_cluster, binding = cluster_role("ci", kind, "me")
    assert (for_cluster["kind"], binding["kind"], binding["roleRef"]["kind"]) == (
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterRole",
    )
    assert {rule["resources"][0] for rule in for_cluster["rules"]} == {"nodes", "pods"}
