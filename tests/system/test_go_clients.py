"""Every answer can be read by compiled Go clients: as docker's own types and go-dockerclient's have it."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from swarmlib import Verb
from swarmlib_backends.dockerapi.rows import ROWS, Kind, Row
from tests.support.engines import docker, engine, swarmd
from tests.support.gotypes import unreadable

pytestmark = pytest.mark.engine

_ELSEWHERE = {"SystemPing", "SystemPingHead", "ImageSearch", "DistributionInspect", "GetPluginPrivileges"}
"""What is no JSON, or is a registry's answer."""
READS = [
    row
    for row in ROWS
    if row.method == "GET"
    and row.kind in (Kind.VALUE, Kind.WATCH)
    and row.verb is not Verb.FILE
    and row.name not in _ELSEWHERE
]
_QUERIES = {
    "ContainerInspect": "?size=1",
    "ContainerList": "?all=1&size=1",
    "ContainerStats": "?stream=0",
    "ImageList": "?all=1",
    "SystemEvents": "?since=0&until={now}",
}
_CHANGES: list[tuple[str, str, object]] = [
    ("ContainerCreate", "/containers/create", {"Image": "busybox", "Cmd": ["true"]}),
    ("NetworkCreate", "/networks/create", {"Name": "made"}),
    ("VolumeCreate", "/volumes/create", {"Name": "made", "Labels": {"a": "b"}}),
    ("ContainerUpdate", "/containers/{containers}/update", {"RestartPolicy": {"Name": "no"}}),
    ("ContainerWait", "/containers/{ended}/wait", None),
    ("ContainerPrune", "/containers/prune", None),
    ("NetworkPrune", "/networks/prune", None),
    ("VolumePrune", "/volumes/prune", None),
    ("ImagePrune", "/images/prune", None),
    ("Error", "/containers/nosuch/start", None),
    ("Error", "/containers/create", {"Image": "nosuch"}),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A balance over two engines, of which the first is a swarm's manager with one of each of its objects."""
    with engine(["--label", "region=north"]) as a, engine(["--label", "region=south"]) as b:
        docker(a.host, "swarm", "init", "--advertise-addr", "127.0.0.1", check=True)
        for kind in ("config", "secret"):
            docker(a.host, kind, "create", "thing", "-", input=b"data", check=True)
        docker(a.host, "service", "create", "-d", "--name", "thing", "busybox", "sleep", "1000", check=True)
        with swarmd(f"balance (a=docker {a.host}) (b=docker {b.host})") as gateway:
            yield gateway.host
        for each in (a, b):
            each.kill()  # to end it would take as long as its containers take to be stopped


class Asking:
    """Asks an endpoint for what it has, and keeps the answers by their rows' names."""

    def __init__(self, host: str) -> None:
        self._port = int(host.rpartition(":")[2])
        self.answers: list[tuple[str, object]] = []

    def ask(self, row: str, method: str, target: str, body: object = None) -> list[Any]:
        data = None if body is None else json.dumps(body)
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
            connection.request(method, f"/v1.41{target}", data, {"Content-Type": "application/json"} if data else {})
            response = connection.getresponse()
            values = [json.loads(line) for line in response.read().splitlines()]
        self.answers += [(row if response.status < 400 else "Error", value) for value in values]
        return values

    def read(self, row: Row, things: Mapping[str, str]) -> None:
        """Ask for a row, of the thing of its kind."""
        thing = quote(things.get(row.template.split("/")[1], ""), safe="")
        if thing or "{" not in row.template:
            target = row.template.replace("{id}", thing).replace("{name}", thing)
            query = _QUERIES.get(row.name, "").replace("{now}", f"{time.time():.0f}")
            self.ask(row.name, "GET", target + query)

    def missing(self) -> set[str]:
        """The rows that no answer was got of."""
        return {row.name for row in READS} - {name for name, _ in self.answers}


def populate(host: str, name: str, *options: str) -> dict[str, str]:
    """Make one of each thing; gives the name, or id, of each by the first word of its rows' templates."""
    docker(host, "network", "create", f"net-{name}", check=True)
    on = ("-l", "tier=web", "-v", f"data-{name}:/data", "-v", "/tmp:/host", *options)
    docker(host, "run", "--name", f"ended-{name}", *on, "busybox", "true", check=True)
    docker(host, "run", "-d", "--name", name, "-p", "80", *on, "busybox", "sleep", "1000", check=True)
    return {"containers": name, "ended": f"ended-{name}", "images": "busybox", "volumes": f"data-{name}"}


def test_the_answers_of_a_balance_over_two_engines(go_reader: Path, cluster: str) -> None:
    asking = Asking(cluster)
    for node in ("a", "b"):
        things = populate(cluster, f"on-{node}", "-e", f"constraint:node=={node}")
        (made,) = asking.ask("ContainerExec", "POST", f"/containers/on-{node}/exec", {"Cmd": ["true"]})
        (task,) = docker(cluster, "service", "ps", "-q", "thing").stdout.decode().split()
        (manager,) = docker(cluster, "node", "ls", "-q").stdout.decode().split()
        things |= {"exec": made["Id"], "networks": f"{node}/bridge", "tasks": task, "nodes": manager}
        things |= dict.fromkeys(("services", "secrets", "configs"), "thing")
        for row in READS:
            asking.read(row, things)
        for name, target, body in _CHANGES:
            asking.ask(name, "POST", target.format(**things), body)
    assert unreadable(go_reader, asking.answers) == []
    assert asking.missing() == {"ImageAttestations", "PluginInspect"}


@pytest.mark.parametrize("chain", ["simulator", "exec"])
def test_the_answers_of_what_plays_an_engine(chain: str, go_reader: Path) -> None:
    with swarmd(chain) as gateway:
        asking = Asking(gateway.host)
        things = {
            "containers": "thing",
            "ended": "thing",
            "networks": "bridge",
            "images": "busybox",
            "volumes": "thing",
        }
        asking.ask(
            "ContainerCreate", "POST", "/containers/create?name=thing", {"Image": "busybox", "Cmd": ["sleep", "9"]}
        )
        asking.ask("VolumeCreate", "POST", "/volumes/create", {"Name": "thing"})
        docker(gateway.host, "start", "thing", check=True)
        made = asking.ask("ContainerExec", "POST", "/containers/thing/exec", {"Cmd": ["true"]})
        for row in READS:
            asking.read(row, things | {"exec": made[0]["Id"]})
        docker(gateway.host, "stop", "-t", "0", "thing", check=True)
        for name, target, body in _CHANGES:
            asking.ask(name, "POST", target.format(**things), body)
    assert unreadable(go_reader, asking.answers) == []
    assert {"ContainerInspect", "ContainerList", "SystemInfo", "SystemVersion"} <= {name for name, _ in asking.answers}


def test_a_wrong_type_and_a_field_that_nobody_knows_are_seen(go_reader: Path) -> None:
    said = unreadable(go_reader, [("ContainerInspect", {"Node": "a"}), ("NetworkList", [{"Nodes": []}]), ("Error", {})])
    assert [text.partition(": ")[0] for text in said] == ["ContainerInspect", "NetworkList"]
