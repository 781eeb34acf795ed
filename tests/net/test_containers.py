"""In which container the peer of a unix socket runs, by the control groups that engines make and others imitate."""

import os
import resource
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import trio

from swarmlib.net import callers
from swarmlib.net.containers import container_of

ID, INNER = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("group", "own", "found"),
    [
        ("/", "/", ""),
        (f"/docker/{ID}", "/", ID),
        (f"/system.slice/docker-{ID}.scope", "/system.slice/swarmd.service", ID),
        (f"/ci.slice/ci-build.slice/docker-{ID}.scope", "/", ID),
        (f"/ci/{ID}", "/", ID),
        (f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope", "/", ID),
        (f"/machine.slice/libpod-{ID}.scope/container", "/", ID),
        (f"/../../docker/{ID}", "/", ID),
        # The engine knows the outermost container; what is in it makes its groups itself.
        (f"/docker/{ID}/docker/{INNER}", "/", ID),
        (f"/docker/{ID}/docker/{INNER}", f"/docker/{ID}", INNER),
        (f"/docker/{ID}/x", f"/docker/{ID}/swarmd", ""),
        (f"/docker/{ID}", f"/docker/{INNER}", ID),
        # Users and services make groups of any name below their own.
        (f"/user.slice/user-1000.slice/user@1000.service/app.slice/docker-{ID}.scope", "/", ""),
        (f"/user.slice/docker/{ID}", "/", ""),
        (f"/system.slice/foo.service/docker/{ID}", "/", ""),
        (f"/system.slice/run-1.scope/docker-{ID}.scope", "/", ""),
        (f"/docker/{ID[:-1]}", "/", ""),
        (f"/docker/{ID}0", "/", ""),
        (f"/docker/{ID.upper()}", "/", ""),
    ],
)
def test_the_container_of_a_control_group(group: str, own: str, found: str) -> None:
    assert container_of(group, own) == found


CONNECT = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(1, flush=True); input()"


async def caller(accepted: socket.socket) -> str:
    with closing(trio.socket.from_stdlib_socket(accepted.dup())) as sock:
        return callers.by_socket(sock)


def test_a_process_of_this_machine_is_its_user_until_it_has_ended(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(path)
        server.listen()
        command = [sys.executable, "-c", CONNECT, path]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == b"1\n"
            accepted, _ = server.accept()
            with closing(accepted):
                assert trio.run(caller, accepted) == f"uid:{os.getuid()}"
                client.communicate(b"\n")
                assert trio.run(caller, accepted) == "uid:unknown"


def test_a_process_is_known_however_many_files_are_open() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    client, server = socket.socketpair()
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]  # select(2) ends at 1024
    try:
        with closing(client), closing(server):
            assert trio.run(caller, server) == f"uid:{os.getuid()}"
    finally:
        for each in opened:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
