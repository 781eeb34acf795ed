"""Named volumes in fake clusters of both releases: made, shown, mounted and removed, over two gateways."""

from typing import Any

import pytest
import trio

from swarmlib import Client, SwarmError, Verb
from swarmlib.client.parameters import parameters
from swarmlib_backends.kubernetes import sweeping
from swarmlib_backends.kubernetes.api.resources import CLAIMS
from swarmlib_backends.kubernetes.pods import names
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import call, gateway, make, output

pytestmark = pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)


async def listed(client: Client, **params: Any) -> list[str]:
    found = (await client.call(Verb.LS, ("volumes",), params=parameters(Verb.LS, ("volumes",), params))).value[
        "Volumes"
    ]
    return sorted([each["Name"] for each in found])


async def claims(place: Place) -> list[Any]:
    found: list[Any] = (await place.api.get(CLAIMS.path(place.namespace)))["items"]
    return found


async def test_a_volume_is_the_same_for_every_gateway_until_it_is_removed(place: Place) -> None:
    async with gateway(place) as one, gateway(place) as other:
        body = {"Name": "My_Data.1", "Labels": {"a": "b"}, "DriverOpts": {"size": "5g", "storage-class": "fast"}}
        made = await call(one, Verb.SPAWN, "volumes", body=body)
        found = await call(other, Verb.GET, "volumes", "My_Data.1")
        assert {**made, "Status": None} == {**found, "Status": None}
        assert (found["Labels"], found["Options"], found["Driver"]) == ({"a": "b"}, body["DriverOpts"], "local")
        assert found["Status"]["StorageClass"] == "fast"
        again = await call(other, Verb.SPAWN, "volumes", body={"Name": "My_Data.1"})
        assert again["Labels"] == {"a": "b"}
        (claim,) = await claims(place)
        assert claim["metadata"]["labels"] == {"a": "b", **names.own_labels("volume")}
        assert claim["spec"]["resources"] == {"requests": {"storage": str(5 * 2**30)}}
        await call(other, Verb.RM, "volumes", "My_Data.1")
        with pytest.raises(SwarmError, match=r"get My_Data\.1: no such volume"):
            await call(one, Verb.GET, "volumes", "My_Data.1")


async def test_a_volume_that_containers_mount_is_in_use_for_every_gateway(place: Place) -> None:
    async with gateway(place) as one, gateway(place) as other:
        web = await make(one, "web", "true", "data:/data")
        await call(one, Verb.SPAWN, "volumes", body={"Name": "idle"})
        with pytest.raises(SwarmError, match=rf"remove data: volume is in use - \[{web.id}\]"):
            await call(other, Verb.RM, "volumes", "data")
        assert await listed(other) == ["data", "idle"]
        assert await listed(other, filters={"dangling": ["true"]}) == ["idle"]
        pruned = await call(other, Verb.RM, "volumes")
        assert pruned["VolumesDeleted"] == ["idle"]
        usage = (await other.get("df"))["Volumes"]
        assert [(each["Name"], each["UsageData"]) for each in usage] == [("data", {"RefCount": 1, "Size": -1})]
        await web.rm()
        await call(other, Verb.RM, "volumes", "data")
        assert await claims(place) == []


async def test_what_a_container_writes_is_there_for_the_next_and_the_image_s_files_before_it(place: Place) -> None:
    async with gateway(place) as client:
        one = await make(client, "one", "echo kept >/bin/mine", "data:/bin")
        await one.start()
        assert await one.wait() == 0
        await one.rm()
        two = await make(client, "two", "cat /data/mine; [ -f /data/busybox ] && exit 3", "data:/data:ro")
        await two.start()
        assert (await two.wait(), await output(two)) == (3, "kept\n")
        (mount,) = (await two.get())["Mounts"]
        assert (mount["Name"], mount["Destination"], mount["RW"]) == ("data", "/data", False)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"DriverOpts": {"type": "nfs"}}, "create data: the option 'type' is not supported: a volume of a cluster has"),
        ({"DriverOpts": {"size": "much"}}, "create data: invalid size 'much'"),
        ({"Driver": "ceph"}, 'create data: error looking up volume plugin ceph: plugin "ceph" not found'),
        ({"Name": "a/b"}, "includes invalid characters for a local volume name"),
    ],
)
async def test_what_a_volume_can_t_have_is_refused_by_its_name(place: Place, body: Any, said: str) -> None:
    async with gateway(place) as client:
        with pytest.raises(SwarmError, match=said):
            await call(client, Verb.SPAWN, "volumes", body={"Name": "data", **body})
        assert await listed(client) == []


async def test_a_container_whose_volume_can_t_be_made_is_not_made(place: Place) -> None:
    options = {"DriverConfig": {"Options": {"o": "x"}}}
    mount = {"Type": "volume", "Source": "bad", "Target": "/b", "VolumeOptions": options}
    async with gateway(place) as client:
        with pytest.raises(SwarmError, match="the option 'o' is not supported"):
            await make(client, "web", "true", "data:/d", host={"Mounts": [mount]})
        assert await listed(client) == []
        assert await client.ls(all=True) == []


async def test_every_gateway_tells_what_happens_to_a_volume(place: Place) -> None:
    async with gateway(place) as one, gateway(place) as other, other.watch(filters={"type": "volume"}) as events:
        web = await make(one, "web", "true", "data:/d")
        await web.start()
        await web.wait()
        await web.rm()
        await one.rm("volumes", "data")
        with trio.fail_after(10):
            told = [(await anext(events)).action for _ in range(4)]
    assert told == ["create", "mount", "unmount", "destroy"]


async def test_a_sweep_leaves_volumes_alone(place: Place) -> None:
    async with gateway(place) as client:
        await call(client, Verb.SPAWN, "volumes", body={"Name": "data"})
    assert (await sweeping.orphans(place.api, place.namespace)).orphans == []
    assert len(await claims(place)) == 1


async def test_the_options_of_a_gateway_are_the_defaults(place: Place) -> None:
    options = ("--storage-class slow", "--volume-size 2GiB", "--access-mode ReadWriteMany")
    async with gateway(place, *options) as client:
        await call(client, Verb.SPAWN, "volumes", body={"Name": "data"})
    (claim,) = await claims(place)
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["spec"]["storageClassName"] == "slow"
    assert claim["spec"]["resources"]["requests"]["storage"] == str(2 * 2**30)
