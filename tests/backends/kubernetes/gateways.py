"""Gateways in this process, and calls to them, for the tests against fake clusters."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from trio.testing import wait_all_tasks_blocked

from swarmlib import Client, Json, Verb, connect
from swarmlib.client.handles import Workload
from swarmlib_backends.calls import LOOKS
from swarmlib_backends.kubernetes.api.rights import ROLE
from swarmlib_backends.kubernetes.fakecluster import Rule, User
from tests.backends.kubernetes.conftest import Place

_TOLD_SECONDS: Final = 0.01
"""How long all is silent once every watch has told what is new: the fake cluster is in this process."""


@asynccontextmanager
async def gateway(place: Place, *options: str) -> AsyncIterator[Client]:
    """A gateway to a namespace."""
    given = " ".join(["kubernetes", f"--kubeconfig {place.kubeconfig}", "--tools-image busybox:1", *options])
    async with connect(given) as opened:
        yield opened


def limited(place: Place, *, lacking: str = "") -> Place:
    """The place for an account that has the least Role, and so may not list nodes; without the rights to one kind."""
    assert place.fake is not None
    rights = [each for each in ROLE if each.resource.kind != lacking]
    rules = [Rule([each.name], list(each.verbs), [each.resource.group]) for each in rights]
    token = place.fake.add_user(User("limited", rules, place.namespace))
    file = place.kubeconfig.with_name("limited")
    file.write_text(json.dumps(place.fake.kubeconfig(token, place.namespace)))
    return replace(place, kubeconfig=file)


async def call(client: Client, verb: Verb, *path: str, body: Any = None, **params: str) -> Any:
    """The value that a call is answered with; other gateways of these tests have been told of what it has changed."""
    given = Json.from_data(body) if body is not None else None
    value = (await client.call(verb, path, params=params, body=given)).value
    if verb not in LOOKS:
        await wait_all_tasks_blocked(_TOLD_SECONDS)
    return value


async def make(client: Client, name: str, program: str, *binds: str, host: Any = None, **body: Any) -> Workload:
    """A container that will run a program of the shell."""
    shell = {"Image": "busybox:1", "Entrypoint": ["sh", "-c"], "Cmd": [program]}
    made = await client.spawn({**shell, **body, "HostConfig": {"Binds": [*binds], **(host or {})}}, name=name)
    await wait_all_tasks_blocked(_TOLD_SECONDS)
    return made


async def output(container: Workload) -> str:
    """What a container has written."""
    return "".join([f"{line.text}\n" for line in await container.logs()])
