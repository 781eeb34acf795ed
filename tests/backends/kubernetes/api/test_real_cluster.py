"""The same against a real cluster: calls, 300 watches at once, connections that are cut, etcd compacted, no rights."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from swarmlib import Conflict, Denied, Invalid, NotFound
from swarmlib_backends.kubernetes.api.access import Access
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.api.credentials import Fixed, Shown, bearer
from swarmlib_backends.kubernetes.api.errors import reason_of
from swarmlib_backends.kubernetes.api.kubeconfig import read_access
from swarmlib_backends.kubernetes.api.resources import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    EVENTS,
    PODS,
    SLICE_VERSIONS,
    Resource,
    served,
)
from swarmlib_backends.kubernetes.api.rights import ROLE, Right, check, role
from swarmlib_backends.kubernetes.api.watch import Kind, watch
from tests.support.cluster import Cluster
from tests.support.engines import wait_until
from tests.support.relay import Relay

pytestmark = pytest.mark.cluster


@pytest.fixture
def access(cluster: Cluster) -> Access:
    return read_access(str(cluster.kubeconfig))


@pytest.fixture
async def api(access: Access) -> AsyncIterator[Api]:
    async with Api.open(access) as opened:
        yield opened


def named(name: str, **rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **rest}


class Told:
    """What a watch told."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str]] = []
        self._stirred = trio.Event()

    async def watch(self, api: Api, resource: Resource, namespace: str) -> None:
        async with watch(api, resource, namespace) as changes:
            async for change in changes:
                name = change.object["metadata"]["name"] if change.kind is not Kind.SYNCED else ""
                self.changes.append((change.kind.value, name))
                self._stirred.set()
                self._stirred = trio.Event()

    async def until(self, *expected: tuple[str, str]) -> None:
        with trio.fail_after(60):
            while not set(expected) <= set(self.changes):
                await self._stirred.wait()

    def of(self, *names: str) -> list[tuple[str, str]]:
        return [each for each in self.changes if each[1] in names]


@asynccontextmanager
async def watched(api: Api, resource: Resource, namespace: str) -> AsyncIterator[Told]:
    told = Told()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(told.watch, api, resource, namespace)
        await told.until(("SYNCED", ""))
        yield told
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def relayed(access: Access) -> AsyncIterator[tuple[Relay, Api]]:
    """An API by a relay that can be cut."""
    relay = Relay(urlsplit(access.server).port or 443)
    async with trio.open_nursery() as nursery:
        await nursery.start(relay.serve)
        async with Api.open(replace(access, server=f"https://127.0.0.1:{relay.port}")) as api:
            yield relay, api
        nursery.cancel_scope.cancel()


async def test_objects_are_created_changed_and_deleted(api: Api, cluster: Cluster) -> None:
    path = CONFIG_MAPS.path(cluster.namespace, "a")
    made = await api.post(CONFIG_MAPS.path(cluster.namespace), named("a", data={"x": "1"}))
    with pytest.raises(Conflict) as raised:
        await api.post(CONFIG_MAPS.path(cluster.namespace), named("a"))
    assert (reason_of(raised.value), raised.value.details["name"]) == ("AlreadyExists", "a")
    assert (await api.patch(path, {"data": {"x": None, "y": "2"}}))["data"] == {"y": "2"}
    tested = [{"op": "test", "path": "/data/y", "value": "2"}, {"op": "replace", "path": "/data/y", "value": "3"}]
    assert (await api.patch(path, tested))["data"] == {"y": "3"}
    with pytest.raises(Invalid):
        await api.patch(path, tested)
    with pytest.raises(Conflict) as raised:
        await api.put(path, {**made, "data": {}})
    assert reason_of(raised.value) == "Conflict"
    with pytest.raises(Conflict):
        await api.delete(path, {"preconditions": {"uid": "another"}})
    await api.delete(path, {"preconditions": {"uid": made["metadata"]["uid"]}})
    with pytest.raises(NotFound):
        await api.get(path)


async def test_three_hundred_watches_at_once(api: Api, cluster: Cluster) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    all_told = [Told() for _ in range(300)]
    async with trio.open_nursery() as nursery:
        for told in all_told:
            nursery.start_soon(told.watch, api, CONFIG_MAPS, cluster.namespace)
        for told in all_told:
            await told.until(("SYNCED", ""))
        await api.post(CONFIG_MAPS.path(cluster.namespace), named("many"))
        for told in all_told:
            await told.until(("ADDED", "many"))
        nursery.cancel_scope.cancel()


async def test_cut_connections_lose_and_repeat_nothing(access: Access, api: Api, cluster: Cluster) -> None:
    names = [f"cut-{number}" for number in range(6)]
    async with relayed(access) as (relay, between), watched(between, CONFIG_MAPS, cluster.namespace) as told:
        for number, name in enumerate(names):
            await api.post(CONFIG_MAPS.path(cluster.namespace), named(name))
            if number % 2:
                await told.until(("ADDED", name))
            relay.reset()
        await told.until(*(("ADDED", name) for name in names))
    assert told.of(*names) == [("ADDED", name) for name in names]


