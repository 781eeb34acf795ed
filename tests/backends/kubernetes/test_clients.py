"""Programs that use docker-py, aiodocker and testcontainers, as they are written for an engine, on a real cluster."""

import asyncio
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing

import aiodocker
import docker as sdk
import docker.errors
import pytest

from tests.support.differential import tar_of
from tests.support.engines import Swarmd

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def client(gateway: Swarmd) -> Iterator[sdk.DockerClient]:
    with closing(sdk.DockerClient(base_url=gateway.host, timeout=120)) as found:
        yield found


def test_docker_py_runs_a_container_and_gets_what_it_wrote(client: sdk.DockerClient, image: str) -> None:
    assert client.containers.run(image, "echo hello world", remove=True) == b"hello world\n"
    with pytest.raises(docker.errors.ContainerError) as failed:
        client.containers.run(image, ["sh", "-c", "exit 3"], remove=True)
    assert failed.value.exit_status == 3
    assert client.containers.list(all=True) == []


def test_docker_py_uses_a_container_from_its_creation_to_its_removal(client: sdk.DockerClient, image: str) -> None:
    made = client.containers.create(image, "sleep 1000", name="used", labels={"a": "b"}, environment={"X": "y"})
    assert made.put_archive("/tmp", tar_of("file", b"data"))
    made.start()
    assert made.exec_run(["sh", "-c", "cat /tmp/file; echo $X"]).output == b"datay\n"
    assert made.exec_run("false").exit_code == 1
    pieces, stat = made.get_archive("/tmp/file")
    assert stat["size"] == 4
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        assert archive.getnames() == ["file"]
    assert [each.name for each in client.containers.list(filters={"label": "a=b", "status": "running"})] == ["used"]
    network = client.networks.create("of-sdk", check_duplicate=True)
    network.connect(made, aliases=["friend"])
    network.reload()
    assert [each.id for each in network.containers] == [made.id]
    made.kill()
    assert made.wait()["StatusCode"] == 137
    made.remove()
    network.remove()
    with pytest.raises(docker.errors.NotFound, match="No such container: used"):
        client.containers.get("used")


def test_docker_py_sees_an_engine_without_a_swarm(client: sdk.DockerClient) -> None:
    about = client.info()
    assert ["Nodes", "2"] in about["DriverStatus"]  # the third one takes only what tolerates its taint
    assert about["NCPU"] > 0
    assert about["MemTotal"] > 2**20
    assert about["OperatingSystem"] == "Kubernetes v1.20.2"
    with pytest.raises(docker.errors.APIError) as refused:
        client.services.list()
    assert refused.value.status_code == 503


def test_aiodocker_runs_a_container_talks_to_it_and_sees_its_events(gateway: Swarmd, image: str) -> None:
    async def use() -> None:
        async with aiodocker.Docker(url=gateway.host) as client:
            config = {"Image": image, "Cmd": ["cat"], "OpenStdin": True, "StdinOnce": True, "AttachStdin": True}
            made = await client.containers.create(config, name="aio")
            stream = made.attach(stdin=True, stdout=True, stderr=True)
            async with stream:
                await made.start()
                await stream.write_in(b"typed\n")
                message = await stream.read_out()
                assert message is not None
                assert message.data == b"typed\n"
            await made.kill()
            assert (await made.wait())["StatusCode"] in (0, 137)  # the end of its input may have come first
            assert await made.log(stdout=True) == ["typed\n"]
            run = await client.containers.create({"Image": image, "Cmd": ["sleep", "1000"]})
            await run.start()
            execute = await run.exec(["echo", "inside"])
            async with execute.start() as output:
                message = await output.read_out()
                assert message is not None
                assert message.data == b"inside\n"
            await run.delete(force=True)
            await made.delete()

    asyncio.run(use())


_TESTCONTAINERS = """
import sys
from urllib.request import urlopen
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

image, serve = sys.argv[1], "sh -c 'mkdir /www; echo page >/www/i; echo ready; exec httpd -f -h /www -p 80'"
ask = "sh -c 'until wget -q -O - http://web/i; do sleep 0.2; done; exec sleep 100'"
with Network() as network:
    web = DockerContainer(image).with_command(serve).with_exposed_ports(80).with_env("A", "b")
    web.with_network(network).with_network_aliases("web").waiting_for(LogMessageWaitStrategy("ready"))
    client = DockerContainer(image).with_command(ask).with_network(network)
    with web, client.waiting_for(LogMessageWaitStrategy("page")):
        address = f"http://{web.get_container_host_ip()}:{web.get_exposed_port(80)}/i"
        print(urlopen(address, timeout=30).read().decode(), web.exec(["sh", "-c", "echo $A"]).output.decode())
"""


def test_testcontainers_starts_containers_in_a_network_and_waits_for_them(gateway: Swarmd, image: str) -> None:
    # It reads its settings when it is imported; and its reaper wants the engine's socket.
    settings = {"TESTCONTAINERS_RYUK_DISABLED": "true", "TESTCONTAINERS_CONNECTION_MODE": "docker_host"}
    environment = {**os.environ, "DOCKER_HOST": gateway.host, **settings}
    command = [sys.executable, "-c", _TESTCONTAINERS, image]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["page", "b"]
