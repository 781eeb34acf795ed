"""Each way to a real engine: TCP, TLS, ssh, a Docker context, and DOCKER_HOST; with half-close on each."""

import json
import os
import pwd
import secrets
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
from trio.testing import memory_stream_pair

from swarmlib import Chain, Client, Unavailable
from swarmlib.net.tls import TlsStream
from swarmlib_backends.docker import Docker
from tests.support.engines import Engine, Swarmd, docker, docker_process, engine, free_port, swarmd, wait_until
from tests.support.sshd import sshd

needs_engine = pytest.mark.engine


def openssl(folder: Path, *args: str) -> None:
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, and cert.pem and key.pem that serve as the client's and, for 127.0.0.1, as the server's."""
    folder = tmp_path_factory.mktemp("certs")
    new = ("req", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout")
    openssl(folder, *new, "ca-key.pem", "-x509", "-subj", "/CN=test authority", "-out", "ca.pem")
    openssl(folder, *new, "key.pem", "-subj", "/CN=localhost", "-out", "request.pem")
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    sign = ("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial")
    openssl(folder, *sign, "-days", "2", "-extfile", "ext", "-out", "cert.pem")
    return folder


@pytest.fixture(scope="module")
def tls_port(certificates: Path) -> Iterator[int]:
    """The port of an engine that speaks TLS, and asks for a client's certificate."""
    port = free_port()
    files = {"tlscacert": "ca", "tlscert": "cert", "tlskey": "key"}
    material = [f"--{option}={certificates}/{file}.pem" for option, file in files.items()]
    options = ["--tlsverify", *material, "-H", f"tcp://127.0.0.1:{port}", "--bridge=none", "--iptables=false"]
    with engine([*options, "--ip6tables=false"], namespaces="-m"):
        yield port


def half_closes(host: str) -> None:
    """A workload that reads its stdin to the end gets that end, and each byte before it."""
    data = secrets.token_bytes(300_000)
    done = docker(host, "run", "--rm", "-i", "--network", "none", "busybox", "cat", input=data)
    assert (done.returncode, done.stdout == data) == (0, True), done.stderr


@needs_engine
def test_tls_with_a_clients_certificate(tls_port: int, certificates: Path) -> None:
    with swarmd(f"docker --cert-path {certificates} tcp://127.0.0.1:{tls_port}") as running:
        half_closes(running.host)


@needs_engine
def test_tls_without_a_certificate_is_refused_in_words(tls_port: int, tmp_path: Path) -> None:
    with swarmd(f"docker tcp://127.0.0.1:{tls_port}") as running:
        refused = docker(running.host, "ps")
        assert refused.returncode == 1
        assert f"tcp://127.0.0.1:{tls_port}" in refused.stderr.decode()
    without = swarmd(f"docker --cert-path {tmp_path} tcp://127.0.0.1:{tls_port}")
    with pytest.raises(RuntimeError, match="can't read the TLS file"):
        without.__enter__()


