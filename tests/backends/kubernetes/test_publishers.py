"""Ports of Pods and of nodes, and networks that are walls, in fake clusters of both releases."""

from typing import Any

import pytest

from swarmlib import Client, SwarmError, Verb
from swarmlib_backends.kubernetes.api.resources import NETWORK_POLICIES, PODS, SERVICES
from swarmlib_backends.kubernetes.pods import names, walls
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import call, gateway

pytestmark = pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)
SLEEPS = {"Image": "busybox:1", "Entrypoint": ["sleep", "1000"]}


async def start(client: Client, name: str, **host: Any) -> dict[str, Any]:
    made = await client.spawn(SLEEPS | {"HostConfig": host}, name=name)
    await made.start()
    found: dict[str, Any] = await call(client, Verb.GET, "containers", name)
    return found


async def objects(place: Place, resource: Any) -> list[Any]:
    found: list[Any] = (await place.api.get(resource.path(place.namespace)))["items"]
    return [{"apiVersion": resource.api_version, "kind": resource.kind, **each} for each in found]


def publishing(*ports: str) -> dict[str, Any]:
    return {"PortBindings": {each: [{"HostIp": "", "HostPort": ""}] for each in ports}}


async def test_a_port_of_a_pod_is_told_by_every_gateway_with_the_pods_address(place: Place) -> None:
    async with gateway(place, "--ports pod") as one, gateway(place) as other:
        found = await start(one, "web", **publishing("80/tcp", "53/udp"))
        address = found["NetworkSettings"]["IPAddress"]
        assert address
        assert found["NetworkSettings"]["Ports"] == {
            name: [{"HostIp": address, "HostPort": name.partition("/")[0]}] for name in ("80/tcp", "53/udp")
        }
        (shown,) = await call(other, Verb.LS, "containers")
        assert {"IP": address, "PrivatePort": 53, "PublicPort": 53, "Type": "udp"} in shown["Ports"]
        with pytest.raises(SwarmError, match="has no other number"):
            await start(one, "moved", PortBindings={"80/tcp": [{"HostPort": "8080"}]})


async def test_a_port_of_the_nodes_is_a_services_that_goes_with_the_container(place: Place) -> None:
    async with gateway(place, "--ports node") as one, gateway(place) as other:
        found = await start(one, "web", **publishing("80/tcp", "53/udp"))
        (service,) = await objects(place, SERVICES)
        assert place.schemas.errors(service) == []
        given = {each["targetPort"]: each["nodePort"] for each in service["spec"]["ports"]}
        assert service["spec"]["selector"] == {"swarmlib/container": names.short(found["Id"])}
        node = (await objects(place, PODS))[0]["status"]["hostIP"]
        for client in (one, other):
            ports = (await call(client, Verb.GET, "containers", "web"))["NetworkSettings"]["Ports"]
            assert ports["80/tcp"] == [{"HostIp": node, "HostPort": str(given[80])}]
            assert ports["53/udp"] == [{"HostIp": node, "HostPort": str(given[53])}]
        await call(other, Verb.RM, "containers", "web", force="1")
        assert await objects(place, SERVICES) == []


async def test_a_port_of_the_nodes_that_is_taken_or_not_theirs_is_refused_and_nothing_is_left(place: Place) -> None:
    async with gateway(place, "--ports node") as client:
        wanted = {"PortBindings": {"80/tcp": [{"HostPort": "30123"}]}}
        found = await start(client, "web", **wanted)
        assert found["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"] == "30123"
        with pytest.raises(SwarmError, match=r"Bind for 0\.0\.0\.0:30123 failed: port is already allocated"):
            await start(client, "other", **wanted)
        with pytest.raises(SwarmError, match=r"HostConfig.PortBindings 80 .*30000-32767"):
            await start(client, "low", PortBindings={"80/tcp": [{"HostPort": "80"}]})
        assert len(await objects(place, SERVICES)) == 1
        with pytest.raises(SwarmError, match="No such image"):
            await (await client.spawn({"Image": "nosuch:1", "HostConfig": publishing("80/tcp")})).start()
        assert len(await objects(place, SERVICES)) == 1


async def test_walls_follow_the_networks_of_a_container_over_two_gateways(place: Place) -> None:
    async with gateway(place, "--isolate") as one, gateway(place) as other:
        await call(one, Verb.SPAWN, "networks", body={"Name": "shop"})
        found = await start(one, "web")
        assert await walled(place) == (["bridge"], ["bridge"])
        await call(one, Verb.SET, "networks", "shop", "connect", body={"Container": "web"})
        assert await walled(place) == (["bridge", "shop"], ["bridge", "shop"])
        await call(one, Verb.SET, "networks", "bridge", "disconnect", body={"Container": "web"})
        assert await walled(place) == (["shop"], ["shop"])
        (policy,) = await objects(place, NETWORK_POLICIES)
        assert place.schemas.errors(policy) == []
        assert policy["metadata"]["name"] == names.record_name(found["Id"])
        await call(other, Verb.RM, "containers", "web", force="1")
        assert await objects(place, NETWORK_POLICIES) == []


async def walled(place: Place) -> tuple[list[str], list[str]]:
    """The networks that the labels of the only Pod name, and those that its policy lets in."""
    by_label = {f"swarmlib/{names.network_name(each)}": each for each in ("bridge", "shop")}
    (pod,), (policy,) = await objects(place, PODS), await objects(place, NETWORK_POLICIES)
    labels = [each for each in pod["metadata"]["labels"] if walls.is_label(each) and each != walls.ISOLATED]
    let_in = [next(iter(each["podSelector"]["matchLabels"])) for each in policy["spec"]["ingress"][0]["from"]]
    return sorted(by_label[each] for each in labels), sorted(by_label[each] for each in let_in)


async def test_a_pod_that_another_gateway_has_made_without_walls_gets_them(place: Place) -> None:
    async with gateway(place) as one:
        await start(one, "web")
        assert await objects(place, NETWORK_POLICIES) == []
        async with gateway(place, "--isolate") as other:
            await call(other, Verb.SPAWN, "networks", body={"Name": "shop"})
            await call(other, Verb.SET, "networks", "shop", "connect", body={"Container": "web"})
            assert await walled(place) == (["bridge", "shop"], ["bridge", "shop"])
