"""The calls to ARM about container groups. Objects are ARM's own JSON; a name is that of a group."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, cast
from urllib.parse import quote

import orjson
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest

from swarmlib import BadAnswer, NotFound

from ..azure.client import Arm
from ..azure.failures import mapped
from ..azure.spec import Body, part, parts
from ..http.websocket_stream import WebSocketStream
from .record import MAIN

VERSION: Final = "2023-05-01"
_TYPE: Final = "Microsoft.ContainerInstance/containerGroups"


class Groups:
    """The container groups of one resource group."""

    def __init__(self, arm: Arm, resource_group: str, location: str) -> None:
        self._arm = arm
        self._resource_group = resource_group
        self._location = location
        self.scope: Final = f"/subscriptions/{arm.subscription}/resourceGroups/{resource_group}"
        """The id of the resource group."""

    def id(self, name: str) -> str:
        """Return the id of a group."""
        return f"{self.scope}/providers/{_TYPE}/{name}"

    async def list(self) -> list[Body]:
        """Return all groups, without their instance views; none if there is no such resource group."""
        found: list[Body] = []
        url = f"{self.scope}/providers/{_TYPE}?api-version={VERSION}"
        while url:
            try:
                page = await self._json("GET", url)
            except NotFound:
                return found
            found += page.get("value") or []
            url = str(page.get("nextLink") or "")
        return found

    async def get(self, name: str) -> Body | None:
        """Return a group with its instance view; None if there is none."""
        try:
            return await self._json("GET", self._url(name))
        except NotFound:
            return None

    async def put(self, name: str, body: Body) -> None:
        """Create a group, and wait until Azure has made it. The resource group is made if there is none."""
        make = partial(self._arm.resources.resources.begin_create_or_update_by_id, api_version=VERSION, parameters=body)
        try:
            await self._arm.finished(partial(make, self.id(name)))
        except NotFound as exc:
            if exc.details.get("azure") != "ResourceGroupNotFound":
                raise
            await self._arm.put_group(self._resource_group, {"location": self._location})
            await self._arm.finished(partial(make, self.id(name)))

    async def delete(self, name: str) -> None:
        """Delete a group, and wait until it is gone. One that doesn't exist counts as deleted."""
        remove = partial(self._arm.resources.resources.begin_delete_by_id, api_version=VERSION)
        try:
            await self._arm.finished(partial(remove, self.id(name)))
        except NotFound:
            return

    async def retag(self, name: str, tags: Body) -> None:
        """Replace the tags of a group."""
        await self._json("PATCH", self._url(name), {"tags": tags})

    async def start(self, name: str) -> None:
        """Have a group that is stopped or has ended begin to run."""
        await self._send("POST", self._url(name, "/start"))

    async def stop(self, name: str) -> None:
        """Stop a group, which is then no longer billed."""
        await self._send("POST", self._url(name, "/stop"))

    async def logs(self, name: str) -> str:
        """Return the last 4 MB that the container has written, each line with its time."""
        page = await self._json("GET", f"{self._url(name, f'/containers/{MAIN}/logs')}&timestamps=true")
        return str(page.get("content") or "")

    @asynccontextmanager
    async def attached(self, name: str) -> AsyncGenerator[WebSocketStream]:
        """Receive what the container writes from now on, for the time of the context."""
        async with self._socket(name, "attach", {}) as stream:
            yield stream

    @asynccontextmanager
    async def executing(self, name: str, program: str, rows: int, columns: int) -> AsyncGenerator[WebSocketStream]:
        """Run a program, which has no arguments, on a terminal in the container, for the time of the context."""
        body = {"command": program, "terminalSize": {"rows": rows, "cols": columns}}
        async with self._socket(name, "exec", body) as stream:
            yield stream

    @asynccontextmanager
    async def _socket(self, name: str, what: str, body: Body) -> AsyncGenerator[WebSocketStream]:
        promised = await self._json("POST", self._url(name, f"/containers/{MAIN}/{what}"), body)
        url, password = str(promised.get("webSocketUri") or ""), str(promised.get("password") or "")
        if not url.startswith("wss://"):
            raise BadAnswer(f"Azure answered {what} with no address of a WebSocket")
        async with self._arm.websocket(url) as connection, WebSocketStream(connection, client=True) as stream:
            await stream.send_all(password.encode())
            yield stream

    def _url(self, name: str, rest: str = "") -> str:
        return f"{quote(self.id(name))}{rest}?api-version={VERSION}"

    async def _json(self, method: str, url: str, body: Body | None = None) -> Body:
        try:
            found = orjson.loads(await self._send(method, url, body))
        except orjson.JSONDecodeError as exc:
            raise BadAnswer("Azure answered with something else than JSON") from exc
        if not isinstance(found, dict):
            raise BadAnswer("Azure answered with something else than a JSON object")
        return cast("Body", found)

    async def _send(self, method: str, url: str, body: Body | None = None) -> bytes:
        """Send a request, and return the body of the answer. Raises `SwarmError`."""
        with mapped():
            answer: Any = await self._arm.resources.send_request(HttpRequest(method, url, json=body))
            if answer.status_code >= 300:
                raise HttpResponseError(response=answer)
            content: bytes = answer.content
        return content


def container_of(group: Body) -> Body:
    """Return the properties of a group's container; empty if it has none, or several."""
    found = parts(part(group, "properties"), "containers")
    return part(found[0], "properties") if len(found) == 1 else {}
