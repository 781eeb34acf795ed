"""Clients other than the docker CLI, each doing its own work through the gateway: aiodocker, skopeo, BuildKit's.

The docker SDK for Python is in `test_same_answers`, Compose in `test_compose`.
"""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiodocker
import pytest

from tests.support.engines import Engine, Swarmd, docker, read_until, swarmd

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def plain(engines: tuple[Engine, Engine]) -> Iterator[Swarmd]:
    """`dockerserver | debug | docker`."""
    with swarmd("debug", f"docker {engines[0].host}") as running:
        yield running


@asynccontextmanager
async def aio_client(running: Swarmd) -> AsyncIterator[aiodocker.Docker]:
    async with aiodocker.Docker(url=running.host) as client:
        yield client


def test_aiodocker_runs_a_container_and_reads_its_logs(plain: Swarmd) -> None:
    async def use() -> None:
        async with aio_client(plain) as client:
            command = ["sh", "-c", "echo out; echo err >&2; exit 3"]
            made = await client.containers.create({"Image": "busybox", "Cmd": command}, name="aio")
            await made.start()
            assert (await made.wait())["StatusCode"] == 3
            assert await made.log(stdout=True) == ["out\n"]
            assert await made.log(stderr=True) == ["err\n"]
            assert [each.id for each in await client.containers.list(all=True)] == [made.id]
            await made.delete()
            with pytest.raises(aiodocker.DockerError) as raised:
                await client.containers.get("aio")
            assert (raised.value.status, raised.value.message) == (404, "No such container: aio")

    asyncio.run(use())


def test_aiodocker_talks_to_an_exec_and_over_a_websocket(plain: Swarmd) -> None:
    data = secrets.token_hex(1000).encode()

    async def use() -> None:
        async with aio_client(plain) as client:
            made = await client.containers.create(
                {"Image": "busybox", "Cmd": ["cat"], "OpenStdin": True, "AttachStdin": True, "StdinOnce": False}
            )
            await made.start()
            run = await made.exec(["cat"], stdin=True)
            async with run.start() as stream:
                await stream.write_in(data)
                message = await stream.read_out()
                assert message is not None
                assert message.data == data
            websocket = await made.websocket(stdin=True, stdout=True, stream=True)
            await websocket.send_bytes(data + b"\n")
            seen = b""
            while len(seen) <= len(data):
                seen += (await websocket.receive()).data
            assert data + b"\n" in seen
            await websocket.close()
            await made.delete(force=True)

    asyncio.run(use())


def test_aiodocker_sees_events_as_they_come(plain: Swarmd) -> None:
    async def use() -> None:
        async with aio_client(plain) as client:
            events = client.events.subscribe(create_task=False)
            # The container may be created before the stream is open, so the stream begins before the container.
            stream = asyncio.create_task(client.events.run(since=str(time.time())))
            made = await client.containers.create({"Image": "busybox"}, name="seen")
            try:
                async with asyncio.timeout(20):
                    event = await events.get()
                    while event is not None and event["Actor"]["ID"] != made.id:
                        event = await events.get()
            finally:
                await made.delete()
                await client.events.stop()
                stream.cancel()
            assert event is not None
            assert event["Action"] == "create"

    asyncio.run(use())


def run(*command: str, **environment: str) -> str:
    if shutil.which(command[0]) is None:
        raise RuntimeError(f"this test needs {command[0]}, as .ci/setup installs it")
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_skopeo_copies_an_image_out_and_in(plain: Swarmd, tmp_path: Path) -> None:
    host = plain.host.replace("tcp:", "http:")
    copy = ("skopeo", "copy", "--insecure-policy")
    run(*copy, "--src-daemon-host", host, "docker-daemon:busybox:latest", f"dir:{tmp_path}/box")
    run(*copy, "--dest-daemon-host", host, f"dir:{tmp_path}/box", "docker-daemon:copied:1")
    assert docker(plain.host, "run", "--rm", "copied:1", "echo", "copied", check=True).stdout == b"copied\n"
    docker(plain.host, "rmi", "copied:1", check=True)


def test_buildkit_builds_through_its_own_sessions(plain: Swarmd, gateway: Swarmd, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY big /big\nRUN sha256sum /big >/sum\nCMD cat /sum\n")
    (tmp_path / "big").write_bytes(secrets.token_bytes(3_000_000))
    wanted = run("sha256sum", str(tmp_path / "big")).split()[0]
    for running in (plain, gateway):  # over one engine, and over two
        build = ("/usr/bin/docker", "-H", running.host, "build", "--no-cache", "-t", "kit", str(tmp_path))
        assert "exporting to image" in run(*build, DOCKER_BUILDKIT="1")  # Debian's CLI has it built in
        assert docker(plain.host, "run", "--rm", "kit", check=True).stdout.decode().split()[0] == wanted
        docker(plain.host, "rmi", "kit", check=True)


def test_a_build_of_buildkit_ends_when_it_is_interrupted(gateway: Swarmd, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo be''gun; sleep 100\n")
    build = ["/usr/bin/docker", "-H", gateway.host, "build", "--no-cache", "--progress=plain", str(tmp_path)]
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    with subprocess.Popen(build, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as building:
        try:
            assert building.stderr is not None
            read_until(building.stderr.fileno(), b" begun")
            building.send_signal(signal.SIGINT)
            assert building.wait(20) == 1
        finally:
            building.kill()
