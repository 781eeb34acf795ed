"""The same raw request, directly and through `dockerserver | docker`, has the same answer: status, headers and body."""

import gzip
import io
import json
import re
import socket
import tarfile
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse

import docker as sdk
import pytest

from swarmlib import Verb
from swarmlib_backends.dockerapi.rows import ROWS, Kind
from tests.support.engines import Engine, Swarmd, docker, engine, swarmd

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def one() -> Iterator[tuple[Engine, Swarmd]]:
    """An engine with one of each kind of object, and the gateway before it."""
    with engine() as started, swarmd(f"docker {started.host}") as gateway:
        docker(started.host, "swarm", "init", "--advertise-addr", "127.0.0.1", check=True)
        docker(started.host, "run", "-d", "--name", "thing", "busybox", "sh", "-c", "echo line; sleep 1000", check=True)
        docker(started.host, "volume", "create", "thing", check=True)
        docker(started.host, "network", "create", "thing", check=True)
        docker(started.host, "tag", "busybox", "thing", check=True)
        for kind in ("config", "secret"):
            docker(started.host, kind, "create", "thing", "-", input=b"data", check=True)
        yield started, gateway


class UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self._path)


def ask(connection: HTTPConnection, method: str, target: str, body: str | None) -> tuple[int, dict[str, str], bytes]:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    with closing(connection):
        connection.request(method, target, body, headers)
        response: HTTPResponse = connection.getresponse()
        seen = {name.lower(): value for name, value in response.getheaders()}
        return response.status, seen, response.read()


def connections(one: tuple[Engine, Swarmd]) -> tuple[HTTPConnection, HTTPConnection]:
    """One directly, and one through the gateway."""
    return UnixConnection(str(one[0].socket)), HTTPConnection("127.0.0.1", one[1].port, timeout=30)


def both(one: tuple[Engine, Swarmd], method: str, target: str, body: str | None = None) -> None:
    direct, through = (ask(connection, method, target, body) for connection in connections(one))
    assert through[0] == direct[0]
    assert _steady_headers(through[1]) == _steady_headers(direct[1])
    assert _steady(through[2]) == _steady(direct[2])


def _steady_headers(headers: dict[str, str]) -> dict[str, str]:
    """Without the time, and what is each connection's own: its end, and how a body's end is marked."""
    unsteady = {"date", "content-length", "transfer-encoding", "connection"}
    return {name: value for name, value in headers.items() if name not in unsteady}


def _steady(body: bytes) -> object:
    """The body without what changes from one moment to the next."""
    try:
        value = json.loads(body)
    except ValueError:
        return body
    if isinstance(value, list):  # an engine lists some things in no order
        value = sorted(value, key=lambda item: json.dumps(item, sort_keys=True))
    text = json.dumps(value, sort_keys=True)
    text = re.sub(r'"\d+", "(\d\d:\d\d)"', r'"CPU", "\1"', text)
    text = re.sub(r'"(SystemTime|NFd|NGoroutines|Status|LastTagTime|Version)": [^,}]*', "", text)
    return re.sub(r"\d+ (seconds?|minutes?) ago", "", text)


_READS = [
    row
    for row in ROWS
    if row.method in ("GET", "HEAD") and row.kind in (Kind.VALUE, Kind.STREAM) and row.verb is not Verb.CONNECT
]


@pytest.mark.parametrize("row", _READS, ids=lambda row: row.name)
def test_every_read_of_the_table(row: object, one: tuple[Engine, Swarmd]) -> None:
    assert isinstance(row, type(ROWS[0]))
    template = row.template.replace("{id}", "thing").replace("{name}", "thing")
    query = {"ContainerArchive": "?path=/etc", "ContainerArchiveInfo": "?path=/etc", "ImageGetAll": "?names=thing"}
    both(one, row.method, f"/v1.41{template}{query.get(row.name, '')}")


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/v1.41/containers/nosuch/json", None),
        ("GET", "/v1.41/containers/thing/logs?stdout=1&tail=1", None),
        ("GET", "/v9.9/info", None),
        ("GET", "/v1.1/info", None),
        ("GET", "/info", None),
        ("POST", "/v1.41/containers/create", "{}"),
        ("POST", "/v1.41/containers/create?name=thing", '{"Image": "busybox"}'),
        ("POST", "/v1.41/containers/create", '{"Image": "nosuch"}'),
        ("POST", "/v1.41/containers/thing/start", None),
        ("POST", "/v1.41/containers/thing/rename?name=thing", None),
        ("POST", "/v1.41/exec/nosuch/start", "{}"),
        ("POST", "/v1.41/images/create?fromImage=nosuch/nosuch", None),
        ("DELETE", "/v1.41/containers/thing", None),
        ("DELETE", "/v1.41/networks/bridge", None),
        ("DELETE", "/v1.41/images/nosuch", None),
        ("GET", "/v1.41/nosuch", None),
        ("PATCH", "/v1.41/info", None),
        ("HEAD", "/v1.41/containers/thing/archive?path=/nosuch", None),
        ("HEAD", "/_ping", None),
    ],
)
def test_errors_and_odd_requests(method: str, target: str, body: str | None, one: tuple[Engine, Swarmd]) -> None:
    both(one, method, target, body)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/v1.41/containers/json?filters=oops", None),
        ("GET", "/v1.41/containers/json?limit=oops", None),
        ("POST", "/v1.41/containers/create", "{oops"),
        ("POST", "/v1.41/containers/create", '{"Image": 5}'),
    ],
)
def test_what_can_not_be_read_is_the_clients_fault(
    method: str, target: str, body: str | None, one: tuple[Engine, Swarmd]
) -> None:
    """The gateway refuses it before an engine sees it: with 400, for which this engine says 500."""
    statuses: list[int] = []
    for connection in connections(one):
        with closing(connection):
            connection.request(method, target, body, {"Content-Type": "application/json"} if body else {})
            statuses.append(connection.getresponse().status)
    assert statuses == [500, 400]


