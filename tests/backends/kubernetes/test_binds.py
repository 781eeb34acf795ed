"""Folders and files of this machine that are copied into Pods, in fake clusters of both releases."""

import os
import socket
from pathlib import Path

import pytest

from swarmlib import SwarmError
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import gateway, make, output

pytestmark = pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)
COPY = "--binds copy"


async def test_what_is_bound_is_there_before_the_container_begins(place: Place, tmp_path: Path) -> None:
    (tmp_path / "web/below").mkdir(parents=True)
    (tmp_path / "web/below/page").write_bytes(b"page\n")
    (tmp_path / "web/link").symlink_to("below/page")
    (tmp_path / "web/large").write_bytes(b"x" * 1_000_001)
    (tmp_path / "conf").write_text("conf\n")
    binds = (f"{tmp_path}/web:/web", f"{tmp_path}/conf:/etc/conf:ro")
    async with gateway(place, COPY) as client:
        program = "cat /web/below/page /etc/conf; wc -c </web/large; echo no >/etc/conf"
        web = await make(client, "web", program, *binds)
        await web.start()
        assert await web.wait() == 1
        text = await output(web)
        assert text.startswith("page\nconf\n1000001\n")
        assert "Read-only file system" in text
        mounts = (await web.get())["Mounts"]
        assert [(each["Type"], each["Source"], each["RW"]) for each in mounts] == [
            ("bind", f"{tmp_path}/web", True),
            ("bind", f"{tmp_path}/conf", False),
        ]


async def test_it_is_there_too_if_a_client_attached_before_the_start(place: Place, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("here\n")
    async with gateway(place, COPY) as client:
        web = await make(client, "web", "cat /d/f", f"{tmp_path}:/d")
        async with await web.connect(stream=True, stdout=True) as stream:
            await web.start()
            assert b"".join([piece async for piece in stream])[8:] == b"here\n"
        await web.rm(force=True)


async def test_what_can_not_be_copied_is_refused_by_its_name(place: Place, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 4097)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/socket")
    os.mkfifo(tmp_path / "pipe")
    refusals = {
        "none": "bind source path does not exist: .*/none on the machine of the gateway",
        "large": "the bind .*/large has more than 4KiB, the limit of --binds-size",
        "socket": "the bind .*/socket can't be copied: .*/socket is a socket",
        "pipe": "the bind .*/pipe can't be copied: .*/pipe is no file, folder or link",
    }
    async with gateway(place, COPY, "--binds-size 4KiB") as client:
        for name, said in refusals.items():
            with pytest.raises(SwarmError, match=said):
                await make(client, "web", "true", f"{tmp_path}/{name}:/d")
        assert await client.ls(all=True) == []


async def test_a_file_that_has_gone_before_the_start_is_told_by_it(place: Place, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("here\n")
    async with gateway(place, COPY) as client:
        web = await make(client, "web", "true", f"{tmp_path}/f:/f")
        (tmp_path / "f").unlink()
        with pytest.raises(SwarmError, match="bind source path does not exist"):
            await web.start()
        assert (await web.get())["State"]["Status"] == "created"
