"""`--keep`, `--logs capture` and `--binds copy` together: containers run again, with both streams and their copies."""

from pathlib import Path
from typing import Any

import pytest

from swarmlib import BytesStream, Client, Verb
from swarmlib.client.handles import Workload
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import gateway
from tests.support.cluster import Cluster
from tests.support.differential import tar_of

REAL = pytest.param("real", marks=pytest.mark.cluster)
archives = pytest.mark.parametrize("place", [REAL], indirect=True)
"""A fake cluster's Pods have no tar of their own."""
everywhere = pytest.mark.parametrize("place", ["1.20", "1.35", REAL], indirect=True)
TOGETHER = "--keep --logs capture --binds copy"
RUNS = "echo x >>/n; cat /d/conf; echo own >>/d/own; n=$(wc -l </n); sleep 0.3; echo err $n >&2; sleep 0.3; exit $n"
"""Counts its runs, in a file of its own and in the folder that is bound, and writes to both streams."""


@pytest.fixture
def image(place: Place, request: pytest.FixtureRequest) -> str:
    if place.fake is not None:
        return "busybox:1"
    cluster: Cluster = request.getfixturevalue("cluster")
    return f"{cluster.registry()}/busybox:1"


@pytest.fixture
def bound(tmp_path: Path) -> Path:
    folder = tmp_path / "bound"
    folder.mkdir()
    (folder / "conf").write_text("first\n")
    return folder


async def made(client: Client, image: str, program: str, *binds: str, **host: Any) -> Workload:
    body = {"Image": image, "Entrypoint": ["sh", "-c"], "Cmd": [program], "OpenStdin": True}
    return await client.spawn({**body, "HostConfig": {"Binds": [*binds], **host}}, name="web")


async def logs(container: Workload) -> list[tuple[str, bytes]]:
    return [(line.stream, line.data) for line in await container.logs()]


async def file(client: Client, path: str) -> bytes:
    """A file of the container, in its tar."""
    answer = await client.call(Verb.FILE, ("containers", "web", "archive"), params={"path": path})
    assert answer.ack.stream is not None
    async with answer.ack.stream as stream:
        return b"".join([bytes(piece) async for piece in stream])


@archives
async def test_each_run_has_both_streams_its_files_and_its_copies(place: Place, image: str, bound: Path) -> None:
    async with gateway(place, TOGETHER) as client:
        container = await made(client, image, RUNS, f"{bound}:/d")
        for run in (1, 2):
            await container.start()
            assert await container.wait() == run
            (bound / "conf").write_text("later\n")  # the copies are made once
        assert await logs(container) == [
            ("stdout", b"first"),
            ("stderr", b"err 1"),
            ("stdout", b"first"),
            ("stderr", b"err 2"),
        ]
        assert b"own\nown\n" in await file(client, "/d/own")
        assert b"first\n" in await file(client, "/d/conf")
        assert not (bound / "own").exists()
        await container.rm()


@everywhere
async def test_a_policy_restarts_it_with_both_streams_and_its_copies(place: Place, image: str, bound: Path) -> None:
    policy = {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}}
    async with gateway(place, TOGETHER) as client:
        container = await made(client, image, RUNS, f"{bound}/conf:/d/conf:ro", **policy)
        await container.start()
        while (found := await container.get())["State"]["Status"] != "exited":
            await container.wait("next-exit")
        assert (found["RestartCount"], found["State"]["ExitCode"]) == (1, 2)
        assert sorted(await logs(container)) == sorted(
            [("stdout", b"first"), ("stdout", b"first"), ("stderr", b"err 1"), ("stderr", b"err 2")]
        )
        await container.rm()


@archives
async def test_files_before_the_start_and_an_attach_to_each_run(place: Place, image: str, bound: Path) -> None:
    """The copies are there although a client attaches, and copies something in, before the first run begins."""
    async with gateway(place, TOGETHER) as client:
        container = await made(client, image, "cat /tmp/in /d/conf; echo err >&2; sleep 0.5", f"{bound}:/d:ro")
        upload = BytesStream(tar_of("in", b"copied\n"))
        await client.call(Verb.FILE, ("containers", "web", "archive"), params={"path": "/tmp"}, upload=upload)
        for _ in range(2):
            stream = await container.connect(stream=True, stdout=True, stderr=True)
            async with stream:
                await container.start()
                received = b"".join([bytes(piece) async for piece in stream])
            assert b"copied\n" in received
            assert b"first\n" in received
            assert b"\x02\0\0\0\0\0\0\x04err\n" in received
            assert await container.wait() == 0
        await container.rm()
