"""Conversations (attach, exec, BuildKit's session) begin, and are refused, through a gateway as an engine does it."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest

from tests.support.engines import Engine, docker, swarmd

pytestmark = pytest.mark.engine

UPGRADES = {
    "an upgrade": b"Connection: Upgrade\r\nUpgrade: tcp\r\n",
    "Upgrade without Connection": b"Upgrade: tcp\r\n",
    "Connection without Upgrade": b"Connection: Upgrade\r\n",
    "none": b"",
}
CHUNKS = b"Transfer-Encoding: chunked\r\n"
"""What docker-modem says of a body, without sending any chunk."""
JSON = b"Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def ways(engines: tuple[Engine, Engine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The sockets of an engine with a container named talk, and of gateways to it."""
    first, second = engines
    folder = tmp_path_factory.mktemp("hijack")
    chains = {"docker": f"docker {first.host}", "balance": f'balance "docker {first.host}" "docker {second.host}"'}
    with ExitStack() as stack:
        docker(first.host, "run", "-d", "--name", "talk", "busybox", "sh", "-c", "echo hi; sleep 1000", check=True)
        stack.callback(docker, first.host, "rm", "-f", "talk", check=True)
        for name, stage in chains.items():
            stack.enter_context(swarmd(stage, listen=f"unix://{folder}/{name}"))
        yield {"engine": str(first.socket)} | {name: f"{folder}/{name}" for name in chains}


def ask(path: str, method: str, target: str, headers: bytes, body: bytes = b"", wanted: bytes = b"") -> bytes:
    """The response to a request, up to its end or what is wanted of it."""
    got = b""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(path)
        sock.sendall(f"{method} {target} HTTP/1.1\r\nHost: docker\r\n".encode() + headers + b"\r\n" + body)
        while not (wanted and wanted in got) and (data := sock.recv(65536)):
            got += data
    return got


def seen(response: bytes) -> tuple[int, bytes | None, bytes | None, bytes]:
    """What a client looks at: the status, the type, the protocol, the body."""
    head, _, body = response.partition(b"\r\n\r\n")
    values = [re.search(rb"(?i)\r\n%s: ([^\r]*)" % name, head) for name in (b"content-type", b"upgrade")]
    kind, protocol = (value and value[1] for value in values)
    return int(head.split()[1]), kind, protocol, body


def new_exec(path: str, command: list[str], **fields: object) -> str:
    body = json.dumps({"Cmd": command, "AttachStdout": True, **fields}).encode()
    made = ask(
        path, "POST", "/containers/talk/exec", JSON + b"Connection: close\r\nContent-Length: %d\r\n" % len(body), body
    )
    return str(json.loads(made.partition(b"\r\n\r\n")[2])["Id"])


@pytest.mark.parametrize("way", ["docker", "balance"])
@pytest.mark.parametrize("chunks", [b"", CHUNKS], ids=["", "chunks"])
@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize(
    "target",
    [
        "/containers/nope/attach?stream=1&stdout=1",
        "/containers/talk/attach?stream=1&stdout=1&detachKeys=ctrl-A,a",
        "/containers/talk/attach?logs=1&stdout=1",
    ],
)
def test_an_attach_is_answered_as_by_an_engine(
    ways: dict[str, str], way: str, chunks: bytes, upgrade: bytes, target: str
) -> None:
    """Also an error is: as text on the stream, so that `docker run --detach-keys` can say what is wrong with them."""
    expected, found = (seen(ask(ways[name], "POST", target, upgrade + chunks)) for name in ("engine", way))
    assert found == expected
    assert b"hi" in found[3] or b"No such container: nope" in found[3] or b"Invalid detach keys" in found[3]


@pytest.mark.parametrize("way", ["engine", "docker", "balance"])
@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize(
    ("headers", "body"),
    [(b"Content-Length: 2\r\n", b"{}"), (CHUNKS, b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n")],
    ids=["a length", "chunks"],
)
def test_an_exec_is_started_whatever_frames_its_body(
    ways: dict[str, str], way: str, upgrade: bytes, headers: bytes, body: bytes
) -> None:
    made = new_exec(ways[way], ["echo", "said"])
    status, kind, protocol, stream = seen(ask(ways[way], "POST", f"/exec/{made}/start", JSON + upgrade + headers, body))
    asked = b"Upgrade:" in upgrade
    assert (status, protocol) == ((101, b"tcp") if asked else (200, None))
    assert kind == b"application/vnd.docker.raw-stream"
    assert stream[8:] == b"said\n"


@pytest.mark.parametrize("way", ["engine", "docker", "balance"])
def test_an_exec_is_resized_immediately_after_its_start(ways: dict[str, str], way: str) -> None:
    made = new_exec(ways[way], ["sleep", "1000"], Tty=True)
    close = b"Connection: close\r\n"
    start = b'{"Detach":true,"Tty":true}'
    ask(ways[way], "POST", f"/exec/{made}/start", JSON + close + b"Content-Length: %d\r\n" % len(start), start)
    assert seen(ask(ways[way], "POST", f"/exec/{made}/resize?h=40&w=100", close))[0] == 200


@pytest.mark.parametrize("way", ["engine", "docker"])
@pytest.mark.parametrize(
    "upgrade", [b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Upgrade: h2c\r\n"], ids=["both", "one"]
)
@pytest.mark.parametrize("chunks", [b"", CHUNKS], ids=["", "chunks"])
def test_a_session_begins(ways: dict[str, str], way: str, upgrade: bytes, chunks: bytes) -> None:
    named = b"X-Docker-Expose-Session-Uuid: %s\r\n" % uuid4().hex.encode()
    got = ask(ways[way], "POST", "/session", upgrade + chunks + named, wanted=b"PRI * HTTP/2.0")
    assert seen(got)[0] == 101
    assert b"PRI * HTTP/2.0" in got
