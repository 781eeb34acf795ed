"""What a stage judges is what an engine does, and what can't be read is the client's fault, never a bug.

The attack: say something that two readers understand differently (keys in another case, twice, at another place; bodies
that win over the query; bytes that one parser refuses and the other takes). What must happen: the request becomes the
one form that every stage reads and the engine is given, or it is refused with 400, and nothing happens.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

import pytest
import trio
from trio.testing import MockClock

from swarmlib import BytesStream, Invalid, Json, Meta, Request, SwarmError, Verb, connect
from swarmlib.operation import NO_META
from swarmlib_backends.dockerapi import schema
from swarmlib_backends.dockerapi.canonical import canonical
from swarmlib_backends.dockerapi.rows import ROWS, Row
from tests.support.engines import Engine, Swarmd, docker, engine, swarmd
from tests.system.test_same_answers import UnixConnection

CREATE = (Verb.SPAWN, ("containers",))
LIST = (Verb.LS, ("containers",))
LOGS = (Verb.CONNECT, ("containers", "web", "logs"))
EVENTS = (Verb.WATCH, ())
TASK_LOGS = (Verb.CONNECT, ("tasks", "web", "logs"))
RESIZE = (Verb.SET, ("containers", "web", "resize"))
SERVICE = (Verb.SET, ("services", "web"))
START = (Verb.START, ("containers", "web"))
STOP = (Verb.STOP, ("containers", "web"))
BUILD = (Verb.SPAWN, ("build",))
PULL = (Verb.SPAWN, ("images",))

Place = tuple[Verb, tuple[str, ...]]


def read(place: Place, raw: bytes | None = None, meta: Meta = NO_META, **params: Any) -> Request:
    upload = BytesStream(b"") if place is BUILD else None
    return canonical(Request(*place, params, None if raw is None else Json(raw), meta, upload=upload))


def of_type(kind: str) -> Meta:
    return Meta(headers=(("content-type", kind),))


KELVIN, LONG_S = "\u212a".encode(), "\u017f".encode()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"image":"a","HOSTCONFIG":{"pRIVILEGED":true}}', {"Image": "a", "HostConfig": {"Privileged": True}}),
        (b'{"Ho%btConfig":{"%bernelMemory":5}}' % (LONG_S, KELVIN), {"HostConfig": {"KernelMemory": 5}}),
        (b'{"HostConfig":{"\\u0050rivileged":true}}', {"HostConfig": {"Privileged": True}}),
        (b'{"Privileged":true}', {"HostConfig": {"Privileged": True}}),
        (b'{"privileged":true,"HostConfig":null}', {"HostConfig": {"Privileged": True}}),
        (b'{"Privileged":true,"HostConfig":{"Init":true}}', {"HostConfig": {"Init": True, "Privileged": True}}),
        (b'{"Memory":0,"HostConfig":{"Memory":9}}', {"HostConfig": {"Memory": 9}}),
        (b'{"Cpuset":"0"}', {"HostConfig": {"CpusetCpus": "0"}}),
        (b'{"Env":["X=\\ud83d","\xe9"]}', {"Env": ["X=\ufffd", "\ufffd"]}),
        (b'{"Cmd":"sh","Entrypoint":null}', {"Cmd": ["sh"]}),
        (b'{"Env":[null]}', {"Env": [""]}),
        (b'{"HostConfig":{"ConsoleSize":[1]}}', {"HostConfig": {"ConsoleSize": [1, 0]}}),
        (b'{"Labels":{"A":"1","a":null}}', {"Labels": {"A": "1", "a": ""}}),
        (b'{"Volumes":{"/x":null,"/X":{}}}', {"Volumes": {"/x": None, "/X": {}}}),
        (b'{"FromTheFuture":{"A":1,"a":[null]}}', {"FromTheFuture": {"A": 1, "a": [None]}}),
        (b"null", {}),
    ],
)
def test_a_body_has_one_form(raw: bytes, expected: Any) -> None:
    assert read(CREATE, raw).json == expected


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b'{"HostConfig":{"Privileged":false,"Privileged":true}}', "the duplicate key 'Privileged'"),
        (b'{"HostConfig":{"Mounts":[{"Source":"/etc"}],"Mounts":[{"Target":"/y"}]}}', "the duplicate key 'Mounts'"),
        (b'{"hostconfig":{"Privileged":true},"HostConfig":{}}', "'HostConfig' more than once"),
        (b'{"hostconfig":{"Privileged":true},"HostConfig":null}', "'HostConfig' more than once"),
        (b'{"hostconfig":{},"HOSTCONFIG":{}}', "'HostConfig' more than once"),
        (b'{"FromTheFuture":1,"fromthefuture":2}', "more than once"),
        (b'{"Privileged":true,"HostConfig":{"Privileged":false}}', "Privileged is True at the top level"),
        (b'{"Image":"a"}{"HostConfig":{"Privileged":true}}', "not JSON: invalid character '{' after top-level value"),
        (b'{"Image":"a"}\0', "not JSON"),
        (b'\xef\xbb\xbf{"Image":"a"}', "not JSON"),
        (b'{"Image":"a",}', "not JSON"),
        (b"{'Image':'a'}", "not JSON"),
        (b'{"Image":"a"/**/}', "not JSON"),
        (b'{"HostConfig":{"Memory":NaN}}', "NaN"),
        (b'{"FromTheFuture":-Infinity}', "-Infinity"),
        (b'{"FromTheFuture":1e400}', "too large"),
        (b'{"FromTheFuture":18446744073709551616}', "64 bits"),
        (b'{"FromTheFuture":%b}' % (b"9" * 5000), "too many digits"),
        (b'{"FromTheFuture":%b%b}' % (b"[" * 150, b"]" * 150), "FromTheFuture nests deeper than 100 levels"),
        (b"[" * 100_000, "nests too deeply"),
        (b'{"Labels":{"a\\u0000b":"c"}}', "NUL"),
        (b'{"\\ud800":1,"\\ud801":2}', "the duplicate key"),
        (b"[]", "the body must be an object, not an array"),
        (b"5", "the body must be an object, not a number"),
        (b'{"Cmd":5}', "Cmd must be an array, not a number"),
        (b'{"Cmd":[5]}', r"Cmd\[0\] must be a string, not a number"),
        (b'{"Env":{"a":"b"}}', "Env must be an array, not an object"),
        (b'{"HostConfig":5}', "HostConfig must be an object, not a number"),
        (b'{"HostConfig":{"Privileged":"true"}}', "HostConfig.Privileged must be a boolean, not a string"),
        (b'{"HostConfig":{"Memory":"64m"}}', "HostConfig.Memory must be an integer, not a string"),
        (b'{"HostConfig":{"Memory":1.0}}', "HostConfig.Memory must be an integer from"),
        (b'{"HostConfig":{"Memory":true}}', "HostConfig.Memory must be an integer, not a boolean"),
        (b'{"HostConfig":{"Memory":9223372036854775808}}', "HostConfig.Memory must be an integer from"),
        (b'{"HostConfig":{"BlkioWeight":65536}}', "from 0 to 65535, not 65536"),
        (b'{"HostConfig":{"Mounts":[null]}}', r"HostConfig.Mounts\[0\] must be an object, not null"),
        (b'{"HostConfig":{"PortBindings":{"80/tcp":[{"hostport":5}]}}}', r"80/tcp\[0\].HostPort must be a string"),
        (b'{"Memory":"x"}', "Memory must be an integer, not a string"),
        (b'{"NetworkingConfig":{"EndpointsConfig":{"n":5}}}', "EndpointsConfig.n must be an object, not a number"),
    ],
)
def test_a_body_that_readers_disagree_on_is_refused(raw: bytes, problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        read(CREATE, raw)


@pytest.mark.parametrize(
    ("place", "params", "expected"),
    [
        (LIST, {"all": ["0", "1"], "limit": ["5", "6"]}, {"all": "0", "limit": "5"}),
        (LIST, {"all": " YES ", "size": "None"}, {"all": "1", "size": "0"}),
        (LIST, {"all": True, "limit": 5, "size": False, "before": None}, {"all": "1", "limit": "5", "size": "0"}),
        (LIST, {"limit": "+005", "All": "1"}, {"limit": "5", "All": "1"}),
        (LIST, {"limit": "", "filters": ""}, {}),
        (LIST, {"limit": f"-{'0' * 5000}5"}, {"limit": "-5"}),
        (LIST, {"filters": '{"label":{"a=b":true}}'}, {"filters": '{"label":["a=b"]}'}),
        (LIST, {"filters": ' {"label" : [ "a", null ], "id":null}'}, {"filters": '{"label":["a",""],"id":[]}'}),
        (LIST, {"filters": '{"label":{}}'}, {"filters": '{"label":[]}'}),
        (LIST, {"filters": ["null", '{"id":["x"]}']}, {}),
        (LOGS, {"tail": "²", "since": "1.5"}, {"tail": "all", "since": "1.500000000"}),
        (LOGS, {"since": "+05", "until": "-1.5"}, {"since": "5", "until": "-1.500000000"}),
        (LOGS, {"since": "1.0000000000001", "until": "1.-5"}, {"since": "1.000000000", "until": "0.950000000"}),
        (LOGS, {"tail": "-5", "stdout": "true"}, {"tail": "all", "stdout": "1"}),
        (LOGS, {"tail": 10, "until": 1577836800.5}, {"tail": "10", "until": "1577836800.500000000"}),
        (LOGS, {"tail": "+005", "until": "-1"}, {"tail": "5", "until": "-1"}),
        (EVENTS, {"since": "-1", "until": "-1.5"}, {}),
        (TASK_LOGS, {"tail": "all"}, {"tail": "all"}),
        (TASK_LOGS, {"tail": "+5"}, {"tail": "5"}),
        (RESIZE, {"h": "70000", "w": "-1"}, {"h": "70000", "w": "-1"}),
        (
            BUILD,
            {"memory": "512m", "memswap": "-1", "cpushares": "0x5"},
            {"memory": "0", "memswap": "-1", "cpushares": "0"},
        ),
        (BUILD, {"t": ["a", "b"], "rm": "", "q": ""}, {"t": ["a", "b"], "q": "0"}),
        (BUILD, {"buildargs": '{"A":null}', "ulimits": "null"}, {"buildargs": '{"A":null}'}),
        (BUILD, {"ulimits": '[{"name":"nofile"}]'}, {"ulimits": '[{"Name":"nofile"}]'}),
        (LIST, {"unknown": ["a", "b"]}, {"unknown": ["a", "b"]}),
    ],
)
def test_a_parameter_has_one_form(place: Place, params: dict[str, Any], expected: dict[str, Any]) -> None:
    streams = {"stdout": "1"} if place in (LOGS, TASK_LOGS) else {}
    assert dict(read(place, **{**streams, **params}).params) == {**streams, **expected}


@pytest.mark.parametrize(
    ("place", "params", "problem"),
    [
        (
            LIST,
            {"limit": "abc"},
            "limit must be an integer from -9223372036854775808 to 9223372036854775807, not 'abc'",
        ),
        (LIST, {"limit": "0x5"}, "limit must be an integer"),
        (LIST, {"limit": " 5"}, "limit must be an integer"),
        (LIST, {"limit": "1e3"}, "limit must be an integer"),
        (SERVICE, {"version": "+5"}, "version must be an integer from 0"),
        (SERVICE, {"version": "-0"}, "version must be an integer from 0"),
        (TASK_LOGS, {"tail": "-5"}, "tail must be \"all\" or a number of lines, not '-5'"),
        (TASK_LOGS, {"tail": "ALL"}, "tail must be"),
        (LIST, {"limit": "²"}, "limit must be an integer"),
        (LIST, {"limit": "1_0"}, "limit must be an integer"),
        (LIST, {"limit": True}, "limit must be an integer, not True"),
        (LIST, {"limit": "9" * 5000}, "limit must be an integer from"),
        (LIST, {"limit": b"1"}, "limit must be text, not bytes"),
        (LIST, {"filters": {"label": ["a"]}}, "filters must be text, not dict"),
        (LIST, {"before": "a\0b"}, "before must not contain a NUL"),
        (LIST, {"before": "\ud800"}, "before must not contain half of a surrogate pair"),
        (LIST, {"filters": "x"}, "filters is not JSON"),
        (LIST, {"filters": "[]"}, "filters must be an object"),
        (LIST, {"filters": '{"a":1}'}, "filters.a must be an array"),
        (LIST, {"filters": '{"a":["x"],"b":{"y":true}}'}, "filters.a must be an object"),
        (LIST, {"filters": '{"a":{"b":false}}'}, "filters must map each value to true"),
        (LIST, {"filters": '{"a":["x"],"a":["y"]}'}, "the duplicate key 'a'"),
        (LOGS, {"since": "nan"}, "since must be seconds"),
        (LOGS, {"since": "-1e308"}, "since must be seconds"),
        (LOGS, {"until": "2020-01-01T00:00:00Z"}, "until must be seconds"),
        (LOGS, {"until": "1."}, "until must be seconds"),
        (EVENTS, {"since": "10m"}, "since must be seconds"),
        (EVENTS, {"since": "9223372036854775808"}, "since must be seconds"),
        (BUILD, {"buildargs": '{"A":5}'}, "buildargs.A must be a string, not a number"),
        (BUILD, {"buildargs": '{"A":"1","A":"2"}'}, "the duplicate key 'A'"),
        (PULL, {"fromImage": "a", "fromSrc": "-"}, "can't be used together"),
    ],
)
def test_a_parameter_that_readers_disagree_on_is_refused(place: Place, params: dict[str, Any], problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        read(place, **params)


def test_a_form_is_refused_where_an_engine_would_read_it() -> None:
    form = of_type("multipart/form-data; boundary=x")
    without_a_body = read(LIST, meta=form)
    assert (without_a_body.params, without_a_body.meta.headers) == ({}, ())
    with pytest.raises(Invalid, match="send parameters in the query"):
        read(BUILD, meta=form)


@pytest.mark.parametrize(
    ("place", "raw", "params", "problem"),
    [
        (CREATE, None, {}, "got EOF while reading request body"),
        (CREATE, b" ", {}, "got EOF while reading request body"),
        ((Verb.SPAWN, ("networks",)), b"", {}, "got EOF while reading request body"),
        ((Verb.SPAWN, ("containers", "web", "exec")), b"null", {}, "No exec command specified"),
        ((Verb.SPAWN, ("containers", "web", "exec")), b'{"Cmd":[]}', {}, "No exec command specified"),
        (LOGS, None, {"stdout": "no", "stderr": ""}, "you must choose at least one stream"),
        (RESIZE, None, {"h": "24"}, "invalid syntax"),
        (RESIZE, None, {"h": "", "w": "80"}, "invalid syntax"),
        ((Verb.FILE, ("containers", "web", "archive")), None, {"path": ""}, "bad parameter: pathcannot be empty"),
    ],
)
def test_what_an_operation_can_not_do_without_is_asked_for(
    place: Place, raw: bytes | None, params: dict[str, str], problem: str
) -> None:
    with pytest.raises(Invalid, match=problem):
        read(place, raw, **params)


def test_a_body_that_no_engine_reads_does_not_get_there() -> None:
    assert read(STOP, b'{"t":5}', t="5").body is None
    for ignored in (b"{}", b'{"a":1}', b"{oops"):
        assert read(START, ignored).body is None
    for refused in (b'{"Privileged":true}', b"{      }"):
        with pytest.raises(Invalid, match="starting container with non-empty request body was deprecated"):
            read(START, refused, Meta(version="1.23"))


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "Application/X-WWW-form-urlencoded ;a=b"])
@pytest.mark.parametrize("place", [(Verb.RM, ("containers",)), STOP, CREATE])
def test_a_form_does_not_overrule_the_query(place: Place, kind: str) -> None:
    with pytest.raises(Invalid, match="send parameters in the query"):
        read(place, b"filters=%7B%7D", of_type(kind))


def test_a_compressed_body_is_refused() -> None:
    with pytest.raises(Invalid, match="compressed"):
        read(CREATE, b"{}", Meta(headers=(("content-encoding", "gzip"),)))


def test_what_a_python_caller_gives_is_held_to_the_same_schema() -> None:
    for body in (
        {"Cmd": 5},
        {"HostConfig": {"Memory": True}},
        {1: 2},
        {"Env": b"x"},
        {"Env": {1}},
        {"Image": "\ud800"},
    ):
        with pytest.raises(Invalid):
            canonical(Request(*CREATE, body=Json.from_data(body)))
    assert canonical(Request(*CREATE, body=Json.from_data({"cmd": ("a", "b")}))).json == {"Cmd": ["a", "b"]}


# Every row.


def bodies_of_another_type(row: Row) -> Iterator[Any]:
    """What is no body of the row: a value of another type, as a whole and in each field."""
    data = schema._data()
    body = resolved(data["rows"][row.name])
    yield from ([], "x", 5, True) if isinstance(body, dict) else ({}, "x", 5, [5], [[]])
    if isinstance(body, dict):
        for name, type_ in body.items():
            kind = resolved(type_)
            yield {name: 5 if kind in ("string", "words") or not isinstance(kind, str) else "x"}
            yield {name: [] if isinstance(kind, dict) else {"a": {"b": []}}}


def resolved(type_: Any) -> Any:
    return schema._data()["types"][type_[1:]] if isinstance(type_, str) and type_.startswith("#") else type_


WITH_BODY = [row for row in ROWS if schema.body_reader(row.name) is not None]


@pytest.mark.parametrize("row", WITH_BODY, ids=lambda row: row.name)
def test_a_wrong_type_in_any_body_is_refused(row: Row) -> None:
    for wrong in bodies_of_another_type(row):
        with pytest.raises(Invalid, match="must be"):
            canonical(Request(row.verb, row.path("web"), body=Json.from_data(wrong)))


@pytest.mark.parametrize("row", WITH_BODY, ids=lambda row: row.name)
async def test_a_wrong_type_is_never_a_bug_in_the_simulator(row: Row) -> None:
    async with connect("simulator") as client:
        await client.spawn({"Image": "busybox", "Cmd": ["true"]}, name="web")
        for wrong in bodies_of_another_type(row):
            with pytest.raises(SwarmError) as caught:
                await client.call(row.verb, row.path("web"), body=Json.from_data(wrong))
            assert caught.value.code == "invalid", wrong
        assert [each["Names"] for each in await client.ls(all="1")] == [["/web"]]


BUSYBOX = {"Image": "busybox", "Cmd": ["sleep", "1000"]}
SILLY = [
    {"ExposedPorts": {port: {} for port in ("8000-8010/tcp", "x", "", "\u00b2", "1-99999999999/tcp")}},
    {"HostConfig": {"PortBindings": {"8000-8010/tcp": [{"HostPort": "80"}]}}},
    {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "99999999999"}], "81/tcp": None}}},
    {"HostConfig": {"CpusetCpus": "0-99999999999"}},
    {"HostConfig": {"CpusetCpus": "\u00b2"}},
    {"Healthcheck": {"Test": ["CMD"], "Interval": 1_000_000}},
    {"Healthcheck": {"Test": [""], "Interval": 1_000_000}},
    {"StopSignal": "\u00b2"},
    {"Env": [""]},
]
"""Of the right types, and yet nonsense."""


@pytest.mark.parametrize("more", SILLY, ids=str)
async def test_a_silly_container_harms_nobody(more: dict[str, Any], autojump_clock: MockClock) -> None:
    async with connect("simulator") as client:
        await client.spawn(BUSYBOX, name="other")
        problem: SwarmError | None = None
        try:
            await client.spawn({**BUSYBOX, "HostConfig": {"PublishAllPorts": True}, **more}, name="silly")
            await client.start("containers", "silly")
        except SwarmError as exc:
            problem = exc
        assert problem is None or problem.code == "invalid" or "status" in problem.details
        await trio.sleep(1)  # on the simulator's clock: its health is looked at
        assert {"/other"} <= {each["Names"][0] for each in await client.ls(all="1", size="1")}


@pytest.mark.parametrize(
    ("verb", "path", "params", "body"),
    [
        (Verb.LS, ("containers",), {"filters": '{"publish":["1-99999999999"]}'}, None),
        (Verb.LS, ("containers",), {"filters": '{"expose":["\u00b2"]}'}, None),
        (Verb.LS, ("containers",), {"filters": '{"exited":["%s"]}' % ("9" * 5000)}, None),
        (Verb.STOP, ("containers", "other", "kill"), {"signal": "\u00b2"}, None),
        (Verb.SPAWN, ("networks",), {}, {"Name": "n", "IPAM": {"Config": [{"Subnet": "10.1.0.0/16", "Gateway": "x"}]}}),
        (Verb.SPAWN, ("networks",), {}, {"Name": "n", "IPAM": {"Config": [{"Subnet": "10.1.0.0/32"}]}}),
        (
            Verb.SET,
            ("networks", "own", "connect"),
            {},
            {"Container": "other", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "x"}}},
        ),
    ],
)
async def test_a_silly_request_is_refused(verb: Verb, path: tuple[str, ...], params: dict[str, str], body: Any) -> None:
    async with connect("simulator") as client:
        await client.spawn(BUSYBOX, name="other")
        await client.start("containers", "other")
        network = {"Name": "own", "IPAM": {"Config": [{"Subnet": "10.200.0.0/24"}]}}
        await client.call(Verb.SPAWN, ("networks",), body=Json.from_data(network))
        with pytest.raises(SwarmError) as caught:
            await client.call(verb, path, params=params, body=None if body is None else Json.from_data(body))
        assert caught.value.code == "invalid" or "status" in caught.value.details


# A real engine.


@pytest.fixture(scope="module")
def one() -> Iterator[tuple[Engine, Swarmd]]:
    """An engine, and the gateway before it."""
    with engine() as started, swarmd(f"docker {started.host}") as gateway:
        yield started, gateway


def ask(connection: HTTPConnection, method: str, target: str, body: bytes | None = None, kind: str = "json") -> Any:
    with closing(connection):
        connection.request(method, target, body, {} if body is None else {"Content-Type": f"application/{kind}"})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None


def direct(one: tuple[Engine, Swarmd]) -> HTTPConnection:
    return UnixConnection(str(one[0].socket))


def through(one: tuple[Engine, Swarmd]) -> HTTPConnection:
    return HTTPConnection("127.0.0.1", one[1].port, timeout=30)


@pytest.mark.engine
@pytest.mark.parametrize(
    "raw",
    [
        b'{"image":"busybox","CMD":["true"],"hostconfig":{"privileged":true}}',
        b'{"Image":"busybox","Ho%btConfig":{"Pid%bLimit":50}}' % (LONG_S, LONG_S),
        b'{"Image":"busybox","HostConfig":{"\\u0050rivileged":true}}',
        b'{"Image":"busybox","Privileged":true,"Memory":67108864,"Cpuset":"0","HostConfig":null}',
        b'{"Image":"busybox","Memory":67108864,"HostConfig":{"PidsLimit":5}}',
        b'{"Image":"busybox","Env":["X=\\ud83d","Y=\xe9\xf0\x9f\x92"],"Labels":{"A":"1","a":null,"\xff":"\xfe"}}',
        b'{"Image":"busybox","Cmd":"true","Entrypoint":"echo","HostConfig":{"CapAdd":"NET_ADMIN"}}',
        b'{"Image":"busybox","Cmd":null,"Env":null,"Labels":null,"HostConfig":{"Binds":null,"Ulimits":null}}',
        b'{"Image":"busybox","ExposedPorts":{"80/tcp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"hostPort":""}]}}}',
        b'{"Image":"busybox","HostConfig":{"ConsoleSize":[1],"Sysctls":{"Net.ipv4.ip_forward":"1"}}}',
        b'{"Image":"busybox","HostConfig":{"Mounts":[{"TYPE":"volume","source":"data","target":"/v","readonly":true}]}}',
        b'{"Image":"busybox","FromTheFuture":{"a":1},"Volumes":{"/x":{},"/X":{}}}',
    ],
)
def test_an_engine_has_what_it_would_have_had(raw: bytes, one: tuple[Engine, Swarmd]) -> None:
    found: list[Any] = []
    for way in (direct, through):
        status, made = ask(way(one), "POST", "/v1.41/containers/create", raw)
        assert status == 201, made
        inspected = ask(direct(one), "GET", f"/v1.41/containers/{made['Id']}/json")[1]
        assert inspected["Config"].pop("Hostname") == made["Id"][:12]
        inspected["Mounts"].sort(key=lambda mount: mount["Destination"])  # an engine has them in no order
        found.append({name: inspected[name] for name in ("Config", "HostConfig", "Mounts")})
        ask(direct(one), "DELETE", f"/v1.41/containers/{made['Id']}?force=1&v=1")
    for mount in [*found[0]["Mounts"], *found[1]["Mounts"]]:
        mount["Name"] = mount["Source"] = "data"
    assert found[0] == found[1]


TRICKS: list[Callable[[str, str], str]] = [
    lambda key, value: f"{key.upper()}:{value}",
    lambda key, value: '"' + "".join(f"\\u{ord(letter):04x}" for letter in key[1:-1]) + f'":{value}',
    lambda key, value: f"{key.replace('s', chr(0x17F)).replace('k', chr(0x212A))}:{value}",
    lambda key, value: f'{key}:{value},"":1,"\\ud800":[null,-0,1E2]',
    lambda key, value: f"{key.lower()}:null,{key}:{value}",
    lambda key, value: f"{key}:{value},{key}:{value}",
    lambda key, value: f"{key}:[{value}]",
    lambda key, value: f"{key}:null",
    lambda key, value: f"{key}:-0",
    lambda key, value: f"{key}:1.0",
    lambda key, value: f"{key}:18446744073709551616",
    lambda key, value: f'{key}:"\\ud83d\\/\xe9"',
]
"""Other ways to write a field, some of which say something else, or nothing that an engine takes."""
MADE = {
    ("/containers/thing/exec", "/exec/{}/json", ""): '"Cmd":["true"],"Env":["A=b"],"Privileged":false,"User":"x"',
    (
        "/volumes/create",
        "/volumes/{}",
        "/volumes/{}",
    ): '"DriverOpts":{"type":"tmpfs","device":"tmpfs"},"Labels":{"K":"s"}',
    ("/networks/create", "/networks/{}", "/networks/{}"): '"Name":"tricky","Internal":true,"Labels":{"K":"s"}',
}
CHANGING = {
    "Id",
    "ID",
    "Created",
    "CreatedAt",
    "Name",
    "Mountpoint",
    "IPAM",
    "Hostname",
    "ResolvConfPath",
    "GraphDriver",
}


@pytest.mark.engine
@pytest.mark.parametrize("place", MADE, ids=lambda place: place[0])
def test_each_way_to_write_a_field_makes_what_an_engine_makes_of_it(
    place: tuple[str, str, str], one: tuple[Engine, Swarmd]
) -> None:
    docker(one[0].host, "run", "-d", "--name", "thing", "busybox", "sleep", "1000")
    outcomes = [_outcome(place, body.encode(), one) for body in _tricky(MADE[place])]
    assert outcomes.count("same") > len(outcomes) / 6
    assert outcomes.count("refused") > len(outcomes) / 6


def _tricky(body: str) -> Iterator[str]:
    """The body with each of its outer fields written in each way."""
    fields = json.loads("{" + body + "}")
    for changed in fields:
        for trick in TRICKS:
            parts = [
                trick(json.dumps(key), json.dumps(value))
                if key == changed
                else f"{json.dumps(key)}:{json.dumps(value)}"
                for key, value in fields.items()
            ]
            yield "{" + ",".join(parts) + "}"


def _outcome(place: tuple[str, str, str], body: bytes, one: tuple[Engine, Swarmd]) -> str:
    """Whether the gateway refuses a body; if it does not, what is made must be what the engine makes of it itself."""
    found = [_made(place, body, way(one), one) for way in (through, direct)]
    if found[0][0] == 400:
        return "refused"
    assert found[0] == found[1], body
    return "same"


def _made(place: tuple[str, str, str], body: bytes, way: HTTPConnection, one: tuple[Engine, Swarmd]) -> tuple[int, Any]:
    make, inspect, remove = place
    status, made = ask(way, "POST", f"/v1.41{make}", body)
    if status != 201:
        return status, None
    name = made.get("Id") or made["Name"]
    seen = ask(direct(one), "GET", f"/v1.41{inspect.format(name)}")[1]
    if remove:
        assert ask(direct(one), "DELETE", f"/v1.41{remove.format(name)}?force=1")[0] == 204
    return status, _lasting(seen, name)


def _lasting(seen: Any, name: str) -> Any:
    """What was inspected without what is another each time."""
    if isinstance(seen, dict):
        return {key: _lasting(value, name) for key, value in seen.items() if key not in CHANGING}
    return seen.replace(name, "") if isinstance(seen, str) else seen


@pytest.mark.engine
def test_nothing_happens_where_the_form_says_something_else(one: tuple[Engine, Swarmd]) -> None:
    docker(one[0].host, "create", "--name", "stopped", "busybox", check=True)
    filters = quote('{"label":["nobody=has.it"]}')
    form = b"filters=%7B%22label%21%22%3A%5B%22nothing%22%5D%7D"
    for method, target, body, kind in [
        ("POST", f"/v1.41/containers/prune?filters={filters}", form, "x-www-form-urlencoded"),
        ("POST", "/v1.23/containers/stopped/start", b'{"Privileged":true}', "json"),
        ("POST", "/v1.41/containers/stopped/rename?name=a;name=b", None, "json"),
        ("POST", "/v1.41/images/create?fromImage=a&fromSrc=-", None, "json"),
    ]:
        assert ask(through(one), method, target, body, kind)[0] == 400
    state = ask(direct(one), "GET", "/v1.41/containers/stopped/json")[1]
    assert (state["Name"], state["State"]["Status"]) == ("/stopped", "created")
    ask(direct(one), "DELETE", "/v1.41/containers/stopped?force=1")


@pytest.mark.engine
def test_both_forms_of_filters_and_the_first_of_two_names_are_read_as_the_engine_does(
    one: tuple[Engine, Swarmd],
) -> None:
    docker(one[0].host, "create", "--name", "labelled", "--label", "a=b", "busybox", check=True)
    try:
        for filters in ('{"label":{"a=b":true}}', '{"label":["a=b"]}', '{"label":["a=c"]}', "null", "{}"):
            target = f"/v1.41/containers/json?all=yes&filters={quote(filters)}"
            lists = [[each["Id"] for each in ask(way(one), "GET", target)[1]] for way in (direct, through)]
            assert lists[0] == lists[1], filters
        assert ask(through(one), "POST", "/v1.41/containers/labelled/rename?name=first&name=second") == (204, None)
        assert ask(direct(one), "GET", "/v1.41/containers/first/json")[0] == 200
    finally:
        docker(one[0].host, "rm", "-f", "first", "labelled")
