"""A cluster whose objects are not what an apiserver lets through: each spoils what is said of itself, and nothing else.

Every value of the objects of a container, a network and a volume is replaced by every kind of garbage, and told by
the watch. Whatever was honest must be answered as before, and no watch may break over it.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from swarmlib import Client, SwarmError, Verb
from swarmlib_backends.kubernetes.api.client import Api, Params
from swarmlib_backends.kubernetes.api.resources import CLAIMS, CONFIG_MAPS, ENDPOINT_SLICES, PODS, SERVICES, Resource
from tests.backends.kubernetes.conftest import Place, place
from tests.backends.kubernetes.gateways import call, gateway, make

__all__ = ["place"]
pytestmark = pytest.mark.parametrize("place", ["1.35"], indirect=True)

_HUGE = "x" * 100_000
_GARBAGE: list[Any] = [
    *(None, True, -1, 10**30, 1.5, "", "../../etc/passwd", "a\nb\x00\x1b[2J", _HUGE),
    *("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", [], [None], ["x"], {}, {"../x": [[]]}, [{"name": {}}]),
]
_IDENTITY = {"/metadata", *(f"/metadata/{name}" for name in ("namespace", "name", "uid", "resourceVersion"))}
_FOLLOWED = {each.plural: each for each in (PODS, CONFIG_MAPS, SERVICES, ENDPOINT_SLICES, CLAIMS)}


@dataclass
class Merged(trio.abc.ReceiveStream):
    """Pieces of one stream, each of them whole events."""

    pieces: trio.MemoryReceiveChannel[bytes]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self.pieces.receive()

    async def aclose(self) -> None:
        self.pieces.close()


class Injected:
    """The watches of a gateway, into which a test writes events that the cluster does not know of."""

    def __init__(self, stream: Callable[..., AbstractAsyncContextManager[trio.abc.ReceiveStream]]) -> None:
        self._stream = stream
        self._into: dict[str, trio.MemorySendChannel[bytes]] = {}
        self._versions = count(10**9)
        self.requests = 0

    @asynccontextmanager
    async def stream(self, api: Api, path: str, params: Params = ()) -> AsyncGenerator[trio.abc.ReceiveStream]:
        async with self._stream(api, path, params) as source:
            if "watch" not in dict(params):
                yield source
                return
            into, pieces = trio.open_memory_channel[bytes](0)
            self._into[path.rpartition("/")[2]] = into
            self.requests += 1

            async def forward() -> None:
                async for piece in source:
                    await into.send(bytes(piece))

            async with trio.open_nursery() as nursery, Merged(pieces) as merged:
                nursery.start_soon(forward)
                yield merged
                nursery.cancel_scope.cancel()

    async def tell(self, resource: Resource, type: str, object: Any) -> None:
        """Tell a change, of a new version, and wait until it has been taken into account."""
        object["metadata"]["resourceVersion"] = str(next(self._versions))
        line = json.dumps({"type": type, "object": object}).encode() + b"\n"
        await self._into[resource.plural].send(line)
        await wait_all_tasks_blocked()


@pytest.fixture
def injected(monkeypatch: pytest.MonkeyPatch) -> Injected:
    made = Injected(Api.stream)
    monkeypatch.setattr(Api, "stream", lambda *args: made.stream(*args))
    return made


def spoilt(object: Any, root: Any, parent: str = "") -> Iterator[tuple[str, Any]]:
    """Each object that has garbage at one place, with that place. The parts of `root` are changed, and put back.

    What an event needs to be one is left as it is: without that, its whole request is begun again (see `test_watch`).
    """
    for key, value in list(object.items()) if isinstance(object, dict) else list(enumerate(object)):
        for garbage in _GARBAGE:
            if f"{parent}/{key}" in _IDENTITY and not (key in ("name", "uid") and isinstance(garbage, str)):
                continue
            object[key] = garbage
            yield f"{parent}/{key}={garbage!r:.40}", copy.deepcopy(root)
        object[key] = value
        if isinstance(value, dict | list):
            yield from spoilt(value, root, f"{parent}/{key}")


async def prepared(client: Client) -> None:
    """A container, a network and a volume that are honest, and the same to be spoilt."""
    for name in ("honest", "victim"):
        await call(client, Verb.SPAWN, "networks", body={"Name": f"{name}-net"})
        await call(client, Verb.SPAWN, "volumes", body={"Name": f"{name}-data"})
        host = {"NetworkMode": f"{name}-net"}
        container = await make(client, name, "sleep 1000", f"{name}-data:/data", host=host)
        await container.start()


def objects_of(place: Place, name: str) -> Iterator[tuple[Resource, Any]]:
    """The objects of the things with a name."""
    assert place.fake is not None
    for plural, each in place.fake.store.everything():
        if plural in _FOLLOWED and name in str(each):
            yield _FOLLOWED[plural], copy.deepcopy(each)


async def shown(client: Client) -> Any:
    """What a client sees of what is honest."""
    containers = {each["Names"][0]: each["State"] for each in await client.ls(all=True)}
    networks = [each["Name"] for each in await call(client, Verb.LS, "networks")]
    volumes = [each["Name"] for each in (await call(client, Verb.LS, "volumes"))["Volumes"]]
    state = (await call(client, Verb.GET, "containers", "honest"))["State"]["Status"]
    return containers["/honest"], state, "honest-net" in networks, "honest-data" in volumes


async def test_garbage_spoils_only_what_it_is_about(
    place: Place, injected: Injected, caplog: pytest.LogCaptureFixture
) -> None:
    faults: list[tuple[str, object]] = []
    async with gateway(place) as client:
        await prepared(client)
        expected, requests = await shown(client), injected.requests
        assert expected == ("running", "running", True, True)
        for resource, object in list(objects_of(place, "victim")):
            original = copy.deepcopy(object)
            for where, each in spoilt(object, object):
                await injected.tell(resource, "MODIFIED", each)
                if (found := await shown(client)) != expected:
                    faults.append((f"{resource.plural}{where}", found))
                with suppress(SwarmError):
                    await call(client, Verb.GET, "containers", "victim")
                await injected.tell(resource, "MODIFIED", original)
    assert faults == []
    assert injected.requests == requests, "a watch broke"
    assert not [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
