"""Left behind: a client that goes away, at any phase of its request and in whatever way, leaves nothing; one that only
closes its sending half is answered, as an engine answers it."""

import gc
import os
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from swarmlib import Chain, Request, Server
from swarmlib_backends import DockerServer
from swarmlib_backends.dockerserver.exchange import ClientExchange

RESET = struct.pack("ii", 1, 0)
HEAD = b" HTTP/1.1\r\nHost: localhost\r\n"
UPLOAD = b"POST /images/load" + HEAD + b"Content-Length: 1000000\r\n\r\n"
LOST = (trio.BrokenResourceError, trio.ClosedResourceError)


@dataclass(eq=False)
class Slow(Server):
    """Its calls wait for ever, each in its own way."""

    _calls: list[Request] = field(default_factory=list[Request])

    @property
    def waiting(self) -> int:
        """How many calls are under way."""
        return len(self._calls)

    def handlers(self) -> dict[Any, Any]:
        return dict.fromkeys(("get", "ls", "spawn", "file", "watch", "connect", "set"), self._counted)

    async def _counted(self, request: Request) -> None:
        self._calls.append(request)
        try:
            await self._wait(request)
        finally:
            self._calls.remove(request)

    async def _wait(self, request: Request) -> None:
        if request.verb == "watch":
            await request.reply.ack()
            await request.reply.set({"n": 1})
        if request.verb == "connect":
            near, _ = memory_stream_pair()
            args: dict[str, Any] = {"status": 101} if ":upgrade" in request.params else {}
            await request.reply.ack(stream=near, details=args)
        await trio.sleep_forever()


PHASES = {
    "nothing": b"",
    "half a head": b"GET /containers/json HTTP/1.1\r\nHo",
    "a quiet get": b"GET /containers/x/json" + HEAD + b"\r\n",
    "a pipelined get behind it": (b"GET /containers/x/json" + HEAD + b"\r\n") * 2,
    "half a body": b"POST /volumes/create" + HEAD + b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
    "an upload that nobody reads": UPLOAD,
    "half an upload": UPLOAD + b"x" * 5000,
    "an abandoned 100-continue": UPLOAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
    "half a chunked build": b"POST /build" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "half a body without a row": b"POST /nonesuch" + HEAD + b"Content-Length: 99\r\n\r\nabc",
    "amid the response": b"GET /events" + HEAD + b"\r\n",
    "a quiet attach": b"POST /containers/x/attach" + HEAD + b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    "a session": b"POST /session" + HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0",
}


