"""dockerserver over TLS and by socket activation, with the real docker CLI; and `swarmd certs`."""

import json
import os
import secrets
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.support.engines import Engine, Swarmd, docker, swarmd

pytestmark = pytest.mark.engine

SWARMD = [sys.executable, "-W", "error", "-m", "swarmd"]
FILES = ["ca.pem", "ca-key.pem", "server-cert.pem", "server-key.pem", "cert.pem", "key.pem"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs") / "new"
    made = subprocess.run([*SWARMD, "certs", str(folder), "10.0.0.1", "swarm.test"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines() == [str(folder / name) for name in FILES]
    return folder


def server_options(folder: Path) -> str:
    material = {"tlscacert": "ca", "tlscert": "server-cert", "tlskey": "server-key"}
    return " ".join(["--tlsverify", *(f"--{option} {folder}/{file}.pem" for option, file in material.items())])


def client_options(folder: Path) -> list[str]:
    material = {"tlscacert": "ca", "tlscert": "cert", "tlskey": "key"}
    return ["--tlsverify", *(f"--{option}={folder}/{file}.pem" for option, file in material.items())]


def test_keys_are_their_owners_and_names_are_in_the_certificate(certificates: Path) -> None:
    modes = {name: stat.S_IMODE((certificates / name).stat().st_mode) for name in FILES}
    assert {name for name, mode in modes.items() if mode == 0o600} == {name for name in FILES if "key" in name}
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-text", "-in", certificates / "server-cert.pem"], capture_output=True, text=True
    ).stdout
    for name in ("DNS:localhost", "IP Address:127.0.0.1", "IP Address:10.0.0.1", "DNS:swarm.test"):
        assert name in shown
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", certificates / "ca.pem", certificates / "cert.pem"]
    assert subprocess.run(verify, capture_output=True).returncode == 0


def test_nothing_is_overwritten(certificates: Path) -> None:
    before = (certificates / "ca.pem").read_bytes()
    again = subprocess.run([*SWARMD, "certs", str(certificates)], capture_output=True, text=True)
    assert again.returncode == 2
    assert "File exists" in again.stderr
    assert (certificates / "ca.pem").read_bytes() == before


def test_a_client_may_have_a_name_of_its_own_also_later(certificates: Path) -> None:
    def make(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*SWARMD, "certs", str(certificates), *words], capture_output=True, text=True)

    before = (certificates / "ca.pem").read_bytes()
    assert make("--client", "laptop").stdout.split() == [
        f"{certificates}/laptop-{kind}.pem" for kind in ("cert", "key")
    ]
    assert (certificates / "ca.pem").read_bytes() == before
    verify = ["openssl", "verify", "-CAfile", certificates / "ca.pem", certificates / "laptop-cert.pem"]
    assert subprocess.run(verify, capture_output=True).returncode == 0
    assert stat.S_IMODE((certificates / "laptop-key.pem").stat().st_mode) == 0o600
    for name, problem in (("laptop", "File exists"), ("../x", "invalid client name"), ("", "invalid client name")):
        refused = make("--client", name)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert problem in refused.stderr


def test_what_is_no_authority_is_named(tmp_path: Path) -> None:
    for name in ("ca.pem", "ca-key.pem"):
        (tmp_path / name).write_text("nothing")
    refused = subprocess.run([*SWARMD, "certs", str(tmp_path), "--client", "x"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert f"{tmp_path}/ca.pem and {tmp_path}/ca-key.pem are not a valid authority" in refused.stderr


@pytest.fixture(scope="module")
def secured(certificates: Path) -> Iterator[Swarmd]:
    with swarmd("exec", listen=server_options(certificates)) as running:
        yield running


def test_a_client_with_a_certificate_is_served_and_half_closes(secured: Swarmd, certificates: Path) -> None:
    data = secrets.token_bytes(300_000)
    options = client_options(certificates)
    done = docker(secured.host, *options, "run", "--rm", "-i", "any", "cat", input=data)
    assert (done.returncode, done.stdout == data) == (0, True), done.stderr
    assert docker(secured.host, *options, "run", "--rm", "any", "sh", "-c", "exit 7").returncode == 7


def test_a_client_without_one_is_refused_and_harms_nobody(secured: Swarmd, certificates: Path) -> None:
    no_certificate = docker(secured.host, "--tlsverify", f"--tlscacert={certificates}/ca.pem", "ps")
    assert no_certificate.returncode == 1
    assert b"certificate required" in no_certificate.stderr
    assert docker(secured.host, "ps").returncode == 1
    with closing(socket.create_connection(("127.0.0.1", secured.port))) as stalled:
        stalled.sendall(b"\x16\x03\x01")
        assert docker(secured.host, *client_options(certificates), "ps").returncode == 0


def test_half_close_over_tls_reaches_an_engine(engines: tuple[Engine, Engine], certificates: Path) -> None:
    data = secrets.token_bytes(300_000)
    with swarmd(f"docker {engines[0].host}", listen=server_options(certificates)) as running:
        done = docker(running.host, *client_options(certificates), "run", "--rm", "-i", "busybox", "cat", input=data)
    assert (done.returncode, done.stdout == data) == (0, True), done.stderr


def test_sockets_are_inherited_as_from_systemd(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(path))
        sock.listen()
        command = ["sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', "sh", *SWARMD, "dockerserver fd://", "exec"]
        third = partial(os.dup2, sock.fileno(), 3)
        running = subprocess.Popen(command, preexec_fn=third, pass_fds=[3], stderr=subprocess.DEVNULL)
        try:
            assert docker(f"unix://{path}", "run", "--rm", "any", "echo", "hello", check=True).stdout == b"hello\n"
        finally:
            running.terminate()
            assert running.wait(20) == 143
        assert path.exists()
    without = subprocess.run([*SWARMD, "dockerserver fd://", "exec"], capture_output=True, text=True, env=os.environ)
    assert without.returncode == 1
    assert "this process was started without sockets" in without.stderr


def callers(running: Swarmd) -> set[str]:
    """Who `debug --json` says has asked."""
    lines = [json.loads(line) for line in running.log.read_text().splitlines() if line.startswith("{")]
    return {line["caller"] for line in lines if "verb" in line}


def test_a_request_says_who_asks(certificates: Path, engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    with swarmd("debug --json", f"docker {engines[0].host}", listen=f"unix://{tmp_path}/s") as running:
        docker(running.host, "ps", check=True)
        assert callers(running) == {"ip:127.0.0.1"}
        docker(f"unix://{tmp_path}/s", "ps", check=True)
        assert callers(running) == {"ip:127.0.0.1", f"uid:{os.getuid()}"}
    with swarmd("debug --json", "exec", listen=server_options(certificates)) as running:
        docker(running.host, *client_options(certificates), "ps", check=True)
        assert callers(running) == {"cert:client"}
