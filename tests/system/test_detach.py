"""Detach keys: who types them at a terminal leaves it, and what runs there goes on, as on an engine."""

import os
import pty
import subprocess
from collections.abc import Iterator

import pytest
import trio

from swarmlib import Client, Invalid, Json, SwarmError, Verb, connect
from swarmlib_backends.dockerapi.detachkeys import Typed, keys, keys_of_exec
from tests.support.engines import Engine, docker, engine, read_until, swarmd


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", b"\x10\x11"),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("ctrl-@", b"\0"),
        ("ctrl-[,ctrl-_", b"\x1b\x1f"),
        ("a,DEL,Z", b"a\x7fZ"),
    ],
)
def test_keys_are_bytes(text: str, found: bytes) -> None:
    assert keys(text) == keys_of_exec(text) == found


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-A", "ctrl-1", "ab", "a,,b", ",", "é"])
def test_what_names_no_keys_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"Invalid detach keys \(.*\) provided"):
        keys(text)
    with pytest.raises(SwarmError, match=r"Invalid escape keys \(.*\) provided"):
        keys_of_exec(text)


@pytest.mark.parametrize(
    ("pieces", "passed", "detached"),
    [
        ([b"\x10\x11"], b"", True),
        ([b"text\x10", b"\x11late"], b"text", True),
        ([b"\x10", b"x"], b"\x10x", False),
        ([b"\x10\x10\x11"], b"\x10\x10\x11", False),
        ([b"\x10"], b"", False),
        ([b"\x11\x10\x11"], b"\x11", True),
    ],
)
def test_what_is_typed_is_passed_on_up_to_the_keys(pieces: list[bytes], passed: bytes, detached: bool) -> None:
    typed = Typed(keys(""))
    assert (b"".join(map(typed.read, pieces)), typed.detached) == (passed, detached)


@pytest.fixture(scope="module")
def real() -> Iterator[Engine]:
    with engine() as started:
        yield started


async def _attached(client: Client, path: tuple[str, ...], value: object = None, **args: str) -> trio.abc.Stream:
    answer = await client.call(
        Verb.CONNECT, path, params=args, body=Json.from_data(value) if value is not None else None
    )
    stream = answer.ack.stream
    assert isinstance(stream, trio.abc.Stream)
    return stream


async def _until_the_end(stream: trio.abc.Stream, *typed: bytes) -> bytes:
    async with stream:
        for piece in typed:
            await stream.send_all(piece)
        return b"".join([bytes(data) async for data in stream])


async def _hold(chain: str) -> None:
    """What an engine does at detach keys; each of the streams would stay open for ever without them."""
    streams = {"stream": "1", "stdin": "1", "stdout": "1"}
    async with connect(chain) as client:
        made = await client.spawn({"Image": "busybox", "Cmd": ["cat"], "Tty": True, "OpenStdin": True}, name="terminal")
        try:
            await made.start()
            with trio.fail_after(20):
                await _until_the_end(await _attached(client, made.path, **streams), b"\x10", b"\x11")
                chosen = await _attached(client, made.path, **streams, detachKeys="ctrl-x,x")
                await _until_the_end(chosen, b"\x10\x11\x18x")
                config = {
                    "Cmd": ["cat"],
                    "Tty": True,
                    "AttachStdin": True,
                    "AttachStdout": True,
                    "DetachKeys": "ctrl-]",
                }
                each = (await client.call(Verb.SPAWN, (*made.path, "exec"), body=Json.from_data(config))).value
                exec = await _attached(client, ("exec", each["Id"]), {"Tty": True})
                await _until_the_end(exec, b"\x10\x11\x1d")
            assert (await client.get(*made.path))["State"]["Running"]
        finally:
            await made.rm(force="1")


@pytest.mark.engine
async def test_an_engine_lets_go_at_them(real: Engine) -> None:
    await _hold(f"docker {real.host}")


@pytest.mark.parametrize("chain", ["simulator", "exec"])
async def test_what_plays_an_engine_lets_go_at_them(chain: str) -> None:
    await _hold(chain)


def _left_exec(host: str) -> int:
    """The exit code of the docker CLI, when an exec is left by its detach keys."""
    ours, theirs = pty.openpty()
    words = ["docker", "-H", host, "exec", "-it", "--detach-keys", "ctrl-x,q", "terminal", "cat"]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs) as client:
        os.close(theirs)
        os.write(ours, b"typed\n")
        read_until(ours, b"typed\r\ntyped\r\n")
        os.write(ours, b"\x18q")
        try:
            return client.wait(20)
        finally:
            client.kill()
            os.close(ours)


def _leave(host: str) -> int:
    docker(host, "run", "-d", "--name", "terminal", "busybox", "sleep", "1000", check=True)
    try:
        return _left_exec(host)
    finally:
        docker(host, "rm", "-f", "terminal", check=True)


@pytest.mark.engine
def test_the_docker_cli_leaves_an_exec_as_on_an_engine(real: Engine) -> None:
    """Over TCP, its own search for the keys fails: it ends its input, and waits for the end of the output."""
    with swarmd("simulator") as simulated, swarmd(f"docker {real.host}") as engine_over_tcp:
        assert _leave(simulated.host) == _leave(engine_over_tcp.host)


@pytest.mark.engine
async def test_an_exec_that_is_detached_from_has_failed_as_on_an_engine(real: Engine) -> None:
    assert await _after_detach("simulator") == await _after_detach(f"docker {real.host}")


async def _after_detach(chain: str) -> object:
    async with connect(chain) as client:
        made = await client.spawn({"Image": "busybox", "Cmd": ["sleep", "1000"]}, name="terminal")
        try:
            await made.start()
            config = {"Cmd": ["sleep", "1000"], "Tty": True, "AttachStdin": True, "AttachStdout": True}
            each = (await client.call(Verb.SPAWN, (*made.path, "exec"), body=Json.from_data(config))).value["Id"]
            with trio.fail_after(20):
                said = await _until_the_end(await _attached(client, ("exec", each), {"Tty": True}), b"\x10\x11")
            found = await client.get("exec", each)
            return said, found["Running"], found["ExitCode"], found["Pid"] > 0
        finally:
            await made.rm(force="1")
