"""Whole inspections by the simulator beside a real engine's, key by key and type by type, as docker-py reads them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import docker
import pytest

from swarmlib_backends.served import served
from tests.support.engines import Engine

pytestmark = pytest.mark.engine

_BY_THE_USER = {"Labels", "Containers", "Networks", "Ports", "PortBindings", "ExposedPorts", "Runtimes", "IndexConfigs"}
"""Objects whose keys are names: what matters is what stands at one of them."""
_ITS_OWN = {"DriverStatus", "Warnings", "SecurityOptions", "Options", "Labels", "Platform", "Comment", "GitCommit"}
"""What depends on an engine's machine, its build, or its busybox."""


@pytest.fixture(scope="module")
def both(engines: tuple[Engine, Engine]) -> Iterator[list[docker.DockerClient]]:
    """A client of a real engine and one of the simulator, with the same objects."""
    with ExitStack() as stack:
        simulated = stack.enter_context(served("simulator"))
        clients: list[docker.DockerClient] = []
        for host in (engines[0].host, simulated.host):
            client = docker.DockerClient(base_url=host, version="1.41")
            stack.callback(client.close)
            _set_up(client, stack)
            clients.append(client)
        yield clients


def _set_up(client: docker.DockerClient, stack: ExitStack) -> None:
    network = client.networks.create("inspected-net")
    stack.callback(network.remove)
    volume = client.volumes.create("inspected-vol")
    stack.callback(volume.remove)
    command = ["sleep", "1000"]
    logs = {"Type": "json-file", "Config": {"max-size": "1m"}}
    options: dict[str, Any] = {"ports": {"80/tcp": None}, "volumes": ["inspected-vol:/data"], "labels": {"a": "b"}}
    for name, more in {
        "running": {},
        "full": {
            **options,
            "network": "inspected-net",
            "log_config": logs,
        },
        "silent": {"log_config": {"Type": "none"}},
        "limited": {"mem_limit": "64m", "mem_swappiness": -1, "pids_limit": 0, "cap_add": ["NET_ADMIN"]},
    }.items():
        box = client.containers.run("busybox", command, name=f"inspected-{name}", detach=True, **more)
        stack.callback(box.remove, force=True)
    made = client.containers.create("busybox", command, name="inspected-created")
    stack.callback(made.remove)


def _exec(client: docker.DockerClient) -> Any:
    made = client.api.exec_create("inspected-running", ["true"])
    client.api.exec_start(made)
    return client.api.exec_inspect(made)


ANSWERS: dict[str, Callable[[docker.DockerClient], Any]] = {
    **{
        name: lambda client, name=name: client.api.inspect_container(f"inspected-{name}")
        for name in ("running", "full", "silent", "limited", "created")
    },
    "image": lambda client: client.api.inspect_image("busybox"),
    "network": lambda client: client.api.inspect_network("inspected-net"),
    "bridge": lambda client: client.api.inspect_network("bridge"),
    "volume": lambda client: client.api.inspect_volume("inspected-vol"),
    "exec": _exec,
    "info": lambda client: client.api.info(),
    "version": lambda client: client.api.version(),
    "containers": lambda client: client.api.containers(filters={"name": "inspected-full"}),
}


def differences(engine: Any, simulated: Any, path: str = "") -> Iterator[str]:
    """Where two answers differ in their keys, in the types of their values, or in whether there is anything at all."""
    last = path.rpartition(".")[2]
    if type(engine) is not type(simulated):
        yield f"{path}: {engine!r} at the engine, {simulated!r} here"
    elif isinstance(engine, dict):
        if last in _BY_THE_USER and engine and simulated:
            engine, simulated = ({"a name": next(iter(each.values()))} for each in (engine, simulated))
        for key in {*engine, *simulated} if last not in _ITS_OWN else ():
            if key not in simulated or key not in engine:
                yield f"{path}.{key}: only {'the engine has it' if key in engine else 'here'}"
            else:
                yield from differences(engine[key], simulated[key], f"{path}.{key}")
    elif isinstance(engine, list) and engine and simulated:
        yield from differences(engine[0], simulated[0], f"{path}[]")
    elif bool(engine) is not bool(simulated) and isinstance(engine, str | list) and last not in _ITS_OWN:
        yield f"{path}: {engine!r} at the engine, {simulated!r} here"


@pytest.mark.parametrize("what", ANSWERS)
def test_an_inspection_has_what_an_engines_has(both: list[docker.DockerClient], what: str) -> None:
    engine, simulated = (ANSWERS[what](client) for client in both)
    assert list(differences(engine, simulated)) == []


_OF_THE_SERVER = {"Date", "Server", "Transfer-Encoding", "Content-Length", "X-Docker-Container-Path-Stat"}
"""Headers whose values are each server's own."""


@pytest.mark.parametrize(
    "target",
    ["export", "archive?path=/bin", "changes", "stats", "stats?stream=0", "json"],
)
def test_answers_of_containers_have_an_engines_headers(both: list[docker.DockerClient], target: str) -> None:
    ours, theirs = (_headers(each, target) for each in reversed(both))
    assert ours == theirs


def _headers(client: docker.DockerClient, target: str) -> dict[str, str]:
    (container,) = client.containers.list()[:1]
    url = f"{client.api.base_url}/v1.41/containers/{container.id}/{target}"
    with client.api.get(url, stream=True, headers={"Accept-Encoding": "identity"}) as found:
        return {name: value for name, value in found.headers.items() if name not in _OF_THE_SERVER}
