"""`dockerserver | remote` and `listen | docker` on two machines, by the real docker CLI: over TLS, through a cable."""

import io
import os
import secrets
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from swarmd import certs
from tests.support.engines import (
    Engine,
    docker,
    docker_process,
    events_from_now,
    read_until,
    use_a_terminal,
    wait_until,
)
from tests.support.namespaces import Host, two_hosts
from tests.support.processes import Swarmd, served

pytestmark = pytest.mark.engine
PATIENCE = 1.5


@dataclass
class Joined:
    """An endpoint on one machine, for the engine of another."""

    host: str
    near: Swarmd
    far: Swarmd
    hosts: tuple[Host, Host]


@pytest.fixture(scope="module")
def joined(engines: tuple[Engine, Engine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joined]:
    folder = tmp_path_factory.mktemp("across")
    certs.make(folder, ["10.77.0.2"], ["laptop"])
    listen = f"listen tls://10.77.0.2:4244 --ca {folder}/ca.pem --cert {folder}/server-cert.pem"
    remote = f"remote tls://10.77.0.2:4244 --ca {folder}/ca.pem --cert {folder}/laptop-cert.pem"
    patience = f"--keepalive 0.5 --keepalive-timeout {PATIENCE}"
    behind = ("debug", f"docker {engines[0].host}")
    with ExitStack() as stack:
        near, far = stack.enter_context(two_hosts())
        there = f"{listen} --key {folder}/server-key.pem {patience}"
        here = f"{remote} --key {folder}/laptop-key.pem {patience} --max-backoff 0.5"
        serving = stack.enter_context(served(there, *behind, prefix=far.prefix))
        using = stack.enter_context(served(f"dockerserver unix://{folder}/docker.sock", here, prefix=near.prefix))
        yield Joined(f"unix://{folder}/docker.sock", using, serving, (near, far))


@pytest.fixture
def box(joined: Joined) -> Iterator[str]:
    """A running container."""
    docker(joined.host, "run", "-d", "--name", "box", "--network", "none", "busybox", "sleep", "1000", check=True)
    yield "box"
    docker(joined.host, "rm", "-f", "box", check=True)


def test_a_run_is_attached_to_and_half_closed(joined: Joined) -> None:
    data = secrets.token_bytes(3_000_000)
    done = docker(joined.host, "run", "--rm", "-i", "--network", "none", "busybox", "cat", input=data)
    assert (done.returncode, done.stdout == data) == (0, True), done.stderr
    failed = docker(joined.host, "run", "--rm", "--network", "none", "busybox", "sh", "-c", "echo no >&2; exit 7")
    assert (failed.returncode, failed.stderr) == (7, b"no\n")


def test_a_terminal(joined: Joined) -> None:
    use_a_terminal(joined.host, "--network", "none", "busybox", prompt=b"/ # ")


def test_exec(joined: Joined, box: str) -> None:
    data = secrets.token_bytes(300_000)
    done = docker(joined.host, "exec", "-i", box, "cat", input=data)
    assert (done.returncode, done.stdout == data) == (0, True), done.stderr
    assert docker(joined.host, "exec", box, "sh", "-c", "exit 3").returncode == 3


def test_files_are_copied_both_ways(joined: Joined, box: str, tmp_path: Path) -> None:
    data = os.urandom(2_000_000)
    (tmp_path / "in").write_bytes(data)
    docker(joined.host, "cp", str(tmp_path / "in"), f"{box}:/tmp/there", check=True)
    docker(joined.host, "cp", f"{box}:/tmp/there", str(tmp_path / "out"), check=True)
    assert (tmp_path / "out").read_bytes() == data


def test_an_image_is_built(joined: Joined) -> None:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, content in (
            ("Dockerfile", b"FROM busybox\nCOPY word /word\n"),
            ("word", secrets.token_bytes(1_000_000)),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    built = docker(joined.host, "build", "--network", "none", "-t", "across", "-", input=context.getvalue())
    assert built.returncode == 0, built.stderr
    docker(joined.host, "rmi", "across", check=True)
    missing = docker(joined.host, "build", "-", input=b"not a context")
    assert missing.returncode == 1


def test_events_come_as_they_happen(joined: Joined) -> None:
    with events_from_now(joined.host, "--filter", "volume=across", "--format", "{{.Action}}") as events:
        docker(joined.host, "volume", "create", "across", check=True)
        read_until(events.fileno(), b"create\n")
        docker(joined.host, "volume", "rm", "across", check=True)
        read_until(events.fileno(), b"destroy\n")


def test_an_engines_errors_are_its_own(joined: Joined) -> None:
    missing = docker(joined.host, "start", "nosuch")
    assert missing.returncode == 1
    assert b"No such container: nosuch" in missing.stderr


def test_the_certificates_name_is_the_callers(joined: Joined) -> None:
    docker(joined.host, "volume", "ls", check=True)
    wait_until(lambda: "(cert:laptop)" in joined.far.said(), "the call in the log")
    assert "cert:laptop is connected" in joined.far.said()


def test_a_cable_that_is_pulled_out_and_put_back(joined: Joined, box: str) -> None:
    near, _ = joined.hosts
    moment = joined.far.now()
    with docker_process(joined.host, "stop", "--timeout", "60", box) as waiting:  # it waits for one who ignores SIGTERM
        joined.far.wait_for("> stop containers/box", moment)
        near.unplug()
        assert waiting.wait(PATIENCE + 3) == 1, "an open call is answered once the peer is taken for dead"
        assert waiting.stdout is not None
        said = waiting.stdout.read()
        assert f"been silent for {PATIENCE} s" in said.decode(), said
    refused = docker(joined.host, "ps", timeout=2)
    assert refused.returncode == 1
    assert b"tls://10.77.0.2:4244 is not connected" in refused.stderr
    joined.far.wait_for("has disconnected", moment)
    moment = joined.near.now()
    near.plug()
    joined.near.wait_for("is connected", moment)
    assert b"box" in docker(joined.host, "ps", check=True).stdout


def test_a_peer_that_freezes_and_thaws(joined: Joined, box: str) -> None:
    joined.far.freeze()
    with docker_process(joined.host, "ps") as waiting:
        assert waiting.wait(PATIENCE + 3) == 1
    moment = joined.near.now()
    joined.far.thaw()
    joined.near.wait_for("is connected", moment)
    assert docker(joined.host, "ps").returncode == 0


def test_a_slow_cable_carries_all(joined: Joined, box: str) -> None:
    _, far = joined.hosts
    far.slow_down("40mbit")
    data = secrets.token_bytes(4_000_000)
    done = docker(joined.host, "exec", "-i", box, "cat", input=data)
    assert (done.returncode, done.stdout == data) == (0, True), done.stderr
    moment = joined.far.now()
    with docker_process(joined.host, "exec", box, "cat", "/dev/zero", stdout=subprocess.DEVNULL):
        joined.far.wait_for("> connect exec", moment)
        assert docker(joined.host, "ps", timeout=5).returncode == 0, "a stream that fills the cable holds up no call"


def test_a_remote_is_a_member_of_balance_as_any_other(engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    far, near = engines
    listen = f"listen unix://{tmp_path}/far.sock"
    remote = f"a=remote unix://{tmp_path}/far.sock --max-backoff 0.2"
    with ExitStack() as stack:
        there = stack.enter_context(served(listen, f"docker {far.host}"))
        stack.enter_context(
            served(
                f"dockerserver unix://{tmp_path}/all.sock", f"balance ({remote}) (b=docker {near.host}) --deadline 3"
            )
        )
        host = f"unix://{tmp_path}/all.sock"
        for node in "ab":
            run = ("run", "-d", "--name", f"on-{node}", "-e", f"constraint:node=={node}", "--network", "none")
            stack.callback(docker, (far if node == "a" else near).host, "rm", "-f", f"on-{node}")
            docker(host, *run, "busybox", "sleep", "1000", check=True)
        assert names(host) == {"on-a", "on-b"}
        assert docker(host, "exec", "on-a", "echo", "there").stdout == b"there\n"
        there.kill()
        wait_until(lambda: names(host) == {"on-b"}, "balance goes on without it")
        refused = docker(host, "exec", "on-a", "true")
        assert refused.returncode == 1
        stack.enter_context(served(listen, f"docker {far.host}"))
        wait_until(lambda: names(host) == {"on-a", "on-b"}, "it is found again")
        assert docker(host, "exec", "on-a", "echo", "there").stdout == b"there\n"


def names(host: str) -> set[str]:
    """The containers of this test."""
    ours = ("ps", "--filter", "name=on-", "--format", "{{.Names}}")
    return set(docker(host, *ours, check=True).stdout.decode().split())
