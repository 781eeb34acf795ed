"""What is true after something has failed: a gateway that was killed, versions that are forgotten, a node."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
import yaml
from trio.testing import wait_all_tasks_blocked

from swarmlib import Client, Verb, connect
from swarmlib_backends.kubernetes import happenings
from swarmlib_backends.kubernetes.api.client import Api, Params
from swarmlib_backends.kubernetes.api.resources import PODS
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import gateway as gateway_of
from tests.support.cluster import SPARE, Cluster
from tests.support.engines import Swarmd, docker, docker_process, free_port, swarmd, wait_until
from tests.support.kubernetes.objects import own_objects
from tests.support.relay import Relay


def output(gateway: Swarmd, *command: str) -> str:
    return docker(gateway.host, *command, check=True).stdout.decode().strip()


def cli(gateway: Swarmd, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["docker", "-H", gateway.host, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def state(gateway: Swarmd, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output(gateway, "inspect", "--format", "{{json .State}}", name))
    return found


@contextmanager
def killed(stage: str) -> Iterator[Swarmd]:
    """A gateway that is killed at the end of the context."""
    with tempfile.NamedTemporaryFile() as log:
        started = Swarmd((stage,), log, free_port(), "")
        try:
            wait_until(started.accepts, "swarmd", started.process)
            yield started
        finally:
            started.process.kill()
            started.process.wait()


# The gateway.


@pytest.mark.cluster
def test_a_gateway_that_is_killed_in_run_wait_and_attach_leaves_all_as_it_is(
    stage: str, gateway: Swarmd, cluster: Cluster, image: str
) -> None:
    program = "echo begun; until [ -e /tmp/go ]; do sleep 0.1; done; echo ended; exit 4"
    clients = list[subprocess.Popen[bytes]]()
    with killed(stage) as first:
        output(first, "create", "--name", "idle", image, "true")
        for name, *options in (("run",), ("itself", "--rm"), ("attached", "-d"), ("waited", "-d")):
            words = ["run", "--name", name, *options, image, "sh", "-c", program]
            clients.append(cli(first, *words))
        for name in ("run", "itself", "attached", "waited"):
            wait_until(lambda name=name: b"begun" in docker(gateway.host, "logs", name).stdout, "all that begins")  # type: ignore[misc]
        for words in (["attach", "attached"], ["wait", "waited"]):
            clients.append(cli(first, *words))
        with docker_process(gateway.host, "wait", "attached") as other:
            first.process.kill()
            for client in clients:
                client.communicate(timeout=30)
            for name in ("run", "itself", "attached", "waited"):
                assert state(gateway, name)["Status"] == "running"
                docker(gateway.host, "exec", name, "touch", "/tmp/go")  # it may be killed by the container's end
            assert other.communicate(timeout=60)[0] == b"4\n"
    with swarmd(stage) as second:
        for name in ("run", "attached", "waited"):
            assert output(second, "wait", name) == "4"
            assert output(second, "logs", name) == "begun\nended"
            assert state(second, name)["Status"] == "exited"
        assert state(second, "idle")["Status"] == "created"
        wait_until(lambda: docker(second.host, "inspect", "itself").returncode == 1, "its removal by another gateway")
        output(second, "rm", "run", "attached", "waited", "idle")
    wait_until(lambda: own_objects(cluster) == [], "the removal of all that was made")


@pytest.mark.parametrize("place", ["1.35"], indirect=True)
async def test_a_run_is_not_lost_whose_pod_is_told_after_its_record(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(happenings, "_LOST_SECONDS", 0.0)  # it began long ago
    pods, get = trio.Event(), Api.get_text

    async def late(api: Api, path: str, params: Params = ()) -> bytes:
        if path == PODS.path(place.namespace):
            await pods.wait()
        return await get(api, path, params)

    async with gateway_of(place) as first:
        await (await first.spawn({"Image": "busybox:1", "Entrypoint": ["sleep", "1000"]}, name="old")).start()
        monkeypatch.setattr(Api, "get_text", late)
        async with gateway_of(place) as second:
            await wait_all_tasks_blocked(0.1)
            pods.set()
            assert [each["State"] for each in await second.ls("containers", all="1")] == ["running"]
            await wait_all_tasks_blocked(0.1)
        assert [each["State"] for each in await first.ls("containers", all="1")] == ["running"]
        await first.rm("containers", "old", force="1")


# Versions that are forgotten.


@contextmanager
def through(relay: Relay, place: Place, folder: Path) -> Iterator[Path]:
    """A kubeconfig of the place's cluster behind the relay."""
    config = yaml.safe_load(place.kubeconfig.read_text())
    for each in config["clusters"]:
        each["cluster"]["server"] = f"https://127.0.0.1:{relay.port}"
    (folder / "relayed").write_text(json.dumps(config))
    yield folder / "relayed"


