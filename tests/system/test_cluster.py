"""The real Kubernetes cluster of the tests: what other tests rely on."""

import json
from typing import Any

import pytest

from tests.support.cluster import IMAGES, SPARE, Cluster
from tests.support.cluster.api import Api
from tests.support.engines import wait_until
from tests.support.registries import PASSWORD, USER

pytestmark = pytest.mark.cluster

_ENDPOINTS = "/apis/discovery.k8s.io/v1beta1/namespaces/{}/endpointslices"


def ran(cluster: Cluster, name: str, *command: str, **spec: Any) -> str:
    """What a Pod writes, once it has ended well."""
    make(cluster, name, *command, **spec)
    wait_until(lambda: phase(cluster, name) in ("Succeeded", "Failed"), name)
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{name}"
    assert phase(cluster, name) == "Succeeded", cluster.api.value("GET", path)["status"]
    return str(cluster.api.ask("GET", f"{path}/log")[1])


def make(cluster: Cluster, name: str, *command: str, image: str = IMAGES[0], **spec: Any) -> None:
    main = {"name": "main", "image": image, "command": command}
    pod = {"metadata": {"name": name}, "spec": {"containers": [main], "restartPolicy": "Never", **spec}}
    cluster.api.value("POST", f"/api/v1/namespaces/{cluster.namespace}/pods", pod)


def phase(cluster: Cluster, name: str) -> str:
    found = cluster.api.value("GET", f"/api/v1/namespaces/{cluster.namespace}/pods/{name}")
    return str(found["status"].get("phase"))


def test_pods_run_and_images_without_a_shell_too(cluster: Cluster) -> None:
    assert ran(cluster, "shell", "sh", "-c", "echo $((6 * 7))") == "42\n"
    assert ran(cluster, "bare", "echo", "well", image=IMAGES[1]) == "well\n"


def test_names_of_a_network_have_all_addresses_that_are_there_now(cluster: Cluster) -> None:
    api, namespace = cluster.api, cluster.namespace
    service = {"metadata": {"name": "net"}, "spec": {"clusterIP": "None"}}
    api.value("POST", f"/api/v1/namespaces/{namespace}/services", service)
    slices, labels = _ENDPOINTS.format(namespace), {"kubernetes.io/service-name": "net"}
    slice = {
        "metadata": {"name": "net", "labels": labels},
        "addressType": "IPv4",
        "ports": [],
        "endpoints": [
            {"addresses": ["10.1.2.3"], "hostname": "db"},
            {"addresses": ["10.1.2.4"], "hostname": "db"},
            {"addresses": ["10.1.2.5"], "hostname": "web"},
            {"addresses": ["10.1.2.6"], "hostname": "db", "conditions": {"ready": False}},
        ],
    }
    api.value("POST", slices, slice)
    search = {"dnsConfig": {"searches": [f"net.{namespace}.svc.cluster.local"]}}
    each = "for name in db web net nobody; do echo $name $(nslookup $name | sort -u); done"
    script = f"{{ until nslookup db | grep -q 10.1; do :; done; {each}; }} 2>/dev/null"
    lines = ran(cluster, "names", "sh", "-c", script, **search).splitlines()
    found = {line.split()[0]: [word for word in line.split() if word.startswith("10.1.2")] for line in lines}
    assert found == {
        "db": ["10.1.2.3", "10.1.2.4"],
        "web": ["10.1.2.5"],
        "net": ["10.1.2.3", "10.1.2.4", "10.1.2.5"],
        "nobody": [],
    }
    slice["endpoints"] = slice["endpoints"][2:]  # type: ignore[index]
    api.value("PUT", f"{slices}/net", slice)
    assert (
        ran(
            cluster, "gone", "sh", "-c", "while nslookup db | grep -q 10.1; do :; done 2>/dev/null; echo gone", **search
        )
        == "gone\n"
    )


def test_images_are_pulled_from_a_registry_and_with_a_password(cluster: Cluster) -> None:
    image = f"{cluster.registry()}/{IMAGES[0]}"
    assert ran(cluster, "pulled", "echo", "well", image=image) == "well\n"
    image = f"{cluster.registry(private=True)}/{IMAGES[0]}"
    login = {"auths": {cluster.registry(private=True): {"username": USER, "password": PASSWORD}}}
    secret = {
        "metadata": {"name": "login"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps(login)},
    }
    cluster.api.value("POST", f"/api/v1/namespaces/{cluster.namespace}/secrets", secret)
    assert ran(cluster, "private", "echo", "well", image=image, imagePullSecrets=[{"name": "login"}]) == "well\n"


def test_a_user_without_rights_has_none(cluster: Cluster) -> None:
    status, answer = Api(cluster.without_rights).ask("GET", f"/api/v1/namespaces/{cluster.namespace}/pods")
    assert (status, answer["reason"]) == (403, "Forbidden")


def test_the_spare_node_can_be_frozen_and_crash(cluster: Cluster) -> None:
    on_spare = {
        "nodeSelector": {"kubernetes.io/hostname": SPARE},
        "tolerations": [{"key": SPARE, "operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
    }
    with cluster.frozen_kubelet():
        make(cluster, "frozen", "true", **on_spare)
        wait_until(lambda: _node(cluster, "frozen") == SPARE, "the scheduler")
        assert phase(cluster, "frozen") == "Pending"
    wait_until(lambda: phase(cluster, "frozen") == "Succeeded", "the kubelet")
    make(cluster, "crashed", "sleep", "1000", **on_spare)
    wait_until(lambda: phase(cluster, "crashed") == "Running", "the kubelet")
    with cluster.crashed_node():
        assert phase(cluster, "crashed") == "Running"  # nobody has seen it yet
    wait_until(lambda: phase(cluster, "crashed") == "Failed", "the kubelet")


def _node(cluster: Cluster, pod: str) -> str | None:
    found = cluster.api.value("GET", f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}")
    node: str | None = found["spec"].get("nodeName")
    return node


def test_after_a_compaction_old_versions_are_gone(cluster: Cluster) -> None:
    pods = f"/api/v1/namespaces/{cluster.namespace}/configmaps?limit=1"
    make_two = [{"metadata": {"name": name}} for name in ("one", "two")]
    for each in make_two:
        cluster.api.value("POST", f"/api/v1/namespaces/{cluster.namespace}/configmaps", each)
    more = cluster.api.value("GET", pods)["metadata"]["continue"]
    cluster.api.value("DELETE", f"/api/v1/namespaces/{cluster.namespace}/configmaps/two")
    cluster.compact()
    status, answer = cluster.api.ask("GET", f"{pods}&continue={more}")
    assert (status, answer["reason"]) == (410, "Expired")
