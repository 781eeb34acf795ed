"""Secrets stay out of what is kept of requests and replies: debug's lines, recordings, error texts and logs.

Every field, parameter and header of every operation of the Engine API carries a canary, unless it is on the list of
what may be shown; through real sockets, no canary comes out. Then the same with an engine that repeats all that it was
asked in its errors.
"""

import base64
import functools
import json
import os
import re
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import Ack, Error, Json, Log, Meta, NotFound, Request, Set, Verb
from swarmlib_backends import redact, shown
from swarmlib_backends.dockerapi import required
from swarmlib_backends.dockerapi.rows import ROWS, Kind, Row
from swarmlib_backends.recording import Recording, What
from swarmlib_backends.redact_text import without_credentials, without_quotations
from tests.support.engines import wait_until
from tests.support.paths import DATA
from tests.support.processes import Swarmd

DOCUMENTS = [DATA / f"docker-v1.{minor}.yaml" for minor in (41, 56)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="secrets-", dir="/tmp") as path:
        yield Path(path)


NEVER = frozenset(
    """
    AuxiliaryAddresses Author CACert CertIssuerPublicKey Cmd Command Comment CreatedBy Data DriverOpts Entrypoint Env
    HttpProxy HttpsProxy IdentityToken JoinToken JoinTokens Key Labels Manager Options Output Processes PublishContext
    SecurityOpt Segments Shell SigningCACert SigningCAKey StorageOpt Sysctls Test Tmpfs UnlockKey Value VolumeContext
    Worker data email identitytoken password registrytoken runtimeArgs serveraddress username
    """.split()  # noqa: SIM905 - a list of them is a column of 50 lines
)
"""Fields that hold a secret, or may: none of them may ever be on the list of what is shown."""
QUOTING = ("Err", "Error", "Message", "Warning", "Warnings", "error", "message")
"""Fields that are shown as error texts: what they quote is hidden."""
STATES = ("Action", "Status", "status", "stream")
CANARY = re.compile(r"CANARY\d+z")


class Canaries:
    """Numbers each canary, and remembers where it was put. Each is base64, too: some fields must be."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def put(self, place: str) -> str:
        name = f"CANARY{len(self.places):05}z"
        self.places[name] = place
        return name

    def found(self, content: str) -> set[str]:
        """The places of those that are in `content`: as they are, percent-encoded, reversed, or in base64."""
        seen = {self.places[name] for name in CANARY.findall(content)}
        seen |= {f"percent-encoded: {name}" for name in re.findall("%43%41%4E%41%52%59", content, re.IGNORECASE)}
        seen |= {f"in base64: {part}" for part in ENCODED if part in content}
        return seen


def _encoded() -> list[str]:
    """What is the same in the base64 of every text with CANARY in it, for each of the three ways that it may lie."""
    ends = [(0, 8), (2, 9), (3, 10)]  # the characters of which no bit is of what stands before or behind
    return [base64.b64encode(b"x" * n + b"CANARYxxx").decode()[begin:end] for n, (begin, end) in enumerate(ends)]


ENCODED = _encoded()


class Filler:
    """Makes values of the OpenAPI's schemas, with a canary in each text that is not known to be harmless."""

    def __init__(self, document: Path, canaries: Canaries) -> None:
        self.document = yaml.load(document.read_text("utf-8"), yaml.CSafeLoader)
        self._canaries = canaries

    def operation(self, row: Row) -> dict[str, Any]:
        """The operation of a row; empty where this version has none."""
        for path, operations in self.document["paths"].items():
            if re.sub(r"\{\w+\}", "{}", path) == re.sub(r"\{\w+\}", "{}", row.template):
                return operations.get(row.method.lower(), {})
        return {}

    def value(self, schema: dict[str, Any], place: str, name: str = "", depth: int = 0) -> Any:
        while "$ref" in schema:
            schema = self.document["definitions"][schema["$ref"].rpartition("/")[2]]
        for part in schema.get("allOf", ()):
            while "$ref" in part:
                part = self.document["definitions"][part["$ref"].rpartition("/")[2]]
            schema = {**part, **schema, "properties": {**part.get("properties", {}), **schema.get("properties", {})}}
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if depth > 12:
            return None
        if kind == "array":
            return [self.value(schema["items"], place, name, depth + 1) for _ in range(2)]
        if kind == "object":
            return self._object(schema, place, depth, free=name in shown.MAPS)
        if kind != "string":
            return {"integer": 7, "number": 7, "boolean": True}[kind]
        return self._text(schema, place, name)

    def _object(self, schema: dict[str, Any], place: str, depth: int, *, free: bool) -> dict[str, Any]:
        more = schema.get("additionalProperties")
        fields = {
            name: self.value(inner, f"{place}.{name}", name, depth + 1)
            for name, inner in schema.get("properties", {}).items()
        }
        if isinstance(more, dict):
            fields["any.name"] = self.value(more, f"{place}.*", "", depth + 1)
        if free or isinstance(more, dict):  # of which each field has the same type
            return fields
        unknown, below = (self._canaries.put(f"{place}: {what} an unknown field") for what in ("in", "below"))
        return {**fields, "Unheard-Of": {"Name": unknown, "more": [{"Id": below}]}}

    def _text(self, schema: dict[str, Any], place: str, name: str) -> str:
        if schema.get("enum"):
            return str(schema["enum"][0])
        if name in shown.FIELDS or name in STATES[:3]:
            return "harmless"
        canary = self._canaries.put(place)
        if name in QUOTING:
            return f'cannot run "sh -c {canary}" with secret={canary}, {{"Env":["A={canary}"]}}'
        return {"Env": f"DB_PASS={canary}", "SecurityOpt": f"seccomp={canary}"}.get(name, canary)


