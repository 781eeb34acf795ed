"""Objects, lists and watches: the same tests for the fake in both of its releases, and for the real cluster."""

import secrets
from typing import Any

import pytest
import trio

from swarmlib import Conflict, Invalid, NotFound, SwarmError
from swarmlib_backends.kubernetes.api.resources import CONFIG_MAPS, NAMESPACES, PODS, SECRETS, SERVICES
from swarmlib_backends.kubernetes.api.watch import Kind, watch
from tests.backends.kubernetes.conftest import Place


class Maps:
    """ConfigMaps of a test's own, told apart by a label."""

    def __init__(self, place: Place) -> None:
        self._api, self._namespace = place.api, place.namespace
        self._label = f"t{secrets.token_hex(4)}"
        self.labels = f"test={self._label}"
        self.all = {"labelSelector": self.labels}
        self.list = CONFIG_MAPS.path(place.namespace)

    def path(self, name: str) -> str:
        return CONFIG_MAPS.path(self._namespace, self.name(name))

    def name(self, name: str) -> str:
        return f"{self._label}-{name}"

    async def make(self, name: str, *, dry: bool = False, **more: Any) -> Any:
        metadata = {"name": self.name(name), "labels": {"test": self._label}, **more.pop("metadata", {})}
        return await self._api.post(self.list, {"metadata": metadata, **more}, {"dryRun": "All"} if dry else {})


def names(listed: Any) -> list[str]:
    return [each["metadata"]["name"].partition("-")[2] for each in listed["items"]]


