"""TLS: strict verifiers accept our certificates, wrong peers are refused in words and in the log, and every piece of
material that can't be used is named."""

import shutil
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from swarmlib import Invalid
from swarmlib.net.tls import client_context, server_context
from tests.support.engines import Swarmd, free_port, swarmd, wait_until

SWARMD = [sys.executable, "-W", "error", "-m", "swarmd"]
REQUEST = b"GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def made(folder: Path) -> Path:
    subprocess.run([*SWARMD, "certs", str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The material of another authority that has the same name."""
    return made(tmp_path_factory.mktemp("others"))


@pytest.fixture(scope="module")
def server(ours: Path) -> Iterator[Swarmd]:
    material = f"--tlscacert {ours}/ca.pem --tlscert {ours}/server-cert.pem --tlskey {ours}/server-key.pem"
    with swarmd("simulator", listen=f"--tlsverify {material}") as running:
        yield running


def trusting(folder: Path, cert: str = "", key: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN  # Python 3.13's defaults
    if cert:
        context.load_cert_chain(folder / cert, folder / key)
    return context


def ask(server: Swarmd, context: ssl.SSLContext) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", server.port), 10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        stream.sendall(REQUEST)
        return b"".join(iter(lambda: stream.recv(65536), b""))


def logged(server: Swarmd, words: str) -> Callable[[], bool]:
    return lambda: words in server.log.read_text()


def test_a_strict_verifier_accepts_every_certificate(ours: Path, server: Swarmd) -> None:
    for name in ("ca", "server-cert", "cert"):
        command = ["openssl", "verify", "-x509_strict", "-CAfile", ours / "ca.pem", ours / f"{name}.pem"]
        assert subprocess.run(command, capture_output=True, text=True).stdout.endswith(f"{name}.pem: OK\n")
    assert ask(server, trusting(ours, "cert.pem", "key.pem")).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("cert", "key", "alert"),
    [
        pytest.param("", "", "certificate required", id="none"),
        pytest.param("server-cert.pem", "server-key.pem", "alert", id="a server's certificate as a client's"),
    ],
)
def test_a_client_without_a_clients_certificate_is_refused(
    ours: Path, server: Swarmd, cert: str, key: str, alert: str
) -> None:
    with pytest.raises(ssl.SSLError, match=alert):
        ask(server, trusting(ours, cert, key))
    wait_until(logged(server, "refused ip:127.0.0.1: the TLS handshake failed"), "the refusal in the log")
    assert ask(server, trusting(ours, "cert.pem", "key.pem")).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_certificate_of_another_authority_with_the_same_name_is_refused(
    ours: Path, others: Path, server: Swarmd
) -> None:
    stranger = trusting(ours)
    stranger.load_cert_chain(others / "cert.pem", others / "key.pem")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        ask(server, stranger)


def test_plain_http_gets_a_sentence_and_a_warning_in_the_log(server: Swarmd) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.port), 10)) as plain:
        plain.sendall(REQUEST)
        answer = b"".join(iter(lambda: plain.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert answer.endswith(b"\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
    wait_until(logged(server, "the peer speaks plain HTTP"), "the refusal in the log")


def test_health_checks_on_the_tls_port_are_neither_logged_nor_fatal(ours: Path, server: Swarmd) -> None:
    before = server.log.read_text()
    for linger in (struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)):  # by RST, and by FIN
        for _ in range(200):
            with closing(socket.create_connection(("127.0.0.1", server.port), 10)) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert ask(server, trusting(ours, "cert.pem", "key.pem")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert server.log.read_text() == before


def test_listen_answers_plain_http_in_words_too_and_logs_whose_it_was(ours: Path, tmp_path: Path) -> None:
    port = free_port()
    url = f"listen tls://127.0.0.1:{port} --ca {ours}/ca.pem --cert {ours}/server-cert.pem --key {ours}/server-key.pem"
    answer, log = b"", tmp_path / "log"
    with log.open("wb") as written:
        process = subprocess.Popen([*SWARMD, url, "simulator"], stderr=written)

    def answers() -> bool:
        nonlocal answer
        with suppress(ConnectionRefusedError), closing(socket.create_connection(("127.0.0.1", port), 10)) as plain:
            plain.sendall(REQUEST)
            answer = plain.recv(65536)
        return bool(answer)

    try:
        wait_until(answers, "listen", process)
        assert answer.startswith(b"HTTP/1.0 400 Bad Request\r\n")
        refused = "listen: refused ip:127.0.0.1: the TLS handshake failed: the peer speaks plain HTTP"
        wait_until(lambda: refused in log.read_text(), "the refusal in the log")
    finally:
        process.terminate()
        assert process.wait(20) == 143


FILES = ("ca.pem", "server-cert.pem", "server-key.pem")


@pytest.mark.parametrize("missing", FILES)
def test_the_file_that_is_missing_is_the_one_that_is_named(ours: Path, tmp_path: Path, missing: str) -> None:
    folder = shutil.copytree(ours, tmp_path / "some")
    (folder / missing).unlink()
    ca, cert, key = (str(folder / name) for name in FILES)
    for context in (lambda: server_context(cert, key, ca), lambda: client_context(ca, cert, key)):
        with pytest.raises(Invalid) as caught:
            context()
        assert caught.value.message == f"can't read the TLS file {folder / missing}: No such file or directory"


def test_material_that_is_no_material_is_named(ours: Path, others: Path, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    cert, key = str(ours / "server-cert.pem"), str(ours / "server-key.pem")
    with pytest.raises(Invalid, match=rf"the key {others}/key\.pem does not belong to the certificate {cert}"):
        server_context(cert, str(others / "key.pem"))
    with pytest.raises(Invalid, match=rf"the certificate {nothing} or its key {key} is not valid PEM"):
        server_context(str(nothing), key)
    with pytest.raises(Invalid, match=rf"the authority's certificate {nothing} is not valid PEM"):
        server_context(cert, key, str(nothing))


def test_an_encrypted_key_is_refused_rather_than_asked_for_on_the_terminal(ours: Path, tmp_path: Path) -> None:
    encrypted = tmp_path / "encrypted.pem"
    command = ["openssl", "pkcs8", "-topk8", "-passout", "pass:x", "-in", ours / "server-key.pem", "-out", encrypted]
    subprocess.run(command, check=True)
    with pytest.raises(Invalid, match="the key is encrypted"):
        server_context(str(ours / "server-cert.pem"), str(encrypted))
