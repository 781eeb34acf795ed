"""Gateways in this process, and calls to them, for the tests against fake clusters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from swarmlib import Client, Json, Verb, connect
from swarmlib.client.handles import Workload
from tests.backends.kubernetes.conftest import Place


@asynccontextmanager
async def gateway(place: Place, *options: str) -> AsyncIterator[Client]:
    """A gateway to a namespace."""
    given = " ".join(["kubernetes", f"--kubeconfig {place.kubeconfig}", "--tools-image busybox:1", *options])
    async with connect(given) as opened:
        yield opened


async def call(client: Client, verb: Verb, *path: str, body: Any = None, **params: str) -> Any:
    """The value that a call is answered with."""
    given = Json.from_data(body) if body is not None else None
    return (await client.call(verb, path, params=params, body=given)).value


async def make(client: Client, name: str, program: str, *binds: str, host: Any = None, **body: Any) -> Workload:
    """A container that will run a program of the shell."""
    shell = {"Image": "busybox:1", "Entrypoint": ["sh", "-c"], "Cmd": [program]}
    return await client.spawn({**shell, **body, "HostConfig": {"Binds": [*binds], **(host or {})}}, name=name)


async def output(container: Workload) -> str:
    """What a container has written."""
    return "".join([f"{line.text}\n" for line in await container.logs()])