@needs_engine
def test_a_context_and_docker_host(
    tls_port: int, certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(RuntimeError, match="unknown Docker context 'far'"):
        swarmd("docker --context far").__enter__()
    files = ",".join(f"{name}={certificates}/{name}.pem" for name in ("ca", "cert", "key"))
    endpoint = f"host=tcp://127.0.0.1:{tls_port},{files}"
    subprocess.run(["docker", "context", "create", "far", "--docker", endpoint], check=True, capture_output=True)
    with swarmd("docker --context far") as running:
        half_closes(running.host)
    subprocess.run(["docker", "context", "use", "far"], check=True, capture_output=True)
    with swarmd("docker") as running:
        assert docker(running.host, "version").returncode == 0
    with ExitStack() as stack:
        with monkeypatch.context() as patched:  # for swarmd, not for the docker CLI
            patched.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{tls_port}")
            patched.setenv("DOCKER_TLS_VERIFY", "1")
            patched.setenv("DOCKER_CERT_PATH", str(certificates))
            running = stack.enter_context(swarmd("docker"))
        assert docker(running.host, "version").returncode == 0


@needs_engine
def test_ssh_to_a_machine_without_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    with sshd(tmp_path) as port:
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
        with swarmd(f"docker ssh://{user}@127.0.0.1:{port}/no/such.sock") as running:
            refused = docker(running.host, "ps").stderr.decode()
            assert "there is no socket /no/such.sock on this machine: is an engine running there?" in refused


@needs_engine
def test_ssh(engines: tuple[Engine, Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    with sshd(tmp_path) as port:
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
        with swarmd(f"docker ssh://{user}@127.0.0.1:{port}{engines[0].socket}") as running:
            half_closes(running.host)
            version = docker(running.host, "version", "-f", "{{json .Server.Version}}", check=True).stdout
            assert json.loads(version)
            one_login_serves_many_streams(running)
            assert len(ssh_of(running)) == 1
            for pid in ssh_of(running):
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not ssh_of(running), "ssh is gone")
            assert docker(running.host, "ps").returncode == 0, "it is started again"
            [last] = ssh_of(running)
        assert not Path(f"/proc/{last}").exists(), "it ends with swarmd"
        with swarmd(f"docker ssh://{user}@127.0.0.1:{free_port()}/run/docker.sock") as running:
            refused = docker(running.host, "ps")
            assert refused.returncode == 1
            assert b"engine ssh://" in refused.stderr
            assert b"Connection refused" in refused.stderr
        with swarmd(f"docker ssh://nobody@127.0.0.1:{port}") as running:
            assert b"Permission denied" in docker(running.host, "ps").stderr


def ssh_of(running: Swarmd) -> list[int]:
    """The ssh processes that a swarmd has started."""
    found = subprocess.run(["pgrep", "-P", str(running.process.pid), "ssh"], capture_output=True, text=True).stdout
    return [int(pid) for pid in found.split()]


def one_login_serves_many_streams(running: Swarmd) -> None:
    """More streams at once than sshd would take sessions on one connection."""
    docker(running.host, "run", "-d", "--name", "far", "busybox", "sh", "-c", "echo up; exec sleep 1000", check=True)
    try:
        with ExitStack() as stack:
            for _ in range(15):
                following = stack.enter_context(docker_process(running.host, "logs", "-f", "far"))
                assert following.stdout is not None
                assert following.stdout.readline() == b"up\n"
    finally:
        docker(running.host, "rm", "-f", "far", check=True)


async def test_a_named_pipe_needs_windows() -> None:
    async with Chain(Docker("npipe:////./pipe/docker_engine")).open() as sender:
        with pytest.raises(Unavailable, match=r"//\./pipe/docker_engine is a named pipe of Windows"):
            await Client(sender).ls()


def contexts(certificates: Path, newest: ssl.TLSVersion) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates / "ca.pem"))
    server.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    client = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    client.maximum_version = newest
    return server, client


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("first_read", [10, 100_000])
async def test_what_came_before_a_half_close_is_still_read(
    first_read: int, newest: ssl.TLSVersion, certificates: Path
) -> None:
    server, client = contexts(certificates, newest)
    near, far = memory_stream_pair()
    data = secrets.token_bytes(200_000)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            accepted: list[TlsStream] = []

            async def accept() -> None:
                accepted.append(await TlsStream.handshake(far, server, server=True))

            nursery.start_soon(accept)
            reading = await TlsStream.handshake(near, client, "localhost")
        await accepted[0].send_all(data)
        await accepted[0].send_eof()
        assert not reading.unread
        received = await reading.receive_some(first_read)
        assert reading.unread or first_read > 10
        await reading.send_eof()
        while part := await reading.receive_some():
            received += part
        assert received == data


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_either_side_of_tls_may_end_its_half_first(newest: ssl.TLSVersion, certificates: Path) -> None:
    server, client = contexts(certificates, newest)
    near, far = memory_stream_pair()
    data = secrets.token_bytes(200_000)

    async def serve() -> None:
        async with await TlsStream.handshake(far, server, server=True) as stream:
            received = b"".join([bytes(part) async for part in stream])
            await stream.send_all(received[::-1])
            await stream.send_eof()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            async with await TlsStream.handshake(near, client, "localhost") as stream:
                await stream.send_all(data)
                await stream.send_eof()
                assert b"".join([bytes(part) async for part in stream]) == data[::-1]
