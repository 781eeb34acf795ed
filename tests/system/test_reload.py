"""A swarmd whose configuration is read again while it serves: no call fails, and no connection is lost."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

SWARMD = [sys.executable, "-W", "error", "-m", "swarmd"]
REQUEST = b"GET /v1.41/containers/json HTTP/1.1\r\nHost: x\r\n\r\n"
FOLLOW = b"GET /v1.41/containers/%s/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n"
RATE = 200


class Serving:
    """A swarmd with a configuration file that can be changed."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "docker.sock"
        self.other = folder / "other.sock"
        self._file = folder / "swarm.toml"

    def write(
        self, *between: str, source: str = "", last: str = "simulator --containers 1 --seed 1", settings: str = ""
    ) -> None:
        stages = [f"dockerserver unix://{self.socket} {source}", *between, last]
        self._file.write_text(f"[chain.front]\nstages = {stages}\n[swarmd]\n{settings}\n")

    @contextmanager
    def running(self) -> Iterator[None]:
        with subprocess.Popen([*SWARMD, self._file], stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
            assert run.stderr is not None
            self._process, self._said = run, run.stderr
            try:
                assert "serving" in self.line()
                yield
            finally:
                run.terminate()
                run.communicate(timeout=20)
        assert run.returncode == 143

    def line(self) -> str:
        """The next line of what swarmd says, without those about where it serves."""
        return next(line for line in self._said if "export DOCKER_HOST" not in line)

    async def hang_up(self) -> str:
        """Have the configuration read again, and return what swarmd says of it."""
        os.kill(self._process.pid, signal.SIGHUP)
        return await trio.to_thread.run_sync(self.line)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    found = Serving(tmp_path)
    found.write()
    with found.running():
        yield found


class Connection:
    """A connection for one request after the other."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def ask(self) -> None:
        await self._stream.send_all(REQUEST)
        data = b""
        while b"\r\n\r\n" not in data:
            data += await self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += await self._more()

    async def _more(self) -> bytes:
        data = bytes(await self._stream.receive_some())
        assert data, "the connection was lost"
        return data


@asynccontextmanager
async def load(socket: Path) -> AsyncIterator[trio.MemoryReceiveChannel[None]]:
    """Make 200 requests a second, half of them on new connections; the channel tells of each that was answered."""
    told, answered = trio.open_memory_channel[None](10_000)

    async def keep(pause: float) -> None:
        async with await trio.open_unix_socket(str(socket)) as stream:
            connection = Connection(stream)
            while True:
                with trio.CancelScope(shield=True):
                    await connection.ask()
                told.send_nowait(None)
                await trio.sleep(pause)

    async def renew(pause: float) -> None:
        while True:
            with trio.CancelScope(shield=True):
                async with await trio.open_unix_socket(str(socket)) as stream:
                    await Connection(stream).ask()
            told.send_nowait(None)
            await trio.sleep(pause)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(keep, 20 / RATE)
            nursery.start_soon(renew, 20 / RATE)
        yield answered
        nursery.cancel_scope.cancel()


async def test_no_call_fails_while_the_configuration_changes(serving: Serving) -> None:
    async with load(serving.socket) as answered:
        for turn in range(4):
            serving.write("debug --filter 'rm *'", source="--max-connections 500" if turn % 2 else "")
            assert "chain front has changed" in await serving.hang_up()
            serving.write("limit --max-concurrent 20")
            assert "chain front has changed" in await serving.hang_up()
            assert "nothing has changed" in await serving.hang_up()
            for _ in range(50):
                await answered.receive()


async def test_a_broken_file_changes_nothing(serving: Serving) -> None:
    serving.write("dbug")
    assert "the configuration stays as it was" in await serving.hang_up()
    assert "dbug" in serving.line()
    assert "^^^^" in serving.line()
    serving.write("record /nosuch/file")
    assert "error: chain front stays as it was: record: " in await serving.hang_up()
    async with await trio.open_unix_socket(str(serving.socket)) as stream:
        await Connection(stream).ask()


async def test_what_is_said_of_the_process_applies_or_needs_a_restart(serving: Serving, tmp_path: Path) -> None:
    assert "nothing has changed" in await serving.hang_up()
    serving.write(settings="log-format = 'json'")
    assert json.loads(await serving.hang_up())["message"].endswith("the log has the format json now")
    serving.write(settings="control = '/nowhere/else.sock'\nverbose = true")
    assert "the log has the format text and is verbose now" in await serving.hang_up()
    assert "control = '/nowhere/else.sock' needs a restart" in serving.line()
    serving.write(settings="verbose = true")
    assert "nothing has changed" in await serving.hang_up()


async def test_a_stream_goes_on_in_the_former_stages(serving: Serving) -> None:
    serving.write("debug --filter 'rm *'")
    assert "has changed" in await serving.hang_up()
    async with await trio.open_unix_socket(str(serving.socket)) as stream:
        await stream.send_all(b"GET /v1.41/events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        serving.write(source="--max-connections 500")
        assert "has changed" in await serving.hang_up()
        async with await trio.open_unix_socket(str(serving.socket)) as other:
            await other.send_all(
                b"POST /v1.41/containers/create?name=new HTTP/1.1\r\nHost: x\r\n"
                b'Content-Type: application/json\r\nContent-Length: 19\r\n\r\n{"Image":"busybox"}'
            )
            assert (await other.receive_some()).startswith(b"HTTP/1.1 201 ")
        with trio.fail_after(10):
            assert b"create" in await stream.receive_some()


async def test_chains_come_and_go(serving: Serving, tmp_path: Path) -> None:
    serving.write()
    file = tmp_path / "swarm.toml"
    both = file.read_text() + f'[chain.other]\nstages = ["dockerserver unix://{serving.other}", "simulator"]\n'
    file.write_text(both)
    assert "chain other is new" in await serving.hang_up()
    async with await trio.open_unix_socket(str(serving.other)) as stream:
        await Connection(stream).ask()
        serving.write()
        assert "chain other takes no more connections" in await serving.hang_up()
        assert not serving.other.exists()
        await Connection(stream).ask()
