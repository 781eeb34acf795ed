"""The fake answers what a real 1.20.2 was asked once as that answered it."""

import json
from typing import Any

import httpx
import pytest

from swarmlib_backends.kubernetes import fakecluster
from tests.support.kubernetes.schemas import Schemas
from tests.support.paths import DATA

RECORDED = json.loads((DATA / "kubernetes/requests-1.20.2.json").read_text())
GO = {"pod-create-400-bad-json", "pod-patch-immutable-422"}
"""What Go says of JSON, or shows of its values."""
OF_PODS = {"logs", "logs-timestamps-tail", "logs-not-started-400", "logs-exited", "logs-previous-400",
           "logs-bad-container-400", "pod-delete", "pod-delete-force"}  # fmt: skip
"""What depends on Pods that have run."""
SERVERS_OWN = {"uid", "creationTimestamp", "resourceVersion", "deletionTimestamp"}


async def test_the_recorded_requests_are_answered_alike() -> None:
    schemas = Schemas("1.20")
    async with fakecluster.serving() as fake, httpx.AsyncClient(base_url=fake.url, verify=fake.tls) as client:
        for each in RECORDED:
            if each["name"] in OF_PODS:
                continue
            token = "" if each["name"] == "anonymous-forbidden" else f"Bearer {fake.admin}"
            headers = {**({"Authorization": token} if token else {}), **each["headers"]}
            content = (
                each["body"] if isinstance(each["body"], str) else json.dumps(each["body"]) if each["body"] else None
            )
            answer = await client.request(each["method"], each["path"], headers=headers, content=content)
            assert answer.status_code == each["status"], (each["name"], answer.text)
            if each["json"] is None:
                assert answer.text == each["text"]
            else:
                assert schemas.errors(answer.json()) == []
                assert_alike(each["name"], answer.json(), each["json"])
        assert fake.bugs == []


def assert_alike(name: str, found: Any, recorded: Any) -> None:
    if recorded["kind"] == "Status":
        if name in GO:
            assert (found["reason"], found["code"]) == (recorded["reason"], recorded["code"])
        else:
            assert found == recorded, name
    elif "items" not in recorded:
        assert comparable(found["metadata"]) == comparable(recorded["metadata"]), name
        assert without_account(found.get("spec")) == without_account(recorded.get("spec")), name


def comparable(metadata: Any) -> Any:
    """Metadata without what is a server's own, and with the labels of a user."""
    labels = {name: value for name, value in metadata.get("labels", {}).items() if "kubernetes.io" not in name}
    return {**{k: v for k, v in metadata.items() if k not in SERVERS_OWN}, "labels": labels}


def without_account(spec: Any) -> Any:
    """A specification without the volume that gives a Pod its account, and without what is drawn or placed."""
    text = json.dumps(spec)
    if "clusterIP" in text:
        return {name: value for name, value in spec.items() if not name.startswith("clusterIP")}
    if "containers" not in text:
        return spec
    containers = [{k: v for k, v in each.items() if k != "volumeMounts"} for each in spec["containers"]]
    return {**{k: v for k, v in spec.items() if k not in ("volumes", "nodeName")}, "containers": containers}


@pytest.mark.parametrize("release", ["1.20", "1.35"])
async def test_what_the_fake_says_of_itself_has_the_right_form(release: str) -> None:
    schemas, chosen = Schemas(release), fakecluster.OLD if release == "1.20" else fakecluster.NEW
    async with (
        fakecluster.serving(release=chosen) as fake,
        httpx.AsyncClient(base_url=fake.url, verify=fake.tls) as client,
    ):
        client.headers["Authorization"] = f"Bearer {fake.admin}"
        for path in ("/apis", "/apis/discovery.k8s.io", f"/apis/discovery.k8s.io/{chosen.slices}"):
            assert schemas.errors({"apiVersion": "v1", **(await client.get(path)).json()}) == []
        assert (await client.get("/version")).json()["minor"] == release.partition(".")[2]
        assert (await client.get("/api")).json()["versions"] == ["v1"]
