"""Through balance, whatever one answer names by its id is in the list of its kind, and can be inspected."""

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.support.engines import Engine, Swarmd, docker

pytestmark = pytest.mark.engine


@pytest.fixture
def filled(engines: tuple[Engine, Engine], gateway: Swarmd) -> Iterator[Swarmd]:
    """A gateway over two engines, each with containers in its own bridge and in another network, and with a volume."""
    for index, each in enumerate(engines):
        docker(each.host, "network", "create", f"net{index}", check=True)
        for network in ("bridge", f"net{index}", "host", "none"):
            on = ("--name", f"{network}-{index}", "--network", network, "-v", f"data{index}:/data", "-v", "/anonymous")
            docker(each.host, "run", "-d", *on, "busybox", "sleep", "1000", check=True)
        docker(each.host, "exec", "-d", f"bridge-{index}", "sleep", "1000", check=True)
    yield gateway
    for index, each in enumerate(engines):
        ids = docker(each.host, "ps", "-aq").stdout.decode().split()
        docker(each.host, "rm", "-fv", *ids, check=True)
        docker(each.host, "network", "rm", f"net{index}", check=True)
        docker(each.host, "volume", "rm", f"data{index}", check=True)


def get(gateway: Swarmd, target: str) -> Any:
    with closing(HTTPConnection("127.0.0.1", gateway.port, timeout=30)) as connection:
        connection.request("GET", f"/v1.41{target}")
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, (target, answer)
        return answer


_KINDS = {"NetworkID": "networks", "ImageID": "images", "ExecIDs": "exec"}
"""What an id is of, by the field that holds it."""


def named(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The kinds and ids of what an answer names, wherever it stands in it."""
    match value:
        case {"Type": "volume", "Name": name}:
            yield "volumes", name
        case dict():
            known: dict[str, Any] = value
            if key == "Containers":
                yield from (("containers", id) for id in known)
            for name, each in known.items():
                yield from named(each, name)
        case list():
            for each in value:
                yield from named(each, key if isinstance(each, str) else "")
        case str() if value and key in _KINDS:
            yield _KINDS[key], value
        case _:
            pass


def test_every_id_is_in_its_list_and_can_be_inspected(filled: Swarmd) -> None:
    lists = {
        "containers": {each["Id"] for each in get(filled, "/containers/json?all=1")},
        "images": {each["Id"] for each in get(filled, "/images/json?all=1")},
        "networks": {each["Id"] for each in get(filled, "/networks")},
        "volumes": {each["Name"] for each in get(filled, "/volumes")["Volumes"]},
    }
    suffix = {"containers": "/json", "images": "/json", "networks": "", "volumes": "", "exec": "/json"}
    answers = [get(filled, target) for target in ("/containers/json?all=1", "/system/df", "/networks")]
    for kind, ids in lists.items():
        answers += [get(filled, f"/{kind}/{id}{suffix[kind]}") for id in ids]
    found = {each for answer in answers for each in named(answer)}
    assert {kind for kind, _ in found} == suffix.keys()
    assert {(kind, id) for kind, id in found if kind != "exec" and id not in lists[kind]} == set()
    for kind, id in found:
        get(filled, f"/{kind}/{id}{suffix[kind]}")


def test_the_networks_of_every_engine_can_be_used_by_the_cli(filled: Swarmd, engines: tuple[Engine, Engine]) -> None:
    def out(*args: str) -> str:
        return docker(filled.host, *args, check=True).stdout.decode().strip()

    assert sorted(out("network", "ls", "--format", "{{.Name}}", "--filter", "type=builtin").split()) == [
        "bridge", "bridge", "host", "host", "none", "none",
    ]  # fmt: skip
    first, second = (
        docker(each.host, "network", "inspect", "-f", "{{.Id}}", "bridge").stdout.decode().strip() for each in engines
    )
    assert out("network", "inspect", "-f", "{{.Id}}", "bridge") == first
    assert out("network", "inspect", "-f", "{{.Id}}", second) == second
    assert "bridge-1" in out("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{end}}", second)
    assert out("run", "--rm", "--network", "bridge", "busybox", "echo", "in") == "in"
    assert docker(filled.host, "network", "rm", "bridge").returncode == 1