class FakeEngine:
    """An engine that answers each row with what the test made for it, or with an error that repeats the request."""

    def __init__(self, path: Path) -> None:
        self.answers: dict[tuple[str, str], bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.repeats = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(100)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while (request := read_message(connection)) is not None:
                connection.sendall(self._answer(*request))
                if any(word in request[0].lower() for word in ("connection: close", "chunked", "upgrade: ")):
                    return  # without a look at an upload, as an engine that refuses it

    def _answer(self, head: str, body: bytes) -> bytes:
        method, target, _ = head.split("\r\n")[0].split(" ", 2)
        place = re.sub(r"^/v[\d.]+", "", target.partition("?")[0])
        self.asked.append((method, place))
        if self.repeats:
            return response(400, json.dumps({"message": repeated(head, body)}).encode())
        return self.answers.get((method, place)) or response(404, b'{"message":"page not found"}')


def repeated(head: str, body: bytes) -> str:
    """Everything that was asked, as an engine's error might quote it: as it is, decoded, and in pieces."""
    query = parse_qsl(head.split("\r\n")[0].split(" ")[1].partition("?")[2])
    parts = [value for _, value in query] + [body.decode("utf-8", "replace")]
    with suppress(ValueError):
        parts += leaves(json.loads(body))
    for line in head.split("\r\n")[1:]:
        parts.append(line.partition(": ")[2])
        with suppress(ValueError):
            parts.append(base64.b64decode(parts[-1]).decode())
    return " and ".join(part for part in parts[::-1] if part)[:60_000]


def leaves(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        for each in data.values():
            yield from leaves(each)
    elif isinstance(data, list):
        for each in data:
            yield from leaves(each)
    elif isinstance(data, str):
        yield data


def read_message(connection: socket.socket) -> tuple[str, bytes] | None:
    """A request or response's head, and its body as far as a Content-Length tells; None at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        if not (more := connection.recv(65536)):
            return None
        body += more
    return head.decode("latin-1"), body


def response(status: int, body: bytes, *headers: str, head_only: bool = False) -> bytes:
    fields = ["Api-Version: 1.41", "Content-Type: application/json", *headers, f"Content-Length: {len(body)}"]
    head = "\r\n".join([f"HTTP/1.1 {status} x", *fields, "", ""]).encode()
    return head if head_only else head + body


def place_of(row: Row) -> str:
    return row.template.replace("{id}", "a1").replace("{name}", "a1")


def protocol_of(row: Row) -> str:
    return "websocket" if row.object.endswith("/ws") else "tcp"


NEEDED = {"stdout": "1", "path": "/tmp", "h": "24", "w": "80", "version": "5"}
"""Parameters without which an operation is refused before it is asked for."""


def request_of(row: Row, filler: Filler, canaries: Canaries) -> bytes:
    """A request of a row with canaries in its parameters, headers and body."""
    operation = filler.operation(row)
    query: dict[str, str] = dict([row.when]) if row.when else {"unheard-of": canaries.put(f"{row.name}?unheard-of")}
    body = b""
    headers = {"X-Unheard-Of": canaries.put(f"{row.name}: a header"), "Cookie": canaries.put(f"{row.name}: Cookie")}
    for name in ("X-Registry-Auth", "X-Registry-Config"):
        secret = json.dumps({"password": canaries.put(f"{row.name}: {name}"), "r": {"auth": canaries.put(name)}})
        headers[name] = base64.urlsafe_b64encode(secret.encode()).decode()
    for parameter in operation.get("parameters", ()):
        place = f"{row.name}?{parameter['name']}"
        if parameter["in"] == "body" and not row.upload:
            body = json.dumps(filler.value(parameter["schema"], row.name)).encode()
        elif parameter["name"] in NEEDED:
            query[parameter["name"]] = NEEDED[parameter["name"]]
        elif parameter["in"] == "query" and parameter["type"] == "string":
            query.setdefault(parameter["name"], parameter_text(parameter["name"], place, canaries))
    if row.name == "ContainerRename":
        query["name"] = "b1"
    if not body and required.of_row(row.name) is not None:
        body = b"{}"  # this version of the document does not know the operation
    target = f"{place_of(row)}?{urlencode({name: text for name, text in query.items() if text})}"
    kind = "application/x-tar" if row.upload else "application/json"
    end = {"Connection": "Upgrade", "Upgrade": protocol_of(row)} if row.kind is Kind.HIJACK else {"Connection": "close"}
    fields = {"Host": "x", **headers, "Content-Type": kind, "Content-Length": str(len(body)), **end}
    head = "\r\n".join([f"{row.method} {target} HTTP/1.1", *(f"{name}: {v}" for name, v in fields.items()), "", ""])
    return head.encode() + body


def parameter_text(name: str, place: str, canaries: Canaries) -> str:
    """A parameter's text: a canary where its values are hidden."""
    canary = canaries.put(place)
    special = {
        "filters": json.dumps({"label": [f"swarm.token={canary}"], "unheard-of": [canary]}),
        "buildargs": json.dumps({"DB_PASS": canary}),
        "cachefrom": json.dumps([canary]),
        "outputs": json.dumps([{"Type": "registry", "Attrs": {"name": canary}}]),
        "labels": json.dumps({"users": f"me:{canary}"}),
        "remote": f"https://me:{canary}@example.org/r.git?token={canary}",
    }
    return special.get(name, "" if name in shown.PARAMETERS else canary)


def answer_of(row: Row, filler: Filler, canaries: Canaries) -> bytes:
    """A row's answer, with canaries in its headers and its values."""
    if row.kind is Kind.HIJACK:
        return f"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: {protocol_of(row)}\r\n\r\n".encode()
    answers = filler.operation(row).get("responses", {})
    schema = next((a["schema"] for status, a in answers.items() if int(status) < 300 and "schema" in a), None)
    values = [] if schema is None else [json.dumps(filler.value(schema, f"{row.name} answers")).encode()]
    header = f"X-Unheard-Of: {canaries.put(f'{row.name} answers a header')}"
    content = b"\n".join(values * (2 if row.kind in (Kind.WATCH, Kind.PROGRESS) else 1))
    if row.kind is Kind.STREAM:
        content = b"what a program wrote, or files: a replay needs them as they are"
    return response(row.status, content if row.status != 204 else b"", header, head_only=row.method == "HEAD")


def exchange(path: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(request)
        found = b""
        while more := connection.recv(65536):
            found += more
        return found


@contextmanager
def served(folder: Path, *stages: str) -> Iterator[tuple[FakeEngine, Swarmd, Callable[[bytes], bytes]]]:
    """A swarmd before a fake engine, with stages between: the engine, the process, and what asks it."""
    with closing(FakeEngine(folder / "engine.sock")) as engine:
        chain = [f"dockerserver unix://{folder}/gw.sock", *stages, f"docker unix://{folder}/engine.sock"]
        with Swarmd("-v", *chain, errors=folder / "log") as swarmd:
            wait_until(lambda: bool(engine.asked), "swarmd has asked the engine who it is")
            engine.asked.clear()
            yield engine, swarmd, lambda request: exchange(folder / "gw.sock", request)


REQUEST_LINE = re.compile(r'^[\d:.]+ debug\d #\d+ > |"call": \d+, "verb"', re.MULTILINE)
KEEPING = ("debug --values", "debug --json --values", "debug")


def kept(folder: Path) -> str:
    """All that was kept of what passed: the log with debug's lines, and the recording."""
    return (folder / "log").read_text("utf-8") + (folder / "rec").read_bytes().decode("latin-1")


@pytest.mark.parametrize("document", DOCUMENTS, ids=["1.41", "1.56"])
def test_no_canary_of_any_row_comes_out(folder: Path, document: Path) -> None:
    canaries = Canaries()
    filler = Filler(document, canaries)
    with served(folder, *KEEPING, f"record {folder}/rec") as (engine, swarmd, ask):
        for row in ROWS:
            engine.answers[row.method, place_of(row)] = answer_of(row, filler, canaries)
            answer = ask(request_of(row, filler, canaries))
            status = 101 if row.kind is Kind.HIJACK else row.status
            assert answer.startswith(f"HTTP/1.1 {status} ".encode()), (row.name, answer)
            assert engine.asked.pop() == (row.method, place_of(row))  # so it has passed all that keeps something
            assert engine.asked == []
        swarmd.end()
    content = kept(folder)
    assert canaries.found(content) == set()
    assert len(canaries.places) > 1000
    assert len(REQUEST_LINE.findall(content)) == len(ROWS) * len(KEEPING)
    with closing(Recording(str(folder / "rec"))) as recording:
        assert [event.what for event in recording.events()].count(What.ASK) == len(ROWS)
    assert all(f'"{name}"' in content for name in ("Env", "JoinTokens", "X-Unheard-Of", "Labels"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=["1.41", "1.56"])
def test_an_engine_that_repeats_what_it_was_asked_gives_nothing_away(folder: Path, document: Path) -> None:
    canaries = Canaries()
    filler = Filler(document, canaries)
    with served(folder, *KEEPING, f"record {folder}/rec") as (engine, swarmd, ask):
        engine.repeats = True
        for row in ROWS:
            answer = ask(request_of(row, filler, canaries))
            assert answer.startswith(b"HTTP/1.1 400"), row.name
            assert engine.asked.pop() == (row.method, place_of(row))
        swarmd.end()
    assert canaries.found(kept(folder)) == set()


def test_what_has_no_row_or_is_no_json_is_hidden_whole(folder: Path) -> None:
    canaries = Canaries()
    percent = "".join(f"%{byte:02X}" for byte in b"CANARY")
    head = "Host: x\r\nAuthorization: Bearer {0}\r\nX-New: {0}\r\nCookie: a={0}\r\nConnection: close\r\n"
    bodies = ["password={0}", '{{"Image":"x","Env":["A={0}"]}} {0}', '"{0}"', '["{0}", 5]', "\x00{0}", '{{"{0}=x": 1}}']
    with served(folder, *KEEPING, f"record {folder}/rec") as (_, swarmd, ask):
        target = f"/new/thing?token={canaries.put('a rowless query')}&x={percent}"
        ask(f"GET {target} HTTP/1.1\r\n{head.format(canaries.put('a rowless header'))}\r\n".encode())
        for number, form in enumerate(bodies):
            body = form.format(canaries.put(f"body {number}")).encode()
            fields = f"Host: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}"
            ask(f"POST /containers/create?name=a HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body)
        swarmd.end()
    content = kept(folder)
    assert canaries.found(content) == set()
    assert "/new/thing?***" in content
    assert stat.S_IMODE(os.stat(folder / "rec").st_mode) == 0o600


def test_fields_that_hold_secrets_are_on_no_list() -> None:
    assert set() == shown.FIELDS & NEVER
    assert set() == shown.MAPS & NEVER
    assert all("auth" not in name and "cookie" not in name for name in shown.HEADERS)
    assert all(name == name.lower() for name in shown.HEADERS)
    assert shown.PARAMETERS.isdisjoint(["buildargs", "labels", "remote", "changes", "outputs", "filters", "ps_args"])


SECRETS = {
    "Env": ["MYSQL_PWD=S3KR3T", "PASSPHRASE=S3KR3T", "DATABASE_URL=postgres://u:S3KR3T@h/db", "X=S3KR3T", "S3KR3T"],
    "Cmd": ["mysql", "-pS3KR3T", "--password", "S3KR3T", "postgres://u:S3KR3T@h"],
    "Command": "mysql -pS3KR3T",
    "Healthcheck": {"Test": ["CMD", "curl", "-u", "u:S3KR3T"]},
    "HostConfig": {
        "LogConfig": {"Type": "splunk", "Config": {"splunk-token": "S3KR3T", "Type": "S3KR3T", "Name": "S3KR3T"}},
        "Mounts": [{"Source": "v", "VolumeOptions": {"DriverConfig": {"Options": {"o": "password=S3KR3T"}}}}],
        "SecurityOpt": ['seccomp={"S3KR3T":1}'],
    },
    "Labels": {"traefik.basicauth.users": "u:S3KR3T", "com.docker.compose.project": "shop", "a=S3KR3T": "x"},
    "Image": "https://me:S3KR3T@registry/box",
    "Names": ["http://S3KR3T@host/x"],
    "Action": "exec_create: mysql -pS3KR3T",
    "password": "S3KR3T",
    "Id": {"value": "S3KR3T"},
    "aux": "S3KR3T",
    "stream": "Step 1/2 : ENV TOKEN=S3KR3T\n",
}


def test_what_is_hidden_keeps_its_shape_and_what_helps_stays() -> None:
    left = redact.value(SECRETS)
    assert "S3KR3T" not in json.dumps(left)
    assert left["Env"][:2] == ["MYSQL_PWD=***", "PASSPHRASE=***"]
    assert left["Cmd"] == ["***"] * 5
    assert left["Healthcheck"]["Test"][0] == "CMD"
    assert left["HostConfig"]["LogConfig"]["Type"] == "splunk"
    assert left["HostConfig"]["Mounts"][0]["Source"] == "v"
    assert left["Labels"]["com.docker.compose.project"] == "shop"
    assert left["Action"] == "exec_create: ***"
    assert redact.value(left) == left


def test_numbers_and_texts_show_only_where_they_belong() -> None:
    assert redact.value({"Memory": 5, "PIN": 1234, "Tty": True, "value": "x", "x": None}) == {
        "Memory": 5,
        "PIN": 0,
        "Tty": True,
        "value": "***",
        "x": None,
    }
    assert redact.value("x") == "***"
    assert redact.value(5) == 0
    assert redact.value({"Env": {"a": {"b": "x"}}, "Labels": "x", "Cmd": {"Id": "x"}}) == {
        "Env": {"a": {"b": "***"}},
        "Labels": "***",
        "Cmd": {"Id": "***"},
    }


def test_a_value_that_is_too_deep_to_look_through_is_hidden() -> None:
    deep: Any = "secret"
    for _ in range(900):
        deep = {"HostConfig": [deep]}
    assert redact.value(deep) == "***"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("can't pull https://me:pa@ss@host/x", "can't pull https://***@host/x"),
        ("tcp://user:pw@host:2375 is down", "tcp://***@host:2375 is down"),
        ("ssh://me@box is down", "ssh://me@box is down"),
        ("bad login: password=abc, next", "bad login: password=***, next"),
        ('{"auth":{"identitytoken": "a b"}}', '{"auth":{"identitytoken": ***}}'),
        ("X-Registry-Auth: eyJ1IjoieCJ9", "X-Registry-Auth: ***"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("run --token abc", "run --token ***"),
        ("join SWMTKN-1-abc-def", "join SWMTKN-***"),
        ("me:$apr1$x$y", "me:***"),
        ("busybox:1@sha256:abc is gone", "busybox:1@sha256:abc is gone"),
        ("No such container: web", "No such container: web"),
    ],
)
def test_texts_lose_their_credentials_and_nothing_else(text: str, left: str) -> None:
    assert without_credentials(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('exec: "mysql -pabc": not found', 'exec: "***": not found'),
        ('Conflict. The name "/web" is in use by "abc".', 'Conflict. The name "/web" is in use by "abc".'),
        ("mount data: username=u,o=abc: denied", "mount data: username=***,o=***: denied"),
        ('cannot decode {"Env":["A=abc"]} here', "cannot decode {***} here"),
        ('{"Env":["A=abc"]}', "{***}"),
        ("The command '/bin/sh -c curl abc' returned 1", "The command '***' returned 1"),
    ],
)
def test_an_engines_error_loses_what_it_quotes(text: str, left: str) -> None:
    assert without_quotations(text) == left


def test_of_a_long_error_the_whole_words_at_its_beginning_are_shown() -> None:
    text = "no such thing: " + "word " * 1000
    assert without_quotations(text) == f"{text[:4094]} … ({len(text) - 4094} more characters)"


@pytest.mark.parametrize("piece", ["://", "a:", "pass", '"', "{", "--secret ", "a=", "-----BEGIN ", "eyJ", "u:p@"])
def test_no_text_takes_long_to_look_through(piece: str) -> None:
    began = time.process_time()
    without_quotations(piece * 100_000)
    without_credentials(piece * 2000)
    assert time.process_time() - began < 1


def test_an_error_that_repeats_a_secret_in_another_form_is_cleaned() -> None:
    auth = base64.b64encode(b'{"password":"S3KR3T"}').decode()
    body = {"Data": base64.b64encode(b"PIN7").decode()}
    asked = Request(Verb.SPAWN, body=Json.from_data(body), meta=Meta(headers=(("x-registry-auth", auth),)))
    error = NotFound(f"no user S3KR3T, {quote('x')} PIN7", details={"status": 404, "body": b'{"message":"a=S3KR3T"}'})
    left = redact.error(error, redact.secrets_of(asked))
    assert left.message == "no user ***, x ***"
    assert left.details == {"status": 404, "body": b'{"message":"a=***"}'}


DEEP: Any = functools.reduce(lambda inner, _: [inner], range(2000), "abcd")
MANY = json.dumps(["abcd"] * 5000)
MANY_ENCODED = base64.b64encode(MANY.encode()).decode()


@pytest.mark.parametrize(
    "asked",
    [
        Request(Verb.SPAWN, body=Json.from_data({"Env": [f"A={number}" for number in range(5000)]})),
        Request(Verb.SPAWN, body=Json(b"no JSON " * 5000)),
        Request(Verb.SPAWN, body=Json.from_data({"Env": 2**70})),
        Request(Verb.SPAWN, params={"x": DEEP}),
        Request(Verb.SPAWN, params={"filters": MANY}),
        Request(Verb.SPAWN, body=Json.from_data({"Data": MANY_ENCODED})),
        Request(Verb.SPAWN, meta=Meta(headers=(("x-registry-config", MANY_ENCODED),))),
    ],
    ids=["values", "words", "number", "depth", "parameter", "encoded", "header"],
)
def test_of_what_answers_a_request_with_more_values_than_are_looked_through_nothing_is_shown(asked: Request) -> None:
    error = NotFound("no user S3KR3T", details={"status": 404, "body": b'{"message":"no S3KR3T"}'})
    left = redact.error(error, redact.secrets_of(asked))
    assert left.message == "***"
    assert left.details == {"status": 404, "body": b'{"message":"***"}'}


NAMES = st.sampled_from(["Env", "Labels", "Cmd", "LogConfig", "filters", "headers", "target", "x"])
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(['{"label":5}', "[1]", "A=b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
ANY_VALUES = JSON_VALUES | st.binary(max_size=3) | st.dictionaries(st.integers(), JSON_VALUES) | st.tuples(JSON_VALUES)
ANY_FIELDS = st.dictionaries(NAMES | st.sampled_from(["status", "body", "line"]), ANY_VALUES, max_size=3)


@given(ANY_FIELDS, JSON_VALUES, ANY_FIELDS)
def test_what_has_any_other_type_than_it_should_is_hidden_too(
    params: dict[str, Any], value: Any, details: dict[str, Any]
) -> None:
    asked = Request(Verb.SPAWN, params=params, body=Json.from_data(value))
    redact.error(NotFound("no", details=details), redact.secrets_of(asked))
    left = redact.request(asked)
    assert redact.request(left).json == left.json
    for reply in (Ack(Json.from_data(value), details), Set(Json.from_data(value), details)):
        kept = redact.reply(reply)
        assert isinstance(kept, type(reply))
        assert kept.json == left.json


def test_reprs_which_end_in_tracebacks_show_no_value() -> None:
    meta, value = Meta(headers=(("x-registry-auth", "S3KR3T"),)), Json(b'"S3KR3T"')
    request = Request(Verb.SPAWN, ("a",), {"buildargs": "S3KR3T"}, value, meta=meta)
    for each in (
        request,
        request.replace(body=Json.from_data("S3KR3T")),
        value,
        meta,
        Ack(value, {"warnings": "S3KR3T"}),
        Set(value, {"warnings": "S3KR3T"}),
        Log(b"S3KR3T", {"stream": "S3KR3T"}),
        Error(NotFound("S3KR3T", details={"body": b"S3KR3T"})),
    ):
        assert "S3KR3T" not in repr(each)
