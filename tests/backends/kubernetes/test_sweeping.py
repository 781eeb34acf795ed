"""What crashed runs have left: which objects that is, and how they are removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from swarmlib import BadAnswer, Denied
from swarmlib_backends.kubernetes.api.access import Access
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.api.kubeconfig import read_access
from swarmlib_backends.kubernetes.api.resources import CONFIG_MAPS
from swarmlib_backends.kubernetes.pods import names
from swarmlib_backends.kubernetes.sweeping import orphans, remove
from tests.support.cluster import Cluster
from tests.support.scripted_http import Answer, Asked, Served, served

ID, GONE = "a" * 64, "b" * 64
FORBIDDEN = {"kind": "Status", "reason": "Forbidden", "message": "no"}


def thing(name: str, id: str = "", owner: str = "", **metadata: Any) -> dict[str, Any]:
    """An object of ours. owner: the uid of the ConfigMap that owns it."""
    owners = [{**names.owner_reference("c", owner), "controller": True}] if owner else None
    labels = names.own_labels("test", id)
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "labels": labels,
            "ownerReferences": owners,
            **metadata,
        }
    }


RECORD = thing(names.record_name(ID), ID)
RECORD_UID = RECORD["metadata"]["uid"]


class Namespace:
    """The lists of a namespace, by the plural; one that is missing is forbidden."""

    def __init__(self, **lists: list[Any]) -> None:
        empty: dict[str, list[Any]] = {
            each: []
            for each in (
                *("pods", "services", "endpointslices", "networkpolicies", "secrets"),
                *("persistentvolumeclaims", "configmaps"),
            )
        }
        self.lists = {**empty, **lists}
        self.has_slices = True

    async def __call__(self, asked: Asked, answer: Answer) -> None:
        if asked.path == "/apis/discovery.k8s.io":
            await answer.json({"versions": [{"version": "v1beta1"}] if self.has_slices else []})
            return
        words = asked.path.split("/")
        plural = words[words.index("ci") + 1]
        assert dict(asked.params).get("labelSelector", "app.kubernetes.io/managed-by=swarmlib").endswith("=swarmlib")
        if plural not in self.lists:
            await answer.json(FORBIDDEN, 403)
        else:
            await answer.json({"metadata": {"resourceVersion": "1"}, "items": self.lists[plural]})


@asynccontextmanager
async def opened(namespace: Any) -> AsyncIterator[tuple[Api, Served]]:
    async with served(namespace) as server, Api.open(Access(server.url)) as api:
        yield api, server


async def test_what_belongs_to_no_container_is_an_orphan() -> None:
    namespace = Namespace(
        configmaps=[RECORD, thing("n-1", ID, RECORD_UID), thing("n-2", GONE, "gone"), thing("unowned")],
        pods=[thing("web", ID, RECORD_UID), thing("old", GONE, "gone"), thing("label-only", GONE)],
        services=[thing("network"), thing("owned", owner="gone")],
        endpointslices=[thing("slice", GONE)],
        networkpolicies=[thing("walls", GONE, "gone"), thing("ours", ID, RECORD_UID)],
        secrets=[thing("pull", ID, RECORD_UID), thing("pull-old", ID, "another uid")],
        persistentvolumeclaims=[thing("volume")],
    )
    async with opened(namespace) as (api, server):
        found = await orphans(api, "ci")
    labels = [each.label for each in found.orphans]
    assert labels == [
        "pods/old",
        "pods/label-only",
        "services/owned",
        "endpointslices/slice",
        "networkpolicies/walls",
        "secrets/pull-old",
        "configmaps/n-2",
    ]
    assert found.unseen == {}
    assert server.asked[-1].path.endswith("/configmaps")  # the records are looked at last
    slices = next(each for each in found.orphans if each.label == "endpointslices/slice")
    assert slices.resource.version == "v1beta1"


async def test_what_another_kind_of_object_owns_is_the_cluster_s_business() -> None:
    pod = thing("job", ownerReferences=[{"kind": "Job", "uid": "x", "name": "j", "apiVersion": "batch/v1"}])
    async with opened(Namespace(pods=[pod])) as (api, _):
        assert (await orphans(api, "ci")).orphans == []


async def test_what_can_t_be_looked_at_is_told() -> None:
    namespace = Namespace(pods=[thing("old", GONE)])
    del namespace.lists["secrets"]
    namespace.has_slices = False
    async with opened(namespace) as (api, _):
        found = await orphans(api, "ci")
    assert [each.label for each in found.orphans] == ["pods/old"]
    assert found.unseen == {"secrets": "no"}


async def test_without_the_records_nothing_is_judged() -> None:
    namespace = Namespace(pods=[thing("old", GONE)])
    del namespace.lists["configmaps"]
    async with opened(namespace) as (api, _):
        with pytest.raises(Denied):
            await orphans(api, "ci")


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": {"name": "x", "uid": 1}},
        {"metadata": {"name": "x", "uid": "u", "labels": {"swarmlib/container": 1}}},
        {"metadata": {"name": "x", "uid": "u", "ownerReferences": [1]}},
        {"metadata": None},
    ],
)
async def test_an_odd_record_is_never_taken_for_a_missing_one(odd: Any) -> None:
    async with opened(Namespace(configmaps=[RECORD, odd], pods=[thing("web", ID, RECORD_UID)])) as (api, _):
        with pytest.raises(BadAnswer):
            await orphans(api, "ci")


@pytest.mark.parametrize("status", [200, 404, 409])
async def test_only_the_object_that_was_judged_is_removed(status: int) -> None:
    removed: list[Asked] = []

    async def script(asked: Asked, answer: Answer) -> None:
        if asked.method == "DELETE":
            removed.append(asked)
            await answer.json({"kind": "Status", "message": "x"}, status)
        else:
            await namespace(asked, answer)

    namespace = Namespace(pods=[thing("old", GONE)])
    async with opened(script) as (api, _):
        (orphan,) = (await orphans(api, "ci")).orphans
        await remove(api, "ci", orphan)
    assert [asked.path for asked in removed] == ["/api/v1/namespaces/ci/pods/old"]
    assert orjson.loads(removed[0].body) == {"propagationPolicy": "Background", "preconditions": {"uid": "uid-old"}}


async def test_what_can_t_be_removed_is_an_error() -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json(FORBIDDEN, 403) if asked.method == "DELETE" else await namespace(asked, answer)

    namespace = Namespace(pods=[thing("old", GONE)])
    async with opened(script) as (api, _):
        (orphan,) = (await orphans(api, "ci")).orphans
        with pytest.raises(Denied):
            await remove(api, "ci", orphan)


@pytest.mark.cluster
async def test_on_a_real_cluster_only_orphans_go(cluster: Cluster) -> None:
    async with Api.open(read_access(str(cluster.kubeconfig))) as api:
        place = CONFIG_MAPS.path(cluster.namespace)
        labels = {"labels": names.own_labels("container", ID)}
        record = await api.post(place, {"metadata": {"name": names.record_name(ID), **labels}})
        owner = names.owner_reference(names.record_name(ID), record["metadata"]["uid"])
        await api.post(place, {"metadata": {"name": "owned", "ownerReferences": [owner], **labels}})
        await api.post(place, {"metadata": {"name": "left", "labels": names.own_labels("test", GONE)}})
        await api.post(place, {"metadata": {"name": "another-s"}})
        found = await orphans(api, cluster.namespace)
        assert [each.label for each in found.orphans] == ["configmaps/left"]
        assert found.unseen == {}
        await remove(api, cluster.namespace, found.orphans[0])
        assert (await orphans(api, cluster.namespace)).orphans == []
        await api.get(CONFIG_MAPS.path(cluster.namespace, "owned"))
        await api.get(CONFIG_MAPS.path(cluster.namespace, "another-s"))
