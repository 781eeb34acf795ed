"""What containers are connected to, and the names that they have there; and the ports that they publish."""

from dataclasses import replace
from typing import Any

import pytest

from swarmlib import SwarmError, Unsupported
from swarmlib_backends.kubernetes.pods import names, options, publishing
from swarmlib_backends.kubernetes.pods.connections import (
    aliases,
    checked,
    connections,
    links,
    resolvable,
    wanted_connections,
)
from swarmlib_backends.kubernetes.pods.creation import new
from swarmlib_backends.kubernetes.pods.record import Image
from tests.backends.kubernetes.pods.containers import ID, OPTIONS, host, made, record

NO_TOOLS = replace(OPTIONS, tools="never")


def body(mode: str, **endpoints: Any) -> dict[str, Any]:
    return {**host(NetworkMode=mode), "NetworkingConfig": {"EndpointsConfig": endpoints}}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ["bridge"]),
        (body("default"), ["bridge"]),
        (body("host"), ["host"]),
        (body("net"), ["net"]),
        (body("default", net={}), ["net"]),
        (body("default", default={}, net={}), ["bridge", "net"]),
        (body("net", other={"Aliases": ["a"]}), ["net", "other"]),
        (body("5ea1", net={"Aliases": ["a"]}), ["net"]),
    ],
)
def test_a_container_is_in_the_networks_that_its_creation_names(given: dict[str, Any], found: list[str]) -> None:
    by_id = {"5ea1": "net"}
    assert [*wanted_connections(given, lambda ref: by_id.get(ref, ref))] == found


def test_one_network_by_its_id_and_its_name_keeps_its_aliases() -> None:
    given = body("5ea1", net={"Aliases": ["a", "a", "B"]})
    assert wanted_connections(given, lambda _: "net") == {"net": {"Aliases": ["a", "B"]}}


def test_what_can_be_resolved_is_its_name_its_aliases_and_the_beginning_of_its_id() -> None:
    found = record(body("net", net={"Aliases": ["DB", ID[:12]]}))
    assert aliases(found, "net") == ["DB", ID[:12]]
    assert resolvable(found, "net") == sorted(["web", "db", ID[:12]])
    assert aliases(record(), "bridge") is None


@pytest.mark.parametrize("alias", ["my_db", "a.b", "-a", "a" * 64, "", "ä", "a\n"])
def test_an_alias_that_a_cluster_can_t_resolve_is_refused(alias: str) -> None:
    with pytest.raises(Unsupported, match="a Pod can't have Aliases"):
        checked("net", {"Aliases": [alias]})


def test_what_a_connection_can_t_have_is_refused_by_its_name() -> None:
    with pytest.raises(Unsupported, match=r"IPAMConfig\.IPv4Address"):
        checked("net", {"IPAMConfig": {"IPv4Address": "10.0.0.7"}})
    assert checked("net", {"IPAddress": "10.0.0.7", "NetworkID": "x"}) == {}  # what an engine has told before


def test_what_has_changed_counts_and_not_what_was_asked_for() -> None:
    changed = record(body("net"), networks={"other": {}})
    assert [*connections(changed)] == ["other"]


def test_a_pod_searches_the_domains_of_its_networks() -> None:
    given = body("net", other={})
    found = [f"{names.network_name(each)}.ci.svc.cluster.local" for each in ("net", "other")]
    assert made(given, NO_TOOLS)["spec"]["dnsConfig"]["searches"] == found
    pod = made(given)["spec"]
    assert pod["initContainers"][0]["command"][-2:] == found  # which the tools' file has first
    assert "dnsConfig" not in pod
    with_servers = made(given | {"HostConfig": {"NetworkMode": "net", "Dns": ["8.8.8.8"]}})["spec"]
    assert (with_servers["dnsPolicy"], with_servers["dnsConfig"]) == ("ClusterFirst", {"nameservers": ["8.8.8.8"]})
    assert {"name": "swarm-tools", "mountPath": "/etc/resolv.conf", "subPath": "resolv.conf"} in _mounts(pod)
    assert "/etc/resolv.conf" not in [each["mountPath"] for each in _mounts(made(given, NO_TOOLS)["spec"])]


def test_a_container_may_have_a_resolv_conf_of_its_own() -> None:
    pod = made(body("net") | {"HostConfig": {"Binds": ["own:/etc/resolv.conf"], "NetworkMode": "net"}})["spec"]
    assert [each["name"] for each in _mounts(pod) if each["mountPath"] == "/etc/resolv.conf"] != ["swarm-tools"]


def _mounts(spec: Any) -> list[Any]:
    found: list[Any] = spec["containers"][0].get("volumeMounts", [])
    return found


def test_links_are_names_that_the_container_searches_first_and_alone() -> None:
    linked = record(body("net", net={"Links": ["proj_db_1:db", "proj_db_1:db_1", "proj_db_1:proj_db_1", "web"]}))
    assert links(linked) == [
        ("net", "proj_db_1", "db"),
        ("net", "proj_db_1", "db_1"),
        ("net", "proj_db_1", "proj_db_1"),
        ("net", "web", "web"),
    ]
    own, shared = made(linked.body)["spec"]["initContainers"][0]["command"][-2:]
    assert own.startswith(names.links_name(linked.id))
    assert shared.startswith(names.network_name("net"))


