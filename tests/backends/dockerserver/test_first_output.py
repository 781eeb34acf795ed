"""A conversation's first output reaches clients that read the response's head through a buffer, such as docker-py."""

import fcntl
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import docker
import pytest
import trio
from docker.tls import TLSConfig
from trio.testing import MockClock, wait_all_tasks_blocked

from swarmlib.net import unread
from swarmlib.net.sockets import Socket
from swarmlib.net.unread import PATIENCE_SECONDS, until_read
from swarmlib_backends.dockerserver.tunnel import tunnel
from swarmlib_backends.stream_wrappers import Resumed
from tests.support.engines import is_served, swarmd, wait_until
from tests.support.processes import served

OFTEN = 15
"""How often docker-py calls; without any waiting, every second call or so loses its output."""


def connected(kind: str) -> tuple[socket.socket, socket.socket]:
    if kind == "unix":
        return socket.socketpair()
    family, host = (socket.AF_INET, "127.0.0.1") if kind == "tcp" else (socket.AF_INET6, "::1")
    with socket.create_server((host, 0), family=family) as listener:
        client = socket.create_connection(listener.getsockname()[:2])
        return listener.accept()[0], client


@pytest.fixture(params=["unix", "tcp", "tcp6"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[trio.socket.SocketType, socket.socket]]:
    """A server's end of a connection, and the client's."""
    server, client = connected(request.param)
    with client, trio.socket.from_stdlib_socket(server) as end:
        yield end, client


def opened(sock: socket.socket) -> Socket:
    """A socket as the product makes it."""
    sock.setblocking(False)
    return Socket(trio.SocketStream(trio.socket.from_stdlib_socket(sock)))


def unread_in(sock: socket.socket) -> int:
    """How many bytes have come to a socket that nobody has read."""
    return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)


async def test_it_waits_until_all_has_been_read(
    pair: tuple[trio.socket.SocketType, socket.socket], mock_clock: MockClock
) -> None:
    end, client = pair
    await until_read(end)
    await end.send(b"head")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(until_read, end)
        for _ in range(10):
            await wait_all_tasks_blocked()
            mock_clock.jump(1)
        assert nursery.child_tasks, "it went on before the client had read"
        assert client.recv(1000) == b"head"
        mock_clock.jump(1)


async def test_a_client_that_reads_nothing_is_waited_for_so_long(
    pair: tuple[trio.socket.SocketType, socket.socket], autojump_clock: MockClock
) -> None:
    end, _ = pair
    await end.send(b"head")
    before = trio.current_time()
    await until_read(end)
    assert trio.current_time() - before == pytest.approx(PATIENCE_SECONDS)


async def test_a_client_that_leaves_is_not_waited_for(pair: tuple[trio.socket.SocketType, socket.socket]) -> None:
    end, client = pair
    await end.send(b"head")
    client.close()
    with trio.fail_after(5):
        await until_read(end)


async def test_another_machine_is_given_time_once_it_has_the_bytes(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    def elsewhere(_: object) -> None:
        """As the kernel answers where the peer is on another machine."""

    monkeypatch.setattr(unread, "_read_by_peer", elsewhere)
    server, client = connected("tcp")
    with client, trio.socket.from_stdlib_socket(server) as end:
        await end.send(b"head")
        client.recv(4)
        before = trio.current_time()
        await until_read(end)
        assert 0.01 < trio.current_time() - before < PATIENCE_SECONDS


async def test_little_is_held_for_a_client_that_has_not_read_the_head(mock_clock: MockClock) -> None:
    (ours, client), (near, engine) = socket.socketpair(), socket.socketpair()
    output = bytes(100_000)
    ours.send(b"head")
    with ours, client, engine:
        engine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(output))
        engine.sendall(output)
        engine.shutdown(socket.SHUT_WR)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tunnel, Resumed(opened(ours), b""), opened(near))
            await wait_all_tasks_blocked()
            assert unread_in(near) > len(output) - 10_000
            assert client.recv(1000) == b"head"
            mock_clock.jump(1)
            theirs = opened(client)
            assert b"".join([piece async for piece in theirs]) == output


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs") / "new"
    subprocess.run([sys.executable, "-m", "swarmd", "certs", str(folder)], check=True, capture_output=True)
    return folder


def all_outputs_arrive(host: str, tls: TLSConfig | bool = False) -> None:
    with closing(docker.DockerClient(base_url=host, tls=tls)) as client:
        box = client.containers.run("busybox", ["sleep", "1000"], detach=True)
        ended = client.containers.run("busybox", ["echo", "early"], detach=True)
        ended.wait()
        try:
            for number in range(OFTEN):
                assert box.exec_run(["echo", "hello"]) == (0, b"hello\n"), f"call {number}"
                assert ended.attach(logs=True) == b"early\n", f"call {number}"
        finally:
            box.remove(force=True)
            ended.remove()


@pytest.mark.parametrize("chain", ["simulator", "exec"])
def test_docker_py_on_unix_sockets_and_tcp(chain: str, tmp_path: Path) -> None:
    with swarmd(chain, listen=f"unix://{tmp_path}/s.sock") as running:
        wait_until(lambda: is_served(tmp_path / "s.sock"), "the second address", running.process)
        all_outputs_arrive(f"unix://{tmp_path}/s.sock")
        all_outputs_arrive(running.host)


def test_docker_py_over_tls(material: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they would go before what docker-py is told
        monkeypatch.delenv(name, raising=False)
    options = f"--tlsverify --tlscacert {material}/ca.pem"
    options += f" --tlscert {material}/server-cert.pem --tlskey {material}/server-key.pem"
    pair = (f"{material}/cert.pem", f"{material}/key.pem")
    with swarmd("simulator", listen=options) as running:
        host = running.host.replace("127.0.0.1", "localhost")
        all_outputs_arrive(host, TLSConfig(client_cert=pair, ca_cert=f"{material}/ca.pem", verify=True))


def test_docker_py_through_balance_and_the_wire(tmp_path: Path) -> None:
    with ExitStack() as stack:
        members: list[str] = []
        for name in ("a", "b"):
            socket_path = tmp_path / f"{name}.sock"
            stack.enter_context(served(f"listen unix://{socket_path}", "simulator"))
            members.append(f"({name}=remote unix://{socket_path})")
        all_outputs_arrive(stack.enter_context(swarmd(f"balance {' '.join(members)}")).host)