async def test_an_object_is_made_read_changed_and_deleted(place: Place) -> None:
    api, maps = place.api, Maps(place)
    made = await maps.make("a", data={"k": "v"})
    assert place.schemas.errors(made) == []
    assert made["data"] == {"k": "v"}
    assert (await api.get(maps.path("a")))["metadata"]["uid"] == made["metadata"]["uid"]
    changed = await api.put(maps.path("a"), made | {"data": {"k": "w"}})
    assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    with pytest.raises(Conflict, match=r"Operation cannot be fulfilled on configmaps .*: the object has been modified"):
        await api.put(maps.path("a"), made)
    same = await api.patch(maps.path("a"), {"data": {"k": "w"}})
    assert same["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]
    tested = [{"op": "test", "path": "/data/k", "value": "w"}, {"op": "replace", "path": "/data/k", "value": "x"}]
    assert (await api.patch(maps.path("a"), tested))["data"] == {"k": "x"}
    with pytest.raises(SwarmError) as refused:
        await api.patch(maps.path("a"), tested)
    assert refused.value.details["code"] == 422
    gone = await api.delete(maps.path("a"))
    assert gone["status"] == "Success"
    with pytest.raises(NotFound, match=r'configmaps ".*-a" not found'):
        await api.get(maps.path("a"))


async def test_a_name_is_taken_once_and_a_dry_run_takes_none(place: Place) -> None:
    maps = Maps(place)
    assert "uid" in (await maps.make("a", dry=True))["metadata"]
    await maps.make("a")
    with pytest.raises(Conflict, match=r'configmaps ".*-a" already exists'):
        await maps.make("a", dry=True)


async def test_wrong_objects_are_refused_with_all_their_faults(place: Place) -> None:
    pods = PODS.path(place.namespace)
    with pytest.raises(Invalid) as refused:
        await place.api.post(pods, {"metadata": {"name": "Bad_Name"}, "spec": {"containers": []}})
    assert refused.value.message.startswith('Pod "Bad_Name" is invalid: [metadata.name: Invalid value: "Bad_Name": a ')
    assert refused.value.message.endswith(", spec.containers: Required value]")
    with pytest.raises(Invalid, match=r'metadata.labels: Invalid value: "-": a valid label'):
        await place.api.post(CONFIG_MAPS.path(place.namespace), {"metadata": {"name": "x", "labels": {"a": "-"}}})
    container = {"name": "c", "image": "i", "env": [{"name": "1 a", "value": ""}]}
    with pytest.raises(Invalid, match=r'spec.containers\[0\].env\[0\].name: Invalid value: "1 a": a valid environment'):
        await place.api.post(pods, {"metadata": {"name": "x"}, "spec": {"containers": [container]}})
    with pytest.raises(NotFound, match='namespaces "nope" not found'):
        await place.api.post(
            PODS.path("nope"), {"metadata": {"name": "x"}, "spec": {"containers": [container | {"env": []}]}}
        )


async def test_lists_are_selected_and_come_in_pages_of_one_version(place: Place) -> None:
    api, maps = place.api, Maps(place)
    for name in ("a", "b", "c"):
        await maps.make(name)
    listed = await api.get(maps.list, maps.all)
    assert place.schemas.errors(listed) == []
    assert names(listed) == ["a", "b", "c"]
    page = await api.get(maps.list, {**maps.all, "limit": "2"})
    assert names(page) == ["a", "b"]
    await maps.make("d")
    rest = await api.get(maps.list, {**maps.all, "limit": "2", "continue": page["metadata"]["continue"]})
    assert names(rest) == ["c"]
    named = {"fieldSelector": f"metadata.name={maps.name('b')}"}
    assert names(await api.get(maps.list, named)) == ["b"]
    odd = {"labelSelector": f"{maps.labels},!missing,test notin (x,y)"}
    assert names(await api.get(maps.list, odd)) == ["a", "b", "c", "d"]
    await api.delete(maps.list, {}, maps.all)
    assert names(await api.get(maps.list, maps.all)) == []


async def test_what_has_lost_its_owner_is_collected(place: Place) -> None:
    api, maps = place.api, Maps(place)
    owner = await maps.make("owner")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": maps.name("owner"), "uid": owner["metadata"]["uid"]}
    await maps.make("child", metadata={"ownerReferences": [reference]})
    async with watch(api, CONFIG_MAPS, place.namespace, maps.labels) as changes:
        with trio.fail_after(30):
            deleted = set[str]()
            async for change in changes:
                if change.kind is Kind.SYNCED:
                    await api.delete(maps.path("owner"), {"propagationPolicy": "Background"})
                if change.kind is Kind.DELETED:
                    deleted.add(change.object["metadata"]["name"])
                if len(deleted) == 2:
                    break
    assert deleted == {maps.name("owner"), maps.name("child")}


async def test_a_watch_tells_what_there_is_and_every_change(place: Place) -> None:
    api, maps = place.api, Maps(place)
    await maps.make("a")
    seen: list[tuple[Kind, str]] = []
    async with watch(api, CONFIG_MAPS, place.namespace, maps.labels) as changes:
        with trio.fail_after(30):
            async for change in changes:
                seen.append((change.kind, change.object.get("data", {}).get("k", "") if change.object else ""))
                match change.kind:
                    case Kind.SYNCED:
                        await api.patch(maps.path("a"), {"data": {"k": "v"}})
                    case Kind.MODIFIED:
                        await api.patch(maps.path("a"), {"metadata": {"labels": {"test": None}}})
                    case Kind.DELETED:
                        break
                    case _:
                        pass
    assert [kind for kind, _ in seen] == [Kind.ADDED, Kind.SYNCED, Kind.MODIFIED, Kind.DELETED]


async def test_services_and_secrets_are_filled_in(place: Place) -> None:
    api, name = place.api, f"s{secrets.token_hex(4)}"
    headless = {"metadata": {"name": name}, "spec": {"clusterIP": "None"}}
    made = await api.post(SERVICES.path(place.namespace), headless)
    assert place.schemas.errors(made) == []
    assert made["spec"]["clusterIP"] == "None"
    with pytest.raises(Invalid, match=r"spec\.ports: Required value"):
        await api.post(SERVICES.path(place.namespace), {"metadata": {"name": f"{name}x"}, "spec": {}})
    secret = {"metadata": {"name": name}, "stringData": {"k": "v"}}
    assert (await api.post(SECRETS.path(place.namespace), secret))["data"] == {"k": "dg=="}


async def test_a_namespace_ends_with_all_that_is_in_it(place: Place) -> None:
    api, name = place.api, f"n{secrets.token_hex(4)}"
    made = await api.post(NAMESPACES.path(), {"metadata": {"name": name}})
    assert place.schemas.errors(made) == []
    await api.post(CONFIG_MAPS.path(name), {"metadata": {"name": "a"}})
    async with watch(api, NAMESPACES, "") as changes:
        with trio.fail_after(60):
            async for change in changes:
                if change.kind is Kind.SYNCED:
                    await api.delete(NAMESPACES.path("", name))
                if change.kind is Kind.DELETED and change.object["metadata"]["name"] == name:
                    break
    with pytest.raises(NotFound):
        await api.get(CONFIG_MAPS.path(name, "a"))


@pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)  # a young cluster has forgotten nothing
async def test_forgotten_versions_are_told_as_such(place: Place) -> None:
    api, maps = place.api, Maps(place)
    async with api.stream(maps.list, {"watch": "1", "resourceVersion": "1"}) as stream:
        with trio.fail_after(20):
            line = b""
            while b"\n" not in line:
                line += await stream.receive_some()
    assert b'"type":"ERROR"' in line
    assert b"too old resource version: 1 (" in line
