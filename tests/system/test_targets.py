"""What clients send to an engine as a target has the same answer through a gateway, over the wire and balanced."""

import io
import os
import re
import socket
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote

import docker as sdk
import pytest

from tests.support.engines import Engine, docker, swarmd
from tests.support.processes import Swarmd

pytestmark = pytest.mark.engine

ODD = b"/tmp/caf\xe9 \xc3\xa9+%"
"""The path of a file whose name is Latin-1 in its one part, and UTF-8 in the other."""


@pytest.fixture(scope="module")
def ways(engines: tuple[Engine, Engine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The sockets of an engine with a container named web, and of gateways to it."""
    first, second = engines
    folder = tmp_path_factory.mktemp("ways")
    chains = {
        "docker": [f"docker {first.host}"],
        "balance": [f'balance "docker {first.host}" "docker {second.host}"'],
        "wire": [f"remote unix://{folder}/far"],
    }
    with ExitStack() as stack:
        docker(first.host, "run", "-d", "--name", "web", "busybox", "sleep", "1000", check=True)
        stack.callback(docker, first.host, "rm", "-f", "web", check=True)
        stack.enter_context(Swarmd(f"listen unix://{folder}/far", f"docker {first.host}", errors=folder / "log"))
        for name, stages in chains.items():
            stack.enter_context(swarmd(*stages, listen=f"unix://{folder}/{name}"))
        yield {"engine": str(first.socket)} | {name: f"{folder}/{name}" for name in chains}


def ask(path: str, method: str, target: bytes, body: bytes = b"", *headers: bytes) -> tuple[int, bytes | None, bytes]:
    """The status, the Location and the body of the answer to a raw request."""
    lines = [b"%s %s HTTP/1.1" % (method.encode(), target), b"Host: docker", b"Connection: close", *headers]
    lines += [b"Content-Length: %d" % len(body)] if body else []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(path)
        sock.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        got = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, content = got.partition(b"\r\n\r\n")
    location = re.search(rb"(?i)\r\nlocation: ([^\r]*)", head)
    return int(head.split()[1]), location and location[1], content


TARGETS = [
    *(b"/_ping", b"http://docker/_ping", b"HTTP://docker:80/v1.41/_ping?a", b"/%5fping"),
    *(b"//_ping", b"/v1.41//containers/web/json?size=1", b"/containers/../_ping", b"/containers/%2e/json", b"//a/%09/"),
    *(b"/networks/", b"/networks/nope/", b"/volumes/", b"/containers/web/", b"/containers/json/", b"/", b"/v1.41/"),
    *(
        b"/v1.41.0/_ping",
        b"/v1/_ping",
        b"/v1./_ping",
        b"/v.41/_ping",
        b"/v1.40.1/_ping",
        b"/v1.41.1/_ping",
        b"/vX/_ping",
    ),
    *(b"/containers/caf\xe9/json", "/containers/café/json".encode(), b"/containers/caf%E9/json", b"/volumes/caf%E9"),
    *(b"/containers/json?all=%E9", b"/containers/json?all=\xe9", b"/containers/json?caf%E9=1", b"/containers/json?=1"),
    *(b'/containers/json?filters={"name":["caf%E9"]}', b"/containers/web/archive?path=/tmp/nope%E9"),
    *(b"/containers/web/archive?path=/tmp/nope\xe9", b"/_ping?a=b?c=d", b"/containers/json?&&all=1&", b"/_ping#x"),
]


@pytest.mark.parametrize("way", ["docker", "balance", "wire"])
@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_a_target_has_an_engines_answer(ways: dict[str, str], way: str, target: bytes) -> None:
    expected, found = (ask(ways[name], "GET", target) for name in ("engine", way))
    assert found[:2] == expected[:2]
    if expected[0] == 200 and b"ping" in target:
        assert found[2] == expected[2] == b"OK"


@pytest.mark.parametrize("way", ["docker", "balance", "wire"])
def test_options_are_answered_everywhere(ways: dict[str, str], way: str) -> None:
    for target in (b"/", b"*", b"/containers/json", b"/v1.41/nonesuch"):
        assert ask(ways[way], "OPTIONS", target)[0] == ask(ways["engine"], "OPTIONS", target)[0] == 200


@pytest.mark.parametrize("way", ["engine", "docker", "balance", "wire"])
def test_a_file_whose_name_is_not_utf8_is_copied(ways: dict[str, str], way: str) -> None:
    upload = io.BytesIO()
    with tarfile.open(fileobj=upload, mode="w") as tar:
        info = tarfile.TarInfo(os.path.basename(os.fsdecode(ODD)))
        info.size = 2
        tar.addfile(info, io.BytesIO(b"hi"))
    data = upload.getvalue()
    assert (
        ask(ways[way], "PUT", b"/containers/web/archive?path=/tmp", data, b"Content-Type: application/x-tar")[0] == 200
    )
    target = f"/containers/web/archive?path={quote(ODD)}".encode()
    for method in ("HEAD", "GET"):
        assert ask(ways[way], method, target)[0] == 200
    assert ask(ways[way], "GET", target.replace(b"%E9", b"\xe9"))[0] == 200


@pytest.mark.parametrize("way", ["engine", "docker", "balance", "wire"])
def test_docker_py_takes_a_name_as_an_inspection_gives_it(ways: dict[str, str], way: str) -> None:
    client = sdk.DockerClient(f"unix://{ways[way]}", version="1.41")
    try:
        assert client.containers.get("/web").name == "web"
    finally:
        client.close()


@pytest.mark.parametrize("way", ["engine", "docker", "balance", "wire"])
@pytest.mark.parametrize(
    "extra",
    [
        pytest.param([b"X-Registry-Config: " + b"a" * 200_000], id="a long header"),
        pytest.param([b"A%d: b" % number for number in range(3000)], id="many headers"),
    ],
)
def test_a_head_may_be_as_large_as_for_an_engine(ways: dict[str, str], way: str, extra: list[bytes]) -> None:
    assert ask(ways[way], "GET", b"/containers/json?all=1&pad=" + b"a" * 500_000, b"", *extra)[0] == 200


def test_who_sends_too_large_a_head_reads_why(ways: dict[str, str]) -> None:
    """An engine closes while its client still sends, which then learns of a broken pipe only."""
    assert ask(ways["docker"], "GET", b"/_ping", b"", b"A: " + b"a" * 8_000_000)[0] == 431
