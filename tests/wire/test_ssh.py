"""ssh:// over a real sshd, and `swarmd stdio`, which it runs on the far side."""

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from swarmlib import Client, Unavailable, connect
from tests.support.engines import free_port, wait_until
from tests.support.processes import SWARMD, served
from tests.support.sshd import sshd

USER = pwd.getpwuid(os.getuid()).pw_name
PROGRAM = f"--swarmd '{sys.executable} -m swarmd'"


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a machine with an sshd, which the `ssh` in the path can log into."""
    folder = tmp_path_factory.mktemp("ssh")
    with sshd(folder) as port, pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
        yield f"ssh://{USER}@127.0.0.1:{port}"


def children(of: int, name: str) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(of), "-x", name], capture_output=True, text=True).stdout
    return [int(pid) for pid in found.split()]


@pytest.mark.engine
async def test_a_chain_is_run_over_there_and_ends_with_us(far: str) -> None:
    async with connect(f"remote {far} {PROGRAM} --run 'debug | exec' --max-backoff 0.1") as swarm:
        made = await swarm.spawn({"Image": "any", "Cmd": ["sh", "-c", "exec sleep 1000"]})
        await made.start()
        pid = (await made.get())["State"]["Pid"]
        assert [each["Id"] for each in await swarm.ls()] == [made.id]
        [ssh] = children(os.getpid(), "ssh")
        os.kill(ssh, signal.SIGKILL)
        assert await emptied(swarm), "it is another run of the chain"
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the first run ends with its peer")
    assert children(os.getpid(), "ssh") == []


async def emptied(swarm: Client) -> bool:
    """Wait until nothing is there any more; calls that fail on the way are tried again."""
    with trio.fail_after(20):
        while True:
            try:
                if not await swarm.ls():
                    return True
            except Unavailable:
                await trio.sleep(0.02)


@pytest.mark.engine
async def test_a_listen_over_there_is_reached_by_its_socket(far: str, tmp_path: Path) -> None:
    with served(f"listen unix://{tmp_path}/x.sock", "debug", "exec") as running:
        async with connect(f"remote {far}{tmp_path}/x.sock {PROGRAM}") as swarm:
            assert await swarm.ls() == []
            asked = f"(uid:{os.getuid()})"
            await trio.to_thread.run_sync(wait_until, lambda: asked in running.said(), "the call in the log")
            data = os.urandom(1_000_000)
            made = await swarm.spawn({"Image": "any", "Cmd": ["cat"], "OpenStdin": True, "StdinOnce": True})
            async with await swarm.connect(*made.path, stream="1", stdin="1", stdout="1") as stream:
                await made.start()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(send, stream, data)
                    received = b"".join([bytes(part) async for part in stream])
            assert len(received) > len(data)


async def send(stream: trio.abc.HalfCloseableStream, data: bytes) -> None:
    await stream.send_all(data)
    await stream.send_eof()


@pytest.mark.engine
@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--swarmd /nosuch/swarmd", "/nosuch/swarmd: "),
        ("--swarmd 'echo welcome'", "the peer does not speak the swarmlib protocol: it sent b.welcome stdio"),
        (f"{PROGRAM} --run nosuch", "unknown backend 'nosuch'"),
        (
            f"{PROGRAM} --run 'dockerserver tcp://127.0.0.1:1 | exec'",
            "dockerserver is a source, which takes no requests",
        ),
        (PROGRAM, "can't connect to unix:///run/swarmd.sock: No such file or directory"),
    ],
)
async def test_what_goes_wrong_over_there_is_said_here(far: str, words: str, why: str) -> None:
    async with connect(f"remote {far} {words} --max-backoff 60") as swarm:
        with pytest.raises(Unavailable, match=why):
            await swarm.ls()


@pytest.mark.engine
async def test_ssh_that_cannot_log_in_says_why(far: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for url, why in (
        (far.replace(f"{USER}@", "nobody@"), "Permission denied"),
        (f"ssh://127.0.0.1:{free_port()}", "Connection refused"),
    ):
        async with connect(f"remote {url} --max-backoff 60") as swarm:
            with pytest.raises(Unavailable, match=why):
                await swarm.ls()
    monkeypatch.setenv("PATH", "/nosuch")
    async with connect(f"remote {far} --max-backoff 60") as swarm:
        with pytest.raises(Unavailable, match="can't run ssh: No such file"):
            await swarm.ls()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--to", "unix:///x", "exec"], "CHAIN and --to can't be used together"),
        (["--to", "ssh://b"], "expected unix:///PATH or tcp://HOST:PORT"),
        (["dockerserver tcp://127.0.0.1:1", "exec"], "dockerserver is a source, which takes no requests"),
        (["debgu"], "did you mean 'debug'"),
    ],
)
def test_stdio_is_told_what_is_wrong(words: list[str], problem: str) -> None:
    done = subprocess.run([*SWARMD, "stdio", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr


def test_stdio_that_hears_no_peer_ends_in_words() -> None:
    for said in (b"", b"garbage" * 1000):
        done = subprocess.run([*SWARMD, "stdio", "exec"], input=said, capture_output=True)
        assert done.returncode == 1
        assert b"swarmd: error: " in done.stderr
        assert b"Traceback" not in done.stderr
