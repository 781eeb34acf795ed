"""Exec, attach and port-forward on a real cluster, 1.20: SPDY, and WebSocket v4."""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from swarmlib.errors import Conflict, Denied, NotFound, SwarmError, Unavailable
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.api.kubeconfig import read_access
from swarmlib_backends.kubernetes.api.resources import PODS
from swarmlib_backends.kubernetes.api.watch import Kind, watch
from swarmlib_backends.kubernetes.streams.forwarding import ForwardedStream, port_forward
from swarmlib_backends.kubernetes.streams.negotiate import Dialects
from swarmlib_backends.kubernetes.streams.remote import RemoteCommand, RemoteProcess, remote_command
from tests.support.cluster import Cluster

pytestmark = pytest.mark.cluster

ECHO_PORT, WEB_PORT = 9000, 8080
SIZE = 300_000
SERVER = f"""
mkdir /www; yes | head -c {SIZE} > /www/file; httpd -p {WEB_PORT} -h /www
exec nc -ll -p {ECHO_PORT} -e cat
"""


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    async with Api.open(read_access(str(cluster.kubeconfig))) as opened:
        yield opened


class WithoutSpdy:
    """The API behind a proxy that does not know SPDY."""

    def __init__(self, api: Api) -> None:
        self._api = api

    @asynccontextmanager
    async def upgrade(self, method: str, path: str, *args: Any, **options: Any) -> AsyncIterator[Any]:
        if method == "POST":
            raise Denied("the proxy refuses", details={"code": 403, "reason": ""})
        async with self._api.upgrade(method, path, *args, **options) as upgraded:
            yield upgraded


@pytest.fixture(params=["SPDY", "V4"])
def way(request: pytest.FixtureRequest, api: Api) -> Any:
    """The API as it is, and behind a proxy, so that both of the dialects are used that this cluster speaks."""
    return api if request.param == "SPDY" else WithoutSpdy(api)


async def started(api: Api, cluster: Cluster, name: str, *command: str, **container: Any) -> None:
    """Create a Pod, and return when its container runs."""
    main = {"name": "main", "image": "busybox:1", "imagePullPolicy": "Never", "command": command, **container}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [main]}
    body = {"metadata": {"name": name, "labels": {"name": name}}, "spec": spec}
    await api.post(PODS.path(cluster.namespace), body)
    await in_state(api, cluster, name, "running")


async def in_state(api: Api, cluster: Cluster, name: str, state: str) -> Any:
    """Wait until a Pod's container is in a state, and return it."""
    with trio.fail_after(120):
        async with watch(api, PODS, cluster.namespace, f"name={name}") as changes:
            async for change in changes:
                if change.kind is not Kind.SYNCED:
                    for container in change.object["status"].get("containerStatuses", ()):
                        if found := container["state"].get(state):
                            return found
    raise AssertionError("the watch ended")


@pytest.fixture
async def pod(api: Api, cluster: Cluster) -> str:
    """A Pod that runs, and is shared by the tests of this module."""
    with suppress(Conflict):  # an earlier test has created it
        await started(api, cluster, "server", "sh", "-c", SERVER)
    return "server"


