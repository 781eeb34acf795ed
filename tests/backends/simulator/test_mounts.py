"""What the simulator's containers mount is there: in the container, in archives, and in the next one that mounts it."""

from typing import Any

import pytest
from trio.testing import MockClock

from swarmlib import BytesStream, Client, SwarmError
from tests.backends.simulator.test_simulator import LONG, run, started, swarm
from tests.support.differential import tar_of

READ = ("cat", "/data/file")


def mounted(how: str, *, read_only: bool = False) -> dict[str, Any]:
    mode = ":ro" if read_only else ""
    match how:
        case "bind":
            return {"HostConfig": {"Binds": [f"/srv/shared:/data{mode}"]}}
        case "volume":
            return {"HostConfig": {"Binds": [f"shared:/data{mode}"]}}
        case _:
            mount = {"Type": "volume", "Source": "shared", "Target": "/data", "ReadOnly": read_only}
            return {"HostConfig": {"Mounts": [mount]}}


async def first_lines(client: Client, name: str, *words: str, **more: Any) -> tuple[int, list[bytes]]:
    code, lines = await run(client, *words, name=name, **more)
    return code, [line for _, line in lines]


@pytest.mark.parametrize("how", ["bind", "volume", "mount"])
async def test_what_one_writes_the_next_one_reads(autojump_clock: MockClock, how: str) -> None:
    async with swarm() as client:
        assert await first_lines(client, "one", "sh", "-c", "echo kept > /data/file", **mounted(how)) == (0, [])
        assert await first_lines(client, "two", *READ, **mounted(how)) == (0, [b"kept"])
        assert await first_lines(client, "other", "ls", "/data", HostConfig={"Binds": ["another:/data"]}) == (0, [])
        from_one = {"HostConfig": {"VolumesFrom": ["one"]}}
        assert await first_lines(client, "three", *READ, **from_one) == (0, [b"kept"])


@pytest.mark.parametrize("how", ["bind", "volume", "mount"])
async def test_read_only_is_read_only(autojump_clock: MockClock, how: str) -> None:
    async with swarm() as client:
        await run(client, "touch", "/data/file", name="one", **mounted(how))
        code, lines = await first_lines(client, "two", "touch", "/data/new", **mounted(how, read_only=True))
        assert (code, lines) == (1, [b"touch: /data/new: Read-only file system"])
        assert await first_lines(client, "three", "ls", "/data", **mounted(how)) == (0, [b"file"])
        await started(client, "four", *LONG, **mounted(how, read_only=True))
        with pytest.raises(SwarmError, match="marked read-only"):
            await client.file("containers", "four", "archive", upload=BytesStream(tar_of("new", b"")), path="/data")


async def test_a_new_volume_has_what_the_image_has_there(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        _, inside = await first_lines(client, "plain", "ls", "/etc")
        assert (await first_lines(client, "box", "ls", "/etc", HostConfig={"Binds": ["etc:/etc"]}))[1] == inside
        assert (await first_lines(client, "bound", "ls", "/etc", HostConfig={"Binds": ["/srv:/etc"]}))[1] == [
            *(b"hostname", b"hosts", b"resolv.conf"),  # of which an engine mounts its own, whatever is there
        ]


async def test_what_is_mounted_is_no_part_of_the_container(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        await run(client, "sh", "-c", "echo kept > /data/file", name="one", **mounted("volume"))
        assert await client.get("containers", "one", "changes") == [{"Path": "/data", "Kind": 1}]
        made = await client.spawn(None, "commit", container="one", repo="copy")
        assert made.id
        assert await first_lines(client, "copy", "ls", "/data", Image="copy") == (0, [])