@pytest.mark.parametrize("link", ["db:my_db", "db:a.b", "db:x:y", ""])
def test_a_link_that_a_cluster_can_t_resolve_is_refused(link: str) -> None:
    with pytest.raises(SwarmError, match=r"Links|links"):
        checked("net", {"Links": [link]})


@pytest.mark.parametrize(
    ("given", "link", "wrong"),
    [
        (OPTIONS, "0:my_db", "a Pod can't have the link 'my_db' .*letters, digits and '-'"),
        (replace(OPTIONS, tools="never"), "0:db", "HostConfig.Links .*which --tools never forbids"),
    ],
)
def test_a_link_of_the_default_bridge_that_a_pod_can_t_have_is_refused(
    given: options.PodOptions, link: str, wrong: str
) -> None:
    with pytest.raises(Unsupported, match=wrong):
        new("web", {"Image": "box", "Cmd": ["x"], "HostConfig": {"Links": [link]}}, Image(), given, 1.0)


# Ports.


def published(bindings: dict[str, Any], **more: Any) -> list[tuple[int, str, int, int]]:
    wanted = record(host(PortBindings=bindings, **more) | {"ExposedPorts": {"80/tcp": {}}})
    found = publishing.bindings(wanted, "forward")
    return [(each.port, each.listening_host, each.first, each.last) for each in found]


def test_ports_are_published_on_this_machine_alone_unless_an_address_is_named() -> None:
    assert published({"81/tcp": [{"HostIp": "", "HostPort": "8081"}]}) == [(81, "127.0.0.1", 8081, 8081)]
    assert published({"81/tcp": [{"HostIp": "0.0.0.0", "HostPort": "1-3"}]}) == [(81, "0.0.0.0", 1, 3)]
    assert published({"81/tcp": [{"HostPort": "8081/udp"}]}) == [(81, "127.0.0.1", 8081, 8081)]
    assert published({"81": None}) == [(81, "127.0.0.1", 0, 0)]
    assert published({}) == []
    assert published({}, PublishAllPorts=True) == [(80, "127.0.0.1", 0, 0)]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("80/udp", {}),
        ("0/tcp", {}),
        ("65536", {}),
        ("x", {}),
        ("80/tcp", {"HostPort": "65536"}),
        ("80/tcp", {"HostPort": "3-1"}),
        ("80/tcp", {"HostPort": "x"}),
        ("80/tcp", {"HostIp": "localhost"}),
        ("80/tcp", {"HostIp": "127.0.0.1\0"}),
    ],
)
def test_a_port_that_can_t_be_published_is_refused(name: str, wanted: dict[str, str]) -> None:
    with pytest.raises(SwarmError):
        published({name: [wanted]})


def test_ports_are_shown_as_they_were_given_and_listened_at_again() -> None:
    ports = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4000"}]}
    found = record({"ExposedPorts": {"80/tcp": {}, "53/udp": {}}}, ports=ports)
    assert publishing.shown(found) == ports | {"53/udp": None}
    assert publishing.listed(found) == [
        {"IP": "127.0.0.1", "PrivatePort": 80, "Type": "tcp", "PublicPort": 4000},
        {"PrivatePort": 53, "Type": "udp"},
    ]
    assert [*publishing.written(found)] == [publishing.Binding(80, "tcp", "127.0.0.1", 4000, 4000)]


@pytest.mark.parametrize("how", ["pod", "node"])
def test_ports_of_pods_and_of_nodes_are_of_any_protocol_and_have_the_address_of_a_running_pod(
    how: options.Publishing,
) -> None:
    wanted = record(host(PortBindings={"53/udp": [{"HostIp": "0.0.0.0", "HostPort": "0"}, {}]}))
    assert [each.name for each in publishing.bindings(wanted, how)] == ["53/udp", "53/udp"]
    given = record(ports={"53/udp": [{"HostIp": "", "HostPort": "30053"}]}, via=how)
    assert publishing.shown(given, "10.1.2.3") == {"53/udp": [{"HostIp": "10.1.2.3", "HostPort": "30053"}]}
    (shown,) = publishing.listed(given, "10.1.2.3")
    assert shown == {"IP": "10.1.2.3", "PrivatePort": 53, "Type": "udp", "PublicPort": 30053}


@pytest.mark.parametrize(
    ("how", "wanted", "why"),
    [
        ("pod", {"HostPort": "8080"}, "a port is the Pod's own, and has no other number"),
        ("pod", {"HostPort": "80-81"}, "a port is the Pod's own"),
        ("pod", {"HostIp": "127.0.0.1"}, "no address can be chosen: it is the pod's own"),
        ("node", {"HostPort": "30000-30001"}, "but no range"),
        ("node", {"HostIp": "10.0.0.1"}, "no address can be chosen: it is the node's own"),
    ],
)
def test_what_no_pod_or_node_can_publish_is_refused_by_its_name(
    how: options.Publishing, wanted: dict[str, str], why: str
) -> None:
    with pytest.raises(Unsupported, match=f"HostConfig.PortBindings '80/tcp' .*{why}"):
        publishing.bindings(record(host(PortBindings={"80/tcp": [wanted]})), how)