@asynccontextmanager
async def gateway(
    stage: Server, tmp_path: Path, material: Path | None = None
) -> AsyncGenerator[dict[str, Callable[[], socket.socket]]]:
    """dockerserver over a stage; gives how a client connects to it by each transport: TLS, where there is material."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    path = str(tmp_path / "s")

    def by_unix() -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        return client

    def by_tcp() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port))

    def by_tls() -> socket.socket:
        return context.wrap_socket(by_tcp(), server_hostname="localhost")

    if material is None:
        async with Chain(DockerServer([f"unix://{path}", f"tcp://127.0.0.1:{port}"]), stage).open():
            yield {"unix": by_unix, "tcp": by_tcp}
        return
    context = ssl.create_default_context(cafile=str(material / "ca.pem"))
    files: Any = {"tlscert": f"{material}/server-cert.pem", "tlskey": f"{material}/server-key.pem"}
    async with Chain(DockerServer([f"tcp://127.0.0.1:{port}"], tls=True, insecure=True, **files), stage).open():
        yield {"tls": by_tls}


def go_away(client: socket.socket, *, by_reset: bool) -> None:
    if by_reset and client.family != socket.AF_UNIX:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


async def settled(check: Callable[[], bool]) -> None:
    """Wait until the kernel and the server have caught up."""
    with trio.fail_after(20):
        while not check():
            await wait_all_tasks_blocked(0.001)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("sent", PHASES.values(), ids=PHASES)
@pytest.mark.parametrize(("transport", "by_reset"), [("unix", False), ("tcp", True)])
async def test_a_client_that_goes_away_is_noticed_at_once(
    sent: bytes, transport: str, by_reset: bool, tmp_path: Path
) -> None:
    stage = Slow()
    async with gateway(stage, tmp_path) as connect:
        before = descriptors()
        client = connect[transport]()
        client.sendall(sent)
        await settled(lambda: descriptors() == before + 2)
        await wait_all_tasks_blocked(0.01)
        assert stage.waiting == (sent not in (PHASES["nothing"], PHASES["half a head"], PHASES["half a body"]))
        go_away(client, by_reset=by_reset)
        await settled(lambda: descriptors() == before and stage.waiting == 0)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    subprocess.run([sys.executable, "-m", "swarmd", "certs", str(folder)], check=True, capture_output=True)
    return folder


OVER_TLS = ["nothing", "half a head", "half an upload", "amid the response", "a quiet get", "a session"]
LEAVING = [(name, how) for name in OVER_TLS for how in ("without a word", "by a reset")]
LEAVING += [(name, "with a word") for name in OVER_TLS[:4]]  # the others are answered, as after any half-close


@pytest.mark.parametrize(("name", "how"), LEAVING)
async def test_a_client_that_goes_away_over_tls_is_noticed_at_once(
    name: str, how: str, tmp_path: Path, material: Path
) -> None:
    """It may say so (close_notify), only close its socket, or reset the connection."""
    stage = Slow()
    async with gateway(stage, tmp_path, material) as connect:
        before = descriptors()
        client = await trio.to_thread.run_sync(connect["tls"])
        client.sendall(PHASES[name])
        await settled(lambda: descriptors() == before + 2)
        await wait_all_tasks_blocked(0.01)
        await settled(lambda: stage.waiting == (name not in ("nothing", "half a head")))
        if how == "with a word":
            client.setblocking(False)
            with suppress(ssl.SSLError):  # it does not wait for the other side's
                cast(ssl.SSLSocket, client).unwrap()
        go_away(client, by_reset=how == "by a reset")
        await settled(lambda: descriptors() == before and stage.waiting == 0)


@pytest.mark.parametrize("name", ["half an upload", "half a body", "half a chunked build", "half a body without a row"])
async def test_a_body_that_will_never_be_whole_ends_the_call_though_nobody_reads_it(name: str, tmp_path: Path) -> None:
    """A TCP client that closes its socket looks as one that half-closes it, but its body is not whole."""
    stage = Slow()
    async with gateway(stage, tmp_path) as connect:
        before = descriptors()
        client = connect["tcp"]()
        client.sendall(PHASES[name])
        await settled(lambda: descriptors() == before + 2)
        await wait_all_tasks_blocked(0.01)
        client.close()
        await settled(lambda: descriptors() == before and stage.waiting == 0)


@pytest.mark.parametrize("transport", ["unix", "tcp"])
@pytest.mark.parametrize("target", [b"GET /events", b"POST /images/create?fromImage=x", b"POST /build"])
async def test_a_call_that_streams_ends_with_its_clients_sending_half(
    transport: str, target: bytes, tmp_path: Path
) -> None:
    """So does an engine's, which ends the stream as if it were whole; what makes something says that it was not."""
    stage = Slow()
    async with gateway(stage, tmp_path) as connect:
        with connect[transport]() as client:
            client.sendall(target + HEAD + b"Content-Length: 0\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            client.settimeout(20)
            got = await trio.to_thread.run_sync(_all, client)
        await settled(lambda: stage.waiting == 0)
    if b"events" in target:
        assert got.startswith(b"HTTP/1.1 200 ")
        assert got.endswith(b"0\r\n\r\n")
    else:
        assert got.startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("transport", ["unix", "tcp"])
async def test_a_call_that_streams_ends_though_its_client_has_sent_another_request(
    transport: str, tmp_path: Path
) -> None:
    """Nobody reads on while a request waits for the end of the call before it; an engine answers both."""
    stage = Slow()
    async with gateway(stage, tmp_path) as connect:
        with connect[transport]() as client:
            client.sendall(b"GET /events" + HEAD + b"\r\n" + b"GET /_ping/" + HEAD + b"\r\n")
            await settled(lambda: stage.waiting == 1)
            client.shutdown(socket.SHUT_WR)
            client.settimeout(20)
            got = await trio.to_thread.run_sync(_all, client)
        await settled(lambda: stage.waiting == 0)
    assert got.count(b"HTTP/1.1 ") == 2


def _all(client: socket.socket) -> bytes:
    got = b""
    while part := client.recv(65536):
        got += part
    return got


class Answering(Server):
    """Answers after its client has half-closed."""

    async def get(self, _: Request) -> Any:
        await wait_all_tasks_blocked(0.05)
        return {"Id": "x"}

    async def file(self, request: Request) -> Any:
        assert request.upload is not None
        await wait_all_tasks_blocked(0.05)
        return sum([len(bytes(part)) async for part in request.upload])


@pytest.mark.parametrize("transport", ["unix", "tcp"])
@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"GET /containers/x/json" + HEAD + b"\r\n", b'{"Id":"x"}'),
        (b"PUT /containers/x/archive?path=/" + HEAD + b"Content-Length: 3000\r\n\r\n" + b"x" * 3000, b"3000"),
    ],
    ids=["get", "upload"],
)
async def test_a_client_that_half_closes_after_its_request_is_answered(
    transport: str, sent: bytes, body: bytes, tmp_path: Path
) -> None:
    async with gateway(Answering(), tmp_path) as connect:
        with connect[transport]() as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            client.settimeout(20)
            got = await trio.to_thread.run_sync(_all, client)
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.endswith(b"\r\n\r\n" + body)


def _living() -> tuple[int, int, int]:
    gc.collect()
    kept = sum(isinstance(each, Request | ClientExchange) for each in gc.get_objects())
    return trio.lowlevel.current_statistics().tasks_living, descriptors(), kept


async def test_hundreds_of_aborted_requests_leave_nothing(tmp_path: Path) -> None:
    stage = Slow()
    async with gateway(stage, tmp_path) as connect:
        before = _living()
        count = 0
        while count < 500:
            clients: list[tuple[socket.socket, bool]] = []
            for sent in PHASES.values():
                for transport, by_reset in (("unix", False), ("tcp", True)):
                    client = connect[transport]()
                    client.sendall(sent)
                    clients.append((client, by_reset))
            if count % 3:
                await wait_all_tasks_blocked(0.001)  # else they are gone before they were seen
            for client, by_reset in clients:
                go_away(client, by_reset=by_reset)
            count += len(clients)
            await settled(lambda: descriptors() == before[1])
        await settled(lambda: stage.waiting == 0)
        await wait_all_tasks_blocked(0.01)
        assert _living() == before
