"""The simulator's ports: what is exposed and published beside an engine."""

import json
import re
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from swarmlib import Internal
from swarmlib_backends.simulator import ports
from tests.backends.simulator.test_simulator import started, swarm
from tests.support.engines import Engine, swarmd
from tests.system.test_same_answers import UnixConnection, ask

PUBLIC = ["80/", "80/TCP", "80/Udp", "080", "80/tcp/x", "0"]
NONE = ["", "/udp", "80/foo"]
ODD = ["70000", "80-82", "a/tcp", "-1"]
FREE = [{"HostPort": ""}]
CHOSEN = [{"HostPort": "8099"}]
CASES: list[tuple[list[str], dict[str, Any]]] = [
    ([*PUBLIC, *NONE, *ODD], {}),
    ([*PUBLIC, *ODD], {"PublishAllPorts": True}),
    (["80", "80/TCP", "080/tcp"], {"PortBindings": {"80/tcp": FREE}}),
    (["80/tcp", "80"], {"PortBindings": dict.fromkeys(["80", "80/tcp"], FREE)}),
    (["80/tcp", "80"], {"PortBindings": dict.fromkeys(["80", "80/tcp"], CHOSEN)}),
    *(([port], {"PublishAllPorts": True}) for port in NONE),
    *(([port], {"PortBindings": {port: FREE}}) for port in (*PUBLIC, *NONE, *ODD)),
]


@pytest.fixture(scope="module")
def places(engines: tuple[Engine, Engine]) -> Iterator[list[HTTPConnection]]:
    """A real engine, and the simulator."""
    with swarmd("simulator --image busybox") as simulator:
        yield [UnixConnection(str(engines[0].socket)), HTTPConnection("127.0.0.1", simulator.port, timeout=30)]


def published(place: HTTPConnection, exposed: list[str], host: dict[str, Any]) -> tuple[int, str]:
    """What an engine says at the start of a container with these ports, and then, how it shows them."""
    body = {
        "Image": "busybox",
        "Cmd": ["sleep", "1000"],
        "ExposedPorts": {port: {} for port in exposed},
        "HostConfig": host,
    }
    status, _, made = ask(place, "POST", "/v1.41/containers/create", json.dumps(body))
    if status != 201:
        return status, str(made)
    path = f"/v1.41/containers/{json.loads(made)['Id']}"
    status, _, said = ask(place, "POST", f"{path}/start", None)
    shown = json.loads(ask(place, "GET", f"{path}/json", None)[2])["NetworkSettings"]["Ports"]
    ask(place, "DELETE", f"{path}?force=1", None)
    text = re.sub(r"endpoint \w+ \(\w+\)", "endpoint", f"{said!r} {json.dumps(shown, sort_keys=True)}")
    return status, re.sub(r'"HostPort": "(?!8099)[0-9]+"', "a free one", text)


@pytest.mark.engine
@pytest.mark.parametrize(("exposed", "host"), CASES, ids=str)
def test_ports_are_exposed_and_published_as_by_an_engine(
    places: list[HTTPConnection], exposed: list[str], host: dict[str, Any]
) -> None:
    engine, simulator = (published(place, exposed, host) for place in places)
    assert engine == simulator


async def test_free_ports_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_FIRST_FREE_PORT", ports.LAST_PORT)
    public = {"ExposedPorts": {"80": {}}, "HostConfig": {"PublishAllPorts": True}}
    async with swarm() as client:
        await started(client, "first", "sleep", "1000", **public)
        with pytest.raises(Internal, match=r"endpoint second \(\w+\): all ports are allocated"):
            await started(client, "second", "sleep", "1000", **public)
        await client.rm("containers", "first", force=True)
        await client.start("second")
