"""Each preset serves what its client calls, as read in the clients' sources, and denies every other operation."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Chain, Client, Denied, Request, connect
from swarmlib_backends.dockerapi import table
from swarmlib_backends.dockerapi.rows import ROWS, WHOLE, Row
from swarmlib_backends.policy import Policy, document, probes
from swarmlib_backends.policy.policy import preset_text, presets
from swarmlib_backends.simulator import Simulator
from tests.support.builds import context
from tests.support.policy_world import said

Call = str | tuple[str, Any]
PING = ["HEAD /_ping", "GET /_ping", "GET /version"]
LOOK = [*PING, "GET /containers/json?all=1", "GET /containers/web/json"]
WATCH = [*LOOK, "GET /info", "GET /containers/web/logs?stdout=1", "GET /containers/web/stats?stream=0"]
ACTIONS = ["POST /containers/web/restart?t=0", "POST /containers/web/stop?t=0", "POST /containers/web/start"]
SWARM = ["GET /services", "GET /tasks"]
EVENTS = "GET /events?since=1&until=2"
EXEC = [("POST /containers/NAME/exec", {"Cmd": ["true"]}), ("POST /exec/EXEC/start", {"Detach": True})]
SHELL = [*EXEC, "GET /exec/EXEC/json"]
PULL = "POST /images/create?fromImage=busybox&tag=latest"
TAR = context({"file": "data", "Dockerfile": "FROM busybox"})


def made(name: str, image: str = "busybox", **host: Any) -> Call:
    return f"POST /containers/create?name={name}", {"Image": image, "Cmd": ["sleep", "1000"], "HostConfig": host}


def on(name: str, calls: list[Call]) -> list[Call]:
    """The calls about another container."""
    found = [each if isinstance(each, tuple) else (each, None) for each in calls]
    return [(line.replace("NAME", name), body) for line, body in found]


RYUK = made("ryuk", "testcontainers/ryuk:0.8.1", Binds=["/var/run/docker.sock:/var/run/docker.sock"], AutoRemove=True)
OWN = ["GET /networks", ("POST /networks/create", {"Name": "net"}), "GET /networks/net", "GET /volumes"]
OWN += [("POST /volumes/create", {"Name": "data"}), "GET /volumes/data"]
OUT = [
    "POST /containers/job/kill",
    "DELETE /containers/job?force=1&v=1",
    "DELETE /networks/net",
    "DELETE /volumes/data",
]
JOB = [
    *(*PING, "GET /info", PULL, "GET /images/json", "GET /images/busybox/json", *OWN),
    made("job", NetworkMode="net", Binds=["data:/builds"]),
    *("POST /containers/job/start", "GET /containers/json?all=1", "GET /containers/job/json", *on("job", SHELL)),
    *("GET /containers/job/logs?stdout=1", "POST /containers/job/attach?stdout=1"),
    *("POST /containers/job/resize?h=9&w=9", "POST /exec/EXEC/resize?h=9&w=9"),
]
FILES: list[Call] = [
    ("PUT /containers/job/archive?path=/tmp", TAR),
    "HEAD /containers/job/archive?path=/tmp",
    "GET /containers/job/archive?path=/tmp",
    ("POST /build?t=TAG", TAR),
]
AGAIN = made(
    "new", NetworkMode="bridge", RestartPolicy={"Name": "always"}, PortBindings={"80/tcp": [{"HostPort": "8080"}]}
)
RENEW: list[Call] = [PULL, "POST /containers/web/stop?t=0", AGAIN, "POST /containers/new/start"]
SCRIPTS: dict[str, list[Call]] = {
    "traefik": [*LOOK, EVENTS, *SWARM, "GET /networks", "GET /nodes"],
    "homepage": [*LOOK, "GET /containers/web/stats?stream=0", *SWARM],
    "diun": [*LOOK, "GET /images/busybox/json", "GET /services"],
    "dozzle": [*WATCH, EVENTS],
    "dozzle-actions": [
        *(*WATCH, EVENTS, *ACTIONS, "POST /containers/web/attach?stdout=1", "POST /containers/web/resize?h=9&w=9"),
        *(*on("web", SHELL), "POST /exec/EXEC/resize?h=9&w=9", *RENEW, "DELETE /containers/web?force=1"),
        (
            "POST /services/web/update?version=1",
            {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "busybox"}}},
        ),
    ],
    "beszel": WATCH,
    "beszel-actions": [*WATCH, *ACTIONS],
    "autoheal": [*PING, "GET /containers/json?filters={%22health%22:[%22unhealthy%22]}", *LOOK, ACTIONS[0]],
    "watchtower": [
        *(
            *LOOK,
            "GET /info",
            "GET /images/busybox/json",
            *on("web", SHELL),
            *RENEW,
            "POST /containers/web/rename?name=old",
        ),
        ("POST /networks/app/connect", {"Container": "new"}),
        ("POST /networks/app/disconnect", {"Container": "new"}),
        ("POST /containers/new/update", {"RestartPolicy": {"Name": "no"}}),
        *("POST /containers/new/kill", "DELETE /containers/old?force=1", "DELETE /images/spare:latest"),
    ],
    "gitlab-runner": [
        *(
            *JOB,
            ("POST /images/load", b""),
            ("POST /images/create?fromSrc=-&repo=gitlab/gitlab-runner-helper&tag=1", TAR),
        ),
        "POST /images/busybox/tag?repo=gitlab/gitlab-runner-helper&tag=2",
        *(OUT[0], "POST /containers/job/stop?t=0", "POST /containers/job/wait"),
        ("POST /networks/net/disconnect", {"Container": "job", "Force": True}),
        *OUT[1:],
    ],
    "act": [*JOB, *on("act-image", FILES), *OUT[:1], "POST /containers/job/wait", *OUT[1:]],
    "testcontainers": [
        *(RYUK, "POST /containers/ryuk/start", *JOB[:-2], *FILES, "GET /containers/job/stats?stream=0", EVENTS),
        made("pub", PublishAllPorts=True),
        ("POST /networks/net/connect", {"Container": "pub"}),
        *("POST /containers/pub/start", "POST /containers/pub/stop?t=0", "POST /containers/pub/wait", *OUT),
        *(f"POST /{kind}/prune" for kind in ("containers", "networks", "volumes")),
        "DELETE /images/localhost/mine:latest",
    ],
    "prometheus": [*PING, "GET /containers/json", "GET /networks"],
    "read-only": [
        *(
            *LOOK,
            "GET /info",
            EVENTS,
            "GET /system/df",
            "GET /containers/web/top",
            "GET /containers/web/stats?stream=0",
        ),
        *("GET /containers/web/changes", "GET /images/json", "GET /images/busybox/json", "GET /images/busybox/history"),
        *("GET /networks", "GET /networks/bridge", "GET /volumes", "GET /volumes/spare"),
    ],
}
NEVER: list[Call] = [
    made("evil", Privileged=True),
    made("evil", Binds=["/etc:/x"]),
    made("evil", PidMode="host"),
    made("evil", NetworkMode="container:web"),
    made("evil", Devices=[{"PathOnHost": "/dev/mem"}]),
]
FAILING = {"ServiceList", "ServiceUpdate", "TaskList", "NodeList", "ExecResize", "ImageLoad"}
"""What the simulator can't do, or not any more: it has no swarm, the command has ended, the archive is empty."""