@dataclass
class Run:
    """What a command gave."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int | None = None


async def collected(process: RemoteProcess) -> Run:
    pieces: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    while received := await process.receive():
        pieces[received[0]].append(received[1])
    return Run(b"".join(pieces["stdout"]), b"".join(pieces["stderr"]), process.exit_code)


@dataclass
class Cli:
    """Runs commands in a Pod."""

    api: Any
    namespace: str
    dialects: Dialects = field(default_factory=Dialects)

    @property
    def suffix(self) -> str:
        """Makes the names of Pods unique, for the tests that are run in both ways."""
        return "-v4" if isinstance(self.api, WithoutSpdy) else "-spdy"

    def opened(self, pod: str, *words: str, **options: Any) -> AbstractAsyncContextManager[RemoteProcess]:
        ended = options.pop("ended", None)
        command = RemoteCommand(options.pop("kind", "exec"), options.pop("container", "main"), words, **options)
        return remote_command(self.api, self.namespace, pod, command, dialects=self.dialects, ended=ended)

    async def run(self, pod: str, *words: str, stdin: bytes | None = None, end: bool = True, **options: Any) -> Run:
        """Run a command to its end. `end` tells the end of the input."""
        with trio.fail_after(60):
            async with (
                self.opened(pod, *words, stdin=stdin is not None, **options) as process,
                trio.open_nursery() as nursery,
            ):
                if stdin is not None:
                    nursery.start_soon(_feed, process, stdin, end)
                return await collected(process)


async def _feed(process: RemoteProcess, data: bytes, end: bool) -> None:
    await process.send(data)
    if end:
        await process.end_input()


@pytest.fixture
def cli(way: Any, cluster: Cluster) -> Cli:
    return Cli(way, cluster.namespace)


@pytest.fixture
def spdy(api: Api, cluster: Cluster) -> Cli:
    return Cli(api, cluster.namespace)


async def test_output_is_apart_and_exit_codes_are_exact(cli: Cli, pod: str) -> None:
    for code in (0, 1, 3, 255):
        run = await cli.run(pod, "sh", "-c", f"echo out; echo err >&2; exit {code}")
        assert run == Run(b"out\n", b"err\n", code)


async def test_a_program_that_is_not_there_has_an_exit_code(cli: Cli, pod: str) -> None:
    run = await cli.run(pod, "/no/such/program")
    assert (run.exit_code, b"no such file" in run.stdout) == (126, True)


async def test_the_end_of_the_input_is_told(spdy: Cli, pod: str) -> None:
    assert await spdy.run(pod, "cat", stdin=b"x\n") == Run(b"x\n", b"", 0)
    assert await spdy.run(pod, "cat", stdin=b"") == Run(b"", b"", 0)


async def test_input_reaches_a_command_that_does_not_wait_for_its_end(cli: Cli, pod: str) -> None:
    assert await cli.run(pod, "head", "-n", "1", stdin=b"line\n", end=False) == Run(b"line\n", b"", 0)


async def test_50_megabytes_of_input_arrive_whole(spdy: Cli, pod: str) -> None:
    data = os.urandom(1 << 20) * 50
    run = await spdy.run(pod, "sha256sum", stdin=data)
    assert run.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


async def test_input_that_nobody_reads_does_not_keep_a_process(cli: Cli, pod: str) -> None:
    with trio.fail_after(60):
        async with cli.opened(pod, "head", "-c", "3", stdin=True) as process, trio.open_nursery() as nursery:

            async def feed() -> None:
                with suppress(trio.BrokenResourceError):
                    while True:
                        await process.send(b"x" * 100_000)

            nursery.start_soon(feed)
            with suppress(
                Unavailable
            ):  # an apiserver that can't send on its input forgets the output that is under way
                assert await collected(process) == Run(b"xxx", b"", 0)
            nursery.cancel_scope.cancel()


async def test_much_output_arrives_whole_and_apart(cli: Cli, pod: str) -> None:
    script = "for i in $(seq 10); do yes out | head -c 400000; yes err | head -c 400000 >&2; done"
    run = await cli.run(pod, "sh", "-c", script)
    assert (len(run.stdout), len(run.stderr)) == (4_000_000, 4_000_000)
    assert (set(run.stdout.split(b"\n")), set(run.stderr.split(b"\n"))) == ({b"out", b""}, {b"err", b""})


async def test_a_terminal_has_the_sizes_that_it_is_given(cli: Cli, pod: str) -> None:
    script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.1; done"
    with trio.fail_after(60):
        async with cli.opened(pod, "sh", "-c", script, stdin=True, tty=True) as process:
            shown = b""
            for rows, columns in ((40, 100), (22, 77), (50, 132)):
                await process.resize(rows, columns)
                while f"{rows} {columns}".encode() not in shown:
                    received = await process.receive()
                    assert received
                    shown += received[1]
            await process.send(b"\x03")
            assert (await collected(process)).exit_code == 130


async def test_an_attach_gives_and_takes_bytes(spdy: Cli, api: Api, cluster: Cluster) -> None:
    script = "read start; echo out; echo err >&2; cat; echo bye; exit 7"
    await started(api, cluster, "attached", "sh", "-c", script, stdin=True, stdinOnce=True)
    run = await spdy.run("attached", stdin=b"go\ntyped\n", kind="attach")
    assert run == Run(b"out\ntyped\nbye\n", b"err\n", None)
    assert (await in_state(api, cluster, "attached", "terminated"))["exitCode"] == 7


WATCHED = "(while :; do echo tick; sleep 0.1; done) & cat; echo closed"


async def test_the_input_stays_open_while_somebody_only_watches(cli: Cli, api: Api, cluster: Cluster) -> None:
    name = "watched" + cli.suffix
    await started(api, cluster, name, "sh", "-c", WATCHED, stdin=True, stdinOnce=True)
    with trio.fail_after(60):
        async with cli.opened(name, kind="attach") as process:
            seen = b""
            while seen.count(b"\n") < 5 and (received := await process.receive()):
                seen += received[1]
            assert set(seen.split(b"\n")) == {b"tick", b""}


async def test_who_only_watched_has_not_ended_the_input(spdy: Cli, api: Api, cluster: Cluster) -> None:
    await started(api, cluster, "watched", "sh", "-c", WATCHED, stdin=True, stdinOnce=True)
    with trio.fail_after(60):
        async with spdy.opened("watched", kind="attach") as process:
            assert await process.receive() is not None
        async with spdy.opened("watched", kind="attach", stdin=True) as process:
            await process.send(b"typed\n")
            seen = b""
            while b"typed" not in seen and (received := await process.receive()):
                seen += received[1]
            assert b"closed" not in seen


async def test_an_exec_that_kills_its_own_container_ends(spdy: Cli, api: Api, cluster: Cluster) -> None:
    script = "trap 'exit 5' TERM; while :; do sleep 0.1; done"
    await started(api, cluster, "killed", "sh", "-c", script)
    ended = trio.Event()

    async def note() -> None:
        await in_state(api, cluster, "killed", "terminated")
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(note)
        run = await spdy.run("killed", "sh", "-c", "echo first; kill -TERM 1; sleep 1000", ended=ended)
    assert run.stdout == b"first\n"
    assert run.exit_code in (None, 137)


async def test_the_cluster_s_refusals_are_its_errors(cli: Cli, pod: str) -> None:
    with pytest.raises(NotFound, match='pods "none" not found'):
        await cli.run("none", "true")
    with pytest.raises(SwarmError, match="container nope is not valid"):
        await cli.run(pod, "true", container="nope")


async def everything(stream: ForwardedStream) -> bytes:
    return b"".join([bytes(piece) async for piece in stream])


async def test_two_connections_at_once_end_each_direction_for_itself(api: Api, cluster: Cluster, pod: str) -> None:
    with trio.fail_after(60):
        async with port_forward(api, cluster.namespace, pod, dialects=Dialects()) as forward:
            first, second = await forward.connect(ECHO_PORT), await forward.connect(ECHO_PORT)
            for stream, data in ((first, b"first"), (second, b"second")):
                await stream.send_all(data)
            await second.send_eof()
            assert await everything(second) == b"second"
            await first.send_all(b" and more")
            await first.send_eof()
            assert await everything(first) == b"first and more"


async def test_200_connections_at_once(api: Api, cluster: Cluster, pod: str) -> None:
    lengths: list[int] = []
    opened: list[ForwardedStream] = []

    async def fetch(stream: ForwardedStream) -> None:
        async with stream:
            await stream.send_all(b"GET /file HTTP/1.0\r\n\r\n")
            answer = await everything(stream)
            lengths.append(len(answer.partition(b"\r\n\r\n")[2]))

    with trio.fail_after(240):
        async with port_forward(api, cluster.namespace, pod, dialects=Dialects()) as forward:

            async def connect() -> None:
                opened.append(await forward.connect(WEB_PORT))

            async with trio.open_nursery() as nursery:
                for _ in range(200):
                    nursery.start_soon(connect)
            async with trio.open_nursery() as nursery:
                for stream in opened:
                    nursery.start_soon(fetch, stream)
    assert lengths == [SIZE] * 200


async def test_a_port_where_nothing_listens(way: Any, cluster: Cluster, pod: str) -> None:
    async with port_forward(way, cluster.namespace, pod, dialects=Dialects()) as forward:
        stream = await forward.connect(1)
        with pytest.raises(trio.BrokenResourceError, match="Connection refused"):
            await stream.receive_some()


async def test_a_pod_that_dies_ends_its_streams(spdy: Cli, api: Api, cluster: Cluster) -> None:
    await started(api, cluster, "dying", "sh", "-c", SERVER)
    with trio.fail_after(60):
        async with (
            port_forward(api, cluster.namespace, "dying", dialects=spdy.dialects) as forward,
            spdy.opened("dying", "sleep", "1000") as process,
        ):
            stream = await forward.connect(ECHO_PORT)
            await stream.send_all(b"alive")
            assert await stream.receive_some() == b"alive"
            await api.delete(PODS.path(cluster.namespace, "dying"), {"gracePeriodSeconds": 0})
            with suppress(trio.BrokenResourceError):  # or it ends in order: what ends first, socat or the container?
                assert await everything(stream) == b""
            assert (await collected(process)).exit_code == 137
