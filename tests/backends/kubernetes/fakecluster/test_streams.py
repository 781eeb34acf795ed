"""What the fake's two releases speak, and what they allow: streams, logs, rights, watches, and the ports of Pods."""

import base64
import http.client
import json
import ssl
from typing import Any

import pytest
import trio

from swarmlib import Conflict, Denied, NotFound
from swarmlib_backends.kubernetes import fakecluster
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.api.kubeconfig import read_access
from swarmlib_backends.kubernetes.api.resources import ACCESS_REVIEWS, CONFIG_MAPS, PODS
from swarmlib_backends.kubernetes.api.watch import Kind, watch
from swarmlib_backends.kubernetes.fakecluster import Rule, User
from swarmlib_backends.kubernetes.streams.forwarding import port_forward
from swarmlib_backends.kubernetes.streams.negotiate import Dialects
from swarmlib_backends.kubernetes.streams.remote import RemoteCommand, remote_command
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.fakecluster.test_pods import Pod

RELEASES = pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)


def asked(place: Place, subresource: str) -> list[str]:
    """The methods by which a subresource was asked for."""
    assert place.fake is not None
    return [each.split()[0] for each in place.fake.asked if each.endswith(f"/{subresource}")]


@RELEASES
async def test_streams_are_of_the_release(place: Place) -> None:
    pod = await Pod(place).make("sleep", "1000")
    await pod.running()
    assert await pod.joined(RemoteCommand("exec", "main", ("cat",), stdin=True), b"x") == (
        0,
        {"stdout": b"x", "stderr": b""},
    )
    assert place.fake is not None
    modern = place.fake.release is fakecluster.NEW
    assert asked(place, "exec") == (["GET"] if modern else ["GET", "POST"])  # WebSocket v5, or then SPDY