async def test_after_a_compaction_everything_is_told_that_changed(
    access: Access, api: Api, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events, as the apiserver keeps none of these in its own cache, which survives a compaction of etcd."""

    def event(name: str) -> dict[str, Any]:
        return named(name, involvedObject={"namespace": cluster.namespace}, message="", reason="Test", type="Normal")

    path = EVENTS.path(cluster.namespace)
    for name in ("stays", "changes", "goes"):
        await api.post(path, event(name))
    async with relayed(access) as (relay, between), watched(between, EVENTS, cluster.namespace) as told:
        lists, get = [], between.get_text

        async def counted(path: str, params: Any = ()) -> bytes:
            lists.append(path)
            return await get(path, params)

        monkeypatch.setattr(between, "get_text", counted)
        relay.cut()
        relay.reset()
        await api.patch(EVENTS.path(cluster.namespace, "changes"), {"message": "new"})
        await api.delete(EVENTS.path(cluster.namespace, "goes"))
        await api.post(path, event("comes"))
        await trio.to_thread.run_sync(cluster.compact)
        relay.mend()
        await told.until(("MODIFIED", "changes"), ("DELETED", "goes"), ("ADDED", "comes"))
        await api.post(path, event("later"))
        await told.until(("ADDED", "later"))
    assert lists == [path]  # as the version was forgotten
    assert told.of("stays") == [("ADDED", "stays")]
    assert told.changes.count(("SYNCED", "")) == 1


async def test_a_list_whose_pages_are_compacted_is_begun_again(
    api: Api, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmlib_backends.kubernetes.api.lists.PAGE", 2)
    for number in range(5):
        await api.post(CONFIG_MAPS.path(cluster.namespace), named(f"page-{number}"))
    get, compacted = api.get_text, False

    async def compacting(path: str, params: Any = ()) -> bytes:
        nonlocal compacted
        if "continue" in dict(params) and not compacted:
            compacted = True
            await api.post(CONFIG_MAPS.path(cluster.namespace), named("page-late"))
            await trio.to_thread.run_sync(cluster.compact)
        return await get(path, params)

    monkeypatch.setattr(api, "get_text", compacting)
    async with watched(api, CONFIG_MAPS, cluster.namespace) as told:
        assert compacted
        assert ("ADDED", "page-late") in told.changes
        assert len(set(told.changes)) == len(told.changes)


def _impersonating(access: Access) -> Access:
    return replace(access, impersonation=(("Impersonate-User", "nobody"),))


def _with_a_wrong_token(access: Access) -> Access:
    tls = replace(access.tls, certificate=None, key=None)
    return replace(access, tls=tls, credentials=Fixed(Shown(bearer("wrong"))))


@pytest.mark.parametrize(("change", "reason"), [(_impersonating, "Forbidden"), (_with_a_wrong_token, "Unauthorized")])
async def test_without_rights_calls_watches_streams_and_upgrades_are_denied(
    change: Callable[[Access], Access], reason: str, access: Access, cluster: Cluster
) -> None:
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
    async with Api.open(change(access)) as api:
        with pytest.raises(Denied) as raised:
            await api.get(PODS.path(cluster.namespace))
        assert reason_of(raised.value) == reason
        with pytest.raises(Denied):
            await api.post(PODS.path(cluster.namespace), {})
        with pytest.raises(Denied):
            async with watch(api, PODS, cluster.namespace) as changes:
                await anext(aiter(changes))
        with pytest.raises(Denied):
            async with api.stream(PODS.path(cluster.namespace, "a", "log")):
                pass
        with pytest.raises(Denied):
            async with api.upgrade("POST", PODS.path(cluster.namespace, "a", "exec"), (), upgrade):
                pass


async def test_the_version_of_endpoint_slices_is_found(api: Api, cluster: Cluster) -> None:
    slices = await served(api, ENDPOINT_SLICES, SLICE_VERSIONS)
    assert (await api.get(slices.path(cluster.namespace)))["apiVersion"] == slices.api_version


def test_the_least_role_has_exactly_the_rights(access: Access, cluster: Cluster) -> None:
    """A user without any gets them by the Role, and nothing more."""
    user = f"user-of-{cluster.namespace}"
    own = replace(access, impersonation=(("Impersonate-User", user),))

    async def bind() -> None:
        async with Api.open(access) as api:
            for each in role(cluster.namespace, "User", user):
                plural = f"{each['kind'].lower()}s"
                await api.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{cluster.namespace}/{plural}", each)

    async def missing(rights: Sequence[Right]) -> set[str]:
        async with Api.open(own) as api:
            found = await check(api, cluster.namespace, rights)
        return {f"{each.right.name} {verb}" for each in found for verb in each.missing}

    everything = {f"{right.name} {verb}" for right in ROLE for verb in right.verbs}
    assert trio.run(missing, ROLE) == everything
    trio.run(bind)
    wait_until(lambda: not trio.run(missing, ROLE), "the role's rights")  # the apiserver learns of it by a watch
    verbs = ("create", "get", "list", "watch", "update", "patch", "delete", "deletecollection")
    all_verbs = [replace(right, verbs=verbs) for right in ROLE]
    assert trio.run(missing, all_verbs) == {f"{right.name} {verb}" for right in ROLE for verb in verbs} - everything
