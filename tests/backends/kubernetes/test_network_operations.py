"""Networks in fake clusters of both releases: made, shown, joined and left, over two gateways."""

from typing import Any

import pytest

from swarmlib import Client, SwarmError, Verb
from swarmlib_backends.kubernetes.api.resources import ENDPOINT_SLICES, SLICE_VERSIONS, served
from swarmlib_backends.kubernetes.pods import names
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import call, gateway

pytestmark = pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)


async def shown(client: Client, name: str) -> dict[str, Any]:
    found: dict[str, Any] = await call(client, Verb.GET, "networks", name)
    return found


async def listed(client: Client) -> list[str]:
    return sorted([each["Name"] for each in await call(client, Verb.LS, "networks")])


async def connected(client: Client, name: str) -> list[str]:
    found = await call(client, Verb.GET, "containers", name)
    return [*found["NetworkSettings"]["Networks"]]


async def slices(place: Place) -> list[Any]:
    resource = await served(place.api, ENDPOINT_SLICES, SLICE_VERSIONS)
    found: list[Any] = (await place.api.get(resource.path(place.namespace)))["items"]
    return found


async def test_a_network_is_the_same_for_every_gateway_until_it_is_removed(place: Place) -> None:
    async with gateway(place) as one, gateway(place) as other:
        body = {"Name": "My_Net.1", "Labels": {"a": "b"}, "CheckDuplicate": True}
        made = await call(one, Verb.SPAWN, "networks", body=body)
        found = await shown(other, made["Id"][:12])
        assert (found["Name"], found["Labels"], found["Driver"]) == ("My_Net.1", {"a": "b"}, "bridge")
        with pytest.raises(SwarmError, match=r"network with name My_Net\.1 already exists"):
            await call(other, Verb.SPAWN, "networks", body=body)
        assert await listed(other) == ["My_Net.1", "bridge", "host", "none"]
        await call(other, Verb.RM, "networks", "My_Net.1")
        with pytest.raises(SwarmError, match=r"network My_Net\.1 not found"):
            await shown(other, "My_Net.1")


@pytest.mark.parametrize("name", ["bridge", "host", "none"])
async def test_the_networks_of_every_engine_are_there_and_stay(place: Place, name: str) -> None:
    async with gateway(place) as client:
        assert (await shown(client, name))["Name"] == name
        with pytest.raises(SwarmError, match="is a pre-defined network and cannot be removed"):
            await call(client, Verb.RM, "networks", name)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"IPAM": {"Config": [{"Subnet": "10.0.0.0/24"}]}}, "IPAM"),
        ({"Internal": True}, "Internal"),
        ({"EnableIPv6": True}, "EnableIPv6"),
        ({"Options": {"a": "b"}}, "Options"),
        ({"ConfigFrom": {"Network": "x"}}, "ConfigFrom"),
        ({"Driver": "overlay"}, 'plugin "overlay" not found'),
    ],
)
async def test_what_a_network_can_t_have_is_refused_by_its_name(place: Place, more: Any, what: str) -> None:
    async with gateway(place) as client:
        with pytest.raises(SwarmError, match=what):
            await call(client, Verb.SPAWN, "networks", body={"Name": "net", **more})
        assert "net" not in await listed(client)


async def test_a_container_that_has_not_started_comes_into_networks_and_leaves_them(place: Place) -> None:
    async with gateway(place) as client:
        for name in ("one", "two"):
            await call(client, Verb.SPAWN, "networks", body={"Name": name})
        body = {"Image": "busybox:1", "HostConfig": {"NetworkMode": "one"}}
        await call(client, Verb.SPAWN, "containers", body=body, name="web")
        await call(client, Verb.SET, "networks", "two", "connect", body={"Container": "web"})
        assert await connected(client, "web") == ["one", "two"]
        await call(client, Verb.SET, "networks", "one", "disconnect", body={"Container": "web"})
        assert await connected(client, "web") == ["two"]
        with pytest.raises(SwarmError, match="is not connected to network one"):
            await call(client, Verb.SET, "networks", "one", "disconnect", body={"Container": "web"})
        assert await slices(place) == []  # it has no address yet


async def test_a_running_container_has_its_names_in_its_networks_until_it_ends(place: Place) -> None:
    async with gateway(place) as client:
        await call(client, Verb.SPAWN, "networks", body={"Name": "net"})
        aliases = {"EndpointsConfig": {"net": {"Aliases": ["DB"]}}}
        body = {"Image": "busybox:1", "Entrypoint": ["sleep", "1000"], "NetworkingConfig": aliases}
        made = await client.spawn(body, name="My_Db.1")
        await made.start()
        (found,) = await slices(place)
        assert sorted(each["hostname"] for each in found["endpoints"]) == sorted(["db", made.id[:12]])
        assert found["metadata"]["labels"]["kubernetes.io/service-name"] == names.network_name("net")
        assert [*(await shown(client, "net"))["Containers"]] == [made.id]
        with pytest.raises(SwarmError, match="has active endpoints"):
            await call(client, Verb.RM, "networks", "net")
        await call(client, Verb.RM, "containers", "My_Db.1", force="1")
        await call(client, Verb.RM, "networks", "net")