def test_an_archive_is_compressed_for_who_takes_it_so(one: tuple[Engine, Swarmd]) -> None:
    found: list[tuple[str | None, list[str]]] = []
    for connection in connections(one):
        with closing(connection):
            target = "/v1.41/containers/thing/archive?path=/bin/busybox"
            connection.request("GET", target, headers={"Accept-Encoding": "gzip"})
            response = connection.getresponse()
            with tarfile.open(fileobj=io.BytesIO(gzip.decompress(response.read()))) as tar:
                found.append((response.getheader("Content-Encoding"), tar.getnames()))
    assert found == [("gzip", ["busybox"])] * 2


def test_a_compressed_upload_is_unpacked(one: tuple[Engine, Swarmd]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("packed"))
    for connection in connections(one):
        with closing(connection):
            connection.request("PUT", "/v1.41/containers/thing/archive?path=/tmp", buffer.getvalue())
            assert connection.getresponse().status == 200
        docker(one[0].host, "exec", "thing", "rm", "/tmp/packed", check=True)


def raw(connection: HTTPConnection, sent: bytes) -> bytes:
    """What comes back until the other side ends it, or for `101` until it has said so."""
    with closing(connection):
        connection.connect()
        connection.sock.sendall(sent)
        received = b""
        while part := connection.sock.recv(65536):
            received += part
        return received


def without_date(received: bytes) -> list[bytes]:
    return sorted(line for line in received.splitlines() if not line.lower().startswith(b"date:"))


END = b"Host: localhost\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        # Chunks, with an extension and a trailer.
        b"POST /v1.41/volumes/create HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
        b"Trailer: X-Sum\r\n" + END + b'\r\n8;a=b\r\n{"Name":\r\n8\r\n"thing"}\r\n0\r\nX-Sum: 1\r\n\r\n',
        b"HEAD /_ping HTTP/1.1\r\n" + END + b"\r\n",
        # One behind the other.
        b"GET /_ping HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3 + b"GET /_ping HTTP/1.1\r\n" + END + b"\r\n",
        b"POST /v1.41/volumes/create HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 16\r\n"
        b"Expect: 100-continue\r\n" + END + b'\r\n{"Name":"thing"}',
    ],
    ids=["chunks", "HEAD", "pipelined", "100-continue"],
)
def test_raw_requests(sent: bytes, one: tuple[Engine, Swarmd]) -> None:
    direct, through = (without_date(raw(connection, sent)) for connection in connections(one))
    assert through == direct


def test_a_body_that_is_not_called_json_is_refused_in_an_engines_words(one: tuple[Engine, Swarmd]) -> None:
    head = b"POST /v1.41/volumes/create HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n"
    direct, through = (raw(connection, head + END + b"\r\n{}") for connection in connections(one))
    assert through.partition(b"\r\n")[0] == direct.partition(b"\r\n")[0]
    assert through.partition(b"\r\n\r\n")[2] == direct.partition(b"\r\n\r\n")[2]


def test_the_docker_sdk_for_python(one: tuple[Engine, Swarmd]) -> None:
    with closing(sdk.DockerClient(base_url=one[1].host)) as client:
        assert client.ping()
        assert client.containers.run("busybox", "echo hello", remove=True) == b"hello\n"
        thing = client.containers.get("thing")
        assert thing.logs() == b"line\n"
        assert thing.exec_run(["sh", "-c", "echo there; exit 3"]) == (3, b"there\n")
        assert [each.name for each in client.containers.list()] == ["thing"]
        assert client.volumes.get("thing").name == "thing"
        with pytest.raises(sdk.errors.NotFound):
            client.containers.get("nosuch")
        with pytest.raises(sdk.errors.ImageNotFound):
            client.images.get("nosuch")