async def shows(client: Client, wanted: dict[str, str]) -> None:
    """Wait until a gateway shows these containers and no others, each in its state."""
    found: dict[str, str] = {}
    with trio.move_on_after(30):
        while found != wanted:
            found = {each["Names"][0]: each["State"] for each in await client.ls("containers", all="1")}
            await trio.sleep(0.02)
    assert found == wanted


async def test_what_happens_while_versions_are_forgotten_is_known_afterwards(
    place: Place, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = yaml.safe_load(place.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    relay = Relay(urlsplit(server).port or 443)
    body = {"Image": "busybox:1", "Entrypoint": ["sleep", "1000"]}
    stage = "kubernetes --kubeconfig {} --tools-image busybox:1"
    async with trio.open_nursery() as nursery:
        await nursery.start(relay.serve)
        with through(relay, place, tmp_path) as relayed:
            async with connect(stage.format(relayed)) as cut, connect(stage.format(place.kubeconfig)) as direct:
                for name in ("stays", "goes", "ends"):
                    made = await direct.spawn(body, name=name)
                    await made.start()
                await shows(cut, dict.fromkeys(("/stays", "/goes", "/ends"), "running"))
                relay.cut()
                relay.reset()
                await direct.rm("containers", "goes", force="1")
                await direct.call(Verb.STOP, ("containers", "ends", "kill"))
                await direct.spawn(body, name="comes")
                if place.fake is not None:
                    place.fake.compact()
                else:
                    await trio.to_thread.run_sync(request.getfixturevalue("cluster").compact)
                relay.mend()
                await shows(cut, {"/stays": "running", "/ends": "exited", "/comes": "created"})
                for name in ("stays", "ends", "comes"):
                    await cut.rm("containers", name, force="1")
                await shows(direct, {})
        nursery.cancel_scope.cancel()


# A node.


@pytest.fixture(scope="module")
def on_spare(stage: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarmd]:
    """A gateway whose Pods run on the node that tests may harm."""
    tolerations = [{"key": SPARE, "operator": "Exists"}]
    spec = {"nodeSelector": {"kubernetes.io/hostname": SPARE}, "tolerations": tolerations}
    template = tmp_path_factory.mktemp("template") / "pod.yaml"
    template.write_text(json.dumps({"spec": spec}))
    with swarmd(f"{stage} --pod-template {template}") as running:
        yield running


@pytest.mark.cluster
def test_a_kubelet_that_hangs_makes_calls_wait_and_nothing_wrong(
    cluster: Cluster, on_spare: Swarmd, image: str
) -> None:
    output(on_spare, "run", "-d", "--name", "stopped", image, "sleep", "1000")
    with ExitStack() as stack:
        with cluster.frozen_kubelet():
            stopping = stack.enter_context(docker_process(on_spare.host, "stop", "-t", "1", "stopped"))
            words = ("run", "--name", "late", image, "sh", "-c", "echo late; exit 3")
            late = stack.enter_context(docker_process(on_spare.host, *words))
            wait_until(lambda: "late" in output(on_spare, "ps", "-a"), "the creation")
            assert state(on_spare, "stopped")["Status"] == "running"
            assert (stopping.poll(), late.poll()) == (None, None)
        assert stopping.wait(60) == 0
        assert late.communicate(timeout=60)[0] == b"late\n"
        assert late.returncode == 3
    assert state(on_spare, "stopped")["Status"] == "exited"
    output(on_spare, "rm", "stopped", "late")
    assert own_objects(cluster) == []


@pytest.mark.cluster
def test_containers_of_a_node_that_is_gone_have_ended_or_can_be_removed(
    cluster: Cluster, on_spare: Swarmd, image: str
) -> None:
    for name in ("lost", "unwanted"):
        output(on_spare, "run", "-d", "--name", name, image, "sleep", "1000")
    with docker_process(on_spare.host, "wait", "lost") as waiting:
        with cluster.crashed_node():
            assert state(on_spare, "lost")["Status"] == "running"  # nobody has seen it yet
            output(on_spare, "rm", "-f", "unwanted")
            assert output(on_spare, "ps", "-a", "--format", "{{.Names}}") == "lost"
        code = int(waiting.communicate(timeout=120)[0])
    found = state(on_spare, "lost")
    assert (found["Status"], found["ExitCode"]) == ("exited", code)
    assert code != 0
    output(on_spare, "rm", "lost")
    assert own_objects(cluster) == []