@RELEASES
async def test_ports_are_forwarded_to_whatever_listens(place: Place) -> None:
    async def echo(stream: trio.abc.HalfCloseableStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    assert place.fake is not None
    place.fake.streams.listeners[80] = echo
    pod = await Pod(place).make("sleep", "1000")
    await pod.running()
    with trio.fail_after(20):
        async with port_forward(place.api, place.namespace, pod.name, dialects=Dialects()) as forward:
            stream = await forward.connect(80)
            await stream.send_all(b"x" * 100_000)
            await stream.send_eof()
            received = 0
            while data := await stream.receive_some():
                received += len(data)
            assert received == 100_000
            refused = await forward.connect(81)
            with pytest.raises(trio.BrokenResourceError, match="Connection refused"):
                await refused.receive_some()


@RELEASES
async def test_logs_are_split_where_the_release_can(place: Place) -> None:
    pod = await Pod(place).make("sh", "-c", "echo out; echo err >&2")
    await pod.ended()
    assert place.fake is not None
    both = b"out\nerr\n"
    assert await pod.log(stream="Stderr") == (b"err\n" if place.fake.release.split_logs else both)


@RELEASES
async def test_an_account_has_the_rights_of_its_role(place: Place) -> None:
    fake = place.fake
    assert fake is not None
    await (await Pod(place).make("true")).ended()
    pod = await Pod(place).make("sleep", "1000")
    await pod.running()
    rules = [Rule(["pods"], ["get", "list", "watch"]), Rule(["pods/exec"], ["get"])]
    token = fake.add_user(User("limited", rules, place.namespace))
    file = place.kubeconfig.with_name("limited")
    file.write_text(json.dumps(fake.kubeconfig(token)))
    async with Api.open(read_access(str(file))) as limited:
        await limited.get(pod.path)
        with pytest.raises(
            Denied, match='configmaps is forbidden: User "limited" cannot list resource "configmaps" in API'
        ):
            await limited.get(CONFIG_MAPS.path(place.namespace))
        with pytest.raises(Denied):
            await limited.get(PODS.path("kube-system"))
        assert await _allowed(limited, place.namespace, "create", "pods") is False
        assert await _allowed(limited, place.namespace, "get", "pods") is True
        # 1.20 lets a GET begin an exec without the right to create it; 1.35 does not.
        if fake.release is fakecluster.OLD:
            await _exec(limited, place.namespace, pod.name)
        else:
            with pytest.raises(Denied, match='cannot create resource "pods/exec"'):
                await _exec(limited, place.namespace, pod.name)


async def _exec(api: Api, namespace: str, pod: str) -> None:
    command = RemoteCommand("exec", "main", ("true",))
    async with remote_command(api, namespace, pod, command, dialects=Dialects()) as process:
        assert await process.receive() is None
        assert process.exit_code == 0


async def _allowed(api: Api, namespace: str, verb: str, resource: str) -> bool:
    wanted = {"namespace": namespace, "verb": verb, "resource": resource}
    answer: Any = await api.post(ACCESS_REVIEWS.path(), {"spec": {"resourceAttributes": wanted}})
    return bool(answer["status"]["allowed"])


@RELEASES
async def test_a_watch_goes_on_over_broken_connections_and_compactions(place: Place) -> None:
    fake, maps = place.fake, CONFIG_MAPS.path(place.namespace)
    assert fake is not None
    seen: list[tuple[Kind, str]] = []
    async with watch(place.api, CONFIG_MAPS, place.namespace) as changes:
        with trio.fail_after(30):
            async for change in changes:
                seen.append((change.kind, change.object["metadata"]["name"] if change.object else ""))
                match seen[-1]:
                    case Kind.SYNCED, _:
                        await place.api.post(maps, {"metadata": {"name": "a"}})
                    case Kind.ADDED, "a":
                        fake.crud.break_watches()
                        await place.api.post(maps, {"metadata": {"name": "b"}})
                        fake.compact()
                    case Kind.ADDED, "b":
                        break
                    case _:
                        pass
    assert seen == [(Kind.SYNCED, ""), (Kind.ADDED, "a"), (Kind.ADDED, "b")]


@RELEASES
async def test_a_page_of_a_forgotten_version_is_refused(place: Place) -> None:
    maps = CONFIG_MAPS.path(place.namespace)
    for name in ("a", "b"):
        await place.api.post(maps, {"metadata": {"name": name}})
    page = await place.api.get(maps, {"limit": "1"})
    assert place.fake is not None
    place.fake.compact()
    await place.api.post(maps, {"metadata": {"name": "c"}})
    place.fake.compact()
    with pytest.raises(Conflict, match="The provided continue parameter is too old"):
        await place.api.get(maps, {"limit": "1", "continue": page["metadata"]["continue"]})


@RELEASES
async def test_a_silent_watch_tells_bookmarks(place: Place) -> None:
    assert place.fake is not None
    place.fake.crud.bookmark_seconds = 0.01
    asked = {"watch": "1", "allowWatchBookmarks": "true"}
    async with place.api.stream(PODS.path(place.namespace), asked) as stream:
        with trio.fail_after(10):
            assert b'"type":"BOOKMARK"' in await stream.receive_some()


@RELEASES
async def test_a_kubelet_that_is_frozen_begins_nothing(place: Place) -> None:
    assert place.fake is not None
    place.fake.kubelets.frozen = True
    pod = await Pod(place).make("true")
    placed = await pod.until(lambda pod: "nodeName" in pod["spec"])
    assert placed["status"]["phase"] == "Pending"
    place.fake.kubelets.frozen = False
    await place.api.patch(pod.path, {"metadata": {"labels": {"changed": "yes"}}})
    await pod.ended()


@RELEASES
async def test_volumes_hold_files(place: Place) -> None:
    await place.api.post(CONFIG_MAPS.path(place.namespace), {"metadata": {"name": "m"}, "data": {"k": "v"}})
    mount = {"name": "v", "mountPath": "/m"}
    pod = await Pod(place).make(
        "cat", "/m/k", container={"volumeMounts": [mount]}, volumes=[{"name": "v", "configMap": {"name": "m"}}]
    )
    await pod.ended()
    assert await pod.log() == b"v"


@RELEASES
async def test_an_exec_in_a_pod_that_does_not_exist_is_refused(place: Place) -> None:
    with pytest.raises(NotFound, match='pods "nobody" not found'):
        await _exec(place.api, place.namespace, "nobody")


async def test_a_connection_that_ends_after_a_refused_upgrade_says_so() -> None:
    async with fakecluster.serving(release=fakecluster.OLD) as cluster:
        server = cluster.kubeconfig()["clusters"][0]["cluster"]
        trusted = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())

        def asked() -> str | None:
            connection = http.client.HTTPSConnection(server["server"].partition("//")[2], context=trusted, timeout=20)
            connection.request("GET", "/nowhere", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
            with connection.getresponse() as answer:
                return answer.headers["Connection"]

        assert await trio.to_thread.run_sync(asked) == "close"