@pytest.fixture(autouse=True)
def guard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The guard's own socket, which some presets give to containers."""
    (tmp_path / "guard.sock").touch()
    monkeypatch.setenv("GUARD_SOCKET", str(tmp_path / "guard.sock"))
    return tmp_path / "guard.sock"


def read(name: str) -> document.Document:
    return document.parse(preset_text(name), name)


def request_of(call: Call, names: dict[str, str]) -> tuple[bytes, Row]:
    line, body = call if isinstance(call, tuple) else (call, None)
    for name, value in names.items():
        line = line.replace(name, value)
    method, _, path = line.partition(" ")
    row = table.route(method, path).row
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/x-tar"} if isinstance(body, bytes) else {}
    return probes.request_bytes(method, path, data, kind, is_json=bool(data) and not kind), row


@asynccontextmanager
async def served(name: str, folder: Path) -> AsyncGenerator[tuple[str, Client]]:
    """A simulated engine with a container behind a preset; yields its address, and a client past the preset."""
    async with Chain(Simulator(image=["testcontainers/ryuk:0.8.1"])).open() as engine:
        client = Client(engine)
        body = {"Image": "busybox", "Cmd": ["sleep", "1000"], "Labels": {"autoheal": "true"}}
        await (await client.spawn(body, name="web")).start()
        await client.spawn({"Name": "app"}, "networks")
        await client.spawn({"Name": "spare"}, "volumes")
        for repo in ("spare", "localhost/mine"):
            await client.set("images", "busybox", "tag", repo=repo)
        async with (
            Policy(preset=name).open(engine) as policy,
            Chain(f"dockerserver unix://{folder}/s.sock").open(policy),
        ):
            yield f"{folder}/s.sock", client


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_preset_serves_all_that_its_client_calls(name: str, tmp_path: Path) -> None:
    called = set[str]()
    names = {"EXEC": "none", "TAG": "localhost/test" if name == "testcontainers" else "act-image:latest"}
    async with served(name, tmp_path) as (address, _):
        for call in SCRIPTS[name]:
            data, row = request_of(call, names)
            answer = await said(address, data, quiet=0.05 if row.name.endswith("Attach") else 5)
            head, _, body = answer.partition(b"\r\n\r\n")
            status = int(head[9:12])
            failing = row.name in FAILING and status != 403
            assert status < 400 or failing, (call, answer)
            called.add(row.name)
            if row.name == "ContainerExec":
                names["EXEC"] = json.loads(body)["Id"]
    assert called == read(name).by_operation.keys() - {WHOLE.name}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_preset_denies_every_other_operation(name: str) -> None:
    policy = read(name)
    for row in (*ROWS, WHOLE):
        if row.name not in policy.by_operation:
            path = tuple(part or "web" for part in row.shape)
            verdict = policy.judge(row, Request(row.verb, path, {"method": "POST", "target": "/session"}))
            assert (verdict.allowed, verdict.rule) == (False, None)
            assert verdict.reason.startswith("no rule allows ")
            assert verdict.advice


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_client_that_goes_beyond_its_preset_is_told_what_and_why(name: str, tmp_path: Path) -> None:
    async with served(name, tmp_path) as (address, client):
        for call in NEVER:
            answer = await said(address, request_of(call, {})[0], quiet=5)
            assert answer.startswith(b"HTTP/1.1 403 "), (call, answer)
            assert f"ContainerCreate is denied by {name}: ".encode() in answer
        assert [each["Names"] for each in await client.ls(all=True)] == [["/web"]]


