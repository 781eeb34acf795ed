"""The ConfigMaps that tell where images with names of their own are: read strictly, and known to all gateways."""

import json
from typing import Any

import pytest

from swarmlib import BadAnswer, SwarmError, Verb, connect
from swarmlib_backends.kubernetes.api.resources import CONFIG_MAPS
from swarmlib_backends.kubernetes.images.built import BuiltImage, read
from swarmlib_backends.kubernetes.pods import names
from swarmlib_backends.registry.client import Found
from tests.backends.kubernetes.conftest import Place

DIGEST, ID = (f"sha256:{digit * 64}" for digit in "ab")
ABOUT = {"config": {"Cmd": ["echo", "hi"], "Labels": {"a": "b"}}, "architecture": "amd64", "os": "linux"}
IMAGE = BuiltImage("app:latest", ID, f"registry.local/ci/app@{DIGEST}", 5.0, Found(DIGEST, {}, ABOUT, 7))


def edited(**changes: Any) -> dict[str, Any]:
    made = IMAGE.config_map()
    data = json.loads(made["data"]["image.json"]) | changes
    return made | {"data": {"image.json": json.dumps(data)}}


def test_an_image_comes_back_as_it_was() -> None:
    found = read(IMAGE.config_map())
    assert (found.name, found.id, found.reference, found.made) == (IMAGE.name, ID, IMAGE.reference, 5.0)
    assert (found.found.config["Cmd"], found.found.digest, found.found.size) == (["echo", "hi"], DIGEST, 7)


@pytest.mark.parametrize(
    "odd",
    [
        {"version": 2},
        {"name": "other:1"},
        {"name": "app"},
        {"id": "b" * 64},
        {"reference": "registry.local/ci/app:1"},
        {"reference": f"Registry@{DIGEST}"},
        {"made": "now"},
        {"size": None},
        {"about": []},
        {"about": {"config": {"Cmd": 1}}},
        {"more": 1},
    ],
)
def test_what_tells_of_no_image_is_refused_by_its_name(odd: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer, match=f"the ConfigMap {IMAGE.config_map_name} tells of no image"):
        read(edited(**odd))


@pytest.mark.parametrize("place", ["1.35"], indirect=True)
async def test_every_gateway_knows_an_image_by_its_name_while_its_configmap_is_there(place: Place) -> None:
    path = CONFIG_MAPS.path(place.namespace)
    await place.api.post(path, IMAGE.config_map())
    await place.api.post(path, edited(version=2) | {"metadata": {"name": "i-odd", "labels": names.own_labels("image")}})
    async with connect(f"kubernetes --kubeconfig {place.kubeconfig} --tools-image busybox:1") as client:
        (shown,) = (await client.call(Verb.LS, ("images",))).value
        assert (shown["RepoTags"], shown["Id"], shown["RepoDigests"]) == (["app:latest"], ID, [])
        for ref in ("app", ID, "b" * 12):
            made = await client.spawn({"Image": ref, "Entrypoint": ["sleep", "1000"]})
            await made.start()
        (pod, *_) = (await place.api.get(f"/api/v1/namespaces/{place.namespace}/pods"))["items"]
        assert pod["spec"]["containers"][0]["image"] == IMAGE.reference
        await client.call(Verb.SET, ("images", "app", "tag"), params={"repo": "other", "tag": "2"})
        with pytest.raises(SwarmError, match="must be forced"):
            await client.call(Verb.RM, ("images", ID))
        gone = (await client.call(Verb.RM, ("images", ID), params={"force": "1"})).value
        assert gone == [{"Untagged": "app:latest"}, {"Untagged": "other:2"}, {"Deleted": ID}]
        with pytest.raises(SwarmError, match="No such image: app"):
            await client.call(Verb.GET, ("images", "app"))
        with pytest.raises(SwarmError, match=f"No such image: {ID}"):
            await client.spawn({"Image": ID})


@pytest.mark.parametrize("place", ["1.35"], indirect=True)
async def test_a_prune_forgets_images_without_names_and_all_if_it_is_asked_to(place: Place) -> None:
    unnamed, used = (BuiltImage("", f"sha256:{digit * 64}", IMAGE.reference, 5.0, IMAGE.found) for digit in "cd")
    for each in (IMAGE, unnamed, used):
        await place.api.post(CONFIG_MAPS.path(place.namespace), each.config_map())
    async with connect(f"kubernetes --kubeconfig {place.kubeconfig} --tools-image busybox:1") as client:
        made = await client.spawn({"Image": used.id, "Cmd": ["true"]})
        found = (await client.call(Verb.RM, ("images",))).value
        assert found == {"ImagesDeleted": [{"Deleted": unnamed.id}], "SpaceReclaimed": 0}
        every = {"filters": json.dumps({"dangling": ["false"]})}
        found = (await client.call(Verb.RM, ("images",), params=every)).value
        assert found["ImagesDeleted"] == [{"Untagged": "app:latest"}, {"Deleted": ID}]
        (left,) = (await client.call(Verb.LS, ("images",))).value
        assert left["Id"] == used.id
        await made.rm()
