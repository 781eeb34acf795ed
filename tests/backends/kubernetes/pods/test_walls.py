"""What a Pod lets in where networks are walls."""

from dataclasses import replace

import pytest

from swarmlib_backends.kubernetes.pods import names, walls
from swarmlib_backends.kubernetes.pods.record import Record
from tests.backends.kubernetes.pods.containers import ID, OPTIONS, host, made, record

ISOLATING = replace(OPTIONS, isolate=True)


def label(network: str) -> str:
    return f"swarmlib/{names.network_name(network)}"


def in_networks(*networks: str) -> Record:
    return record(networks={name: {} for name in networks})


def test_a_pod_says_its_networks_and_lets_in_who_shares_one_with_it() -> None:
    of = in_networks("bridge", "shop")
    assert walls.labels(of) == {"swarmlib/isolated": "", label("bridge"): "", label("shop"): ""}
    policy = walls.policy(of, ISOLATING)
    assert policy["spec"]["podSelector"] == {"matchLabels": {"swarmlib/container": ID[:32]}}
    assert policy["spec"]["ingress"] == [
        {"from": [{"podSelector": {"matchLabels": {label(name): ""}}} for name in ("bridge", "shop")]}
    ]


def test_a_container_without_a_network_lets_nobody_in() -> None:
    assert walls.policy(in_networks("none"), ISOLATING)["spec"]["ingress"] == []
    assert walls.policy(in_networks(), ISOLATING)["spec"]["ingress"] == []


@pytest.mark.parametrize(("ports", "rules"), [("forward", 1), ("pod", 2), ("node", 2)])
def test_published_ports_are_for_everybody_unless_the_gateway_forwards_to_them(ports: str, rules: int) -> None:
    of = record(host(PortBindings={"53/udp": [{}], "80/tcp": [{}, {}]}))
    ingress = walls.policy(of, replace(ISOLATING, ports=ports))["spec"]["ingress"]  # type: ignore[arg-type]
    assert len(ingress) == rules
    assert [each for each in ingress if "from" not in each] == [
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 80, "protocol": "TCP"}]}
    ] * (rules - 1)


def test_a_pod_in_the_network_of_its_node_has_no_walls() -> None:
    assert walls.labels(record(host(NetworkMode="host"))) == {}


@pytest.mark.parametrize("isolate", [True, False])
def test_pods_have_the_labels_only_where_networks_are_walls(isolate: bool) -> None:
    labels = made(options=replace(OPTIONS, isolate=isolate))["metadata"]["labels"]
    assert [name for name in labels if walls.is_label(name)] == (
        ["swarmlib/isolated", label("bridge")] if isolate else []
    )