@pytest.mark.parametrize("name", ["autoheal", "gitlab-runner", "act", "testcontainers"])
async def test_a_client_with_objects_of_its_own_reaches_no_others(name: str, tmp_path: Path) -> None:
    async with served(name, tmp_path) as (address, client):
        await client.spawn({"Image": "busybox", "Labels": {"autoheal": "false"}}, name="other")
        listed = await said(address, request_of("GET /containers/json?all=1", {})[0], quiet=5)
        assert b"/other" not in listed
        for call in ("POST /containers/other/restart", "DELETE /containers/other", "GET /containers/other/json"):
            answer = await said(address, request_of(call, {})[0], quiet=5)
            assert int(answer[9:12]) in (403, 404)
        assert len(await client.ls(all=True)) == 2


@pytest.mark.parametrize("name", ["act", "testcontainers"])
async def test_a_bind_of_the_engines_socket_becomes_one_of_the_guards(name: str, tmp_path: Path, guard: Path) -> None:
    async with served(name, tmp_path) as (address, client):
        await said(address, request_of(RYUK, {})[0], quiet=5)
        found = await client.get("containers", "ryuk")
        assert found["HostConfig"]["Binds"] == [f"{guard}:/var/run/docker.sock"]


async def test_portainer_may_do_everything(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with served("portainer", tmp_path) as (address, _):
        for call in NEVER[:3]:
            call = (str(call[0]).replace("evil", f"p{NEVER.index(call)}"), call[1])
            assert (await said(address, request_of(call, {})[0], quiet=5)).startswith(b"HTTP/1.1 201 ")
    assert "would deny ContainerCreate" in caplog.text


async def test_portainer_leaves_what_is_protected() -> None:
    async with connect(Policy(preset="portainer"), Simulator()) as swarm:
        kept = await swarm.spawn({"Image": "busybox", "Labels": {"swarmlib.protect": ""}})
        with pytest.raises(Denied, match="protect"):
            await kept.rm(force=True)


def test_every_preset_has_a_script() -> None:
    assert set(presets()) == {*SCRIPTS, "portainer"}
