"""Backends that play an engine: what each answers is found by the row of the routing table that a request is."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar, Final, Generic, TypeVar

import trio

from swarmlib import CLEANUP_SECONDS, Invalid, NotFound, Request, Server, Unsupported, Verb
from swarmlib.request import Handler

from ..dockerapi import platforms, table
from ..dockerapi.canonical import canonical
from ..dockerapi.filters import flag
from ..dockerapi.operations import ContainerCreate, ContainerStart, ImageCreate, ImageList
from ..dockerapi.references import looked_for
from ..dockerapi.rows import ROWS
from ..dockerapi.versions import check_spoken
from . import views
from .bodies import Accepted
from .clock import Clock
from .container import Container
from .events import Events
from .filters import FILTERS, IMAGES, Filter, by_exit, checked, chosen, one_of
from .finishing import Finisher
from .lifecycle import Runner
from .operations import FOLLOW, Operations, answers, operations_of
from .refusals import no_such_place
from .store import ContainerStore
from .streams import StreamedContainerOperations

_CLOSING_GRACE: Final = CLEANUP_SECONDS / 2


C = TypeVar("C", bound=Container)


class EngineServer(Server):
    """A backend that plays an engine.

    Its `lifespan` sets `operations`, by `operations_of`. Each gets the canonical form of its request, unless an engine
    refuses that before it looks for anything.
    """

    position = "last"

    operations: Operations

    @answers("SystemPing", "SystemPingHead")
    async def _ping(self, request: Request) -> None:
        await views.pong(request.reply)

    def handlers(self) -> Mapping[Verb, Handler]:
        """Return what answers each verb: every one of the table, and `attach`, for which an engine has several rows."""
        return dict.fromkeys((*(row.verb for row in ROWS), Verb.ATTACH), partial(_play, self.answer))

    async def answer(self, request: Request) -> Any:
        """Answer a request in canonical form. Raises `SwarmError`; `Unsupported` for what the backend has not."""
        operation = self.operations.get(_operation_of(request))
        if operation is None:
            raise no_such_place(self.name, request)
        return await operation(request)


def _operation_of(request: Request) -> str:
    """Return the name of the row that a request is; "" for none."""
    if request.verb is Verb.ATTACH:
        return FOLLOW if len(request.path) == 2 and request.path[0] == "containers" else ""
    try:
        return table.row_of(request.verb, request.path, upload=request.upload is not None).name
    except Unsupported:
        return ""


async def _play(handler: Handler, request: Request) -> Any:
    check_spoken(request)
    known = canonical(request)
    _check(known)
    return await handler(known)


def _check(request: Request) -> None:
    """Refuse what only an experimental engine does, and what is no platform; a build says so only when it has begun."""
    if isinstance(request.params, ContainerStart) and request.params.checkpoint:
        raise Invalid("checkpoint is only supported in experimental mode")
    if isinstance(request.params, ContainerCreate | ImageCreate) and request.params.platform:
        platforms.read(request.params.platform)


class ContainerServer(EngineServer, Generic[C]):
    """A backend that has containers of its own, and nothing else: of images it only knows the names.

    It says what a container is (`make`), and what the body of its creation may set (`accepted`).
    """

    accepted: ClassVar[Accepted]
    filters: ClassVar[Mapping[str, Filter[Container]]] = {
        **FILTERS,
        "ancestor": one_of(lambda each, value: each.image == value),
        "exited": by_exit,
    }
    """The filters of its lists."""

    @abstractmethod
    def make(self, id: str, name: str, body: dict[str, Any]) -> C:
        """Return a new container. Raises `SwarmError` where it can't be.

        id, name: its own, which no other has. body: that of its creation, which `accepted` has checked.
        """

    def check(self, body: Any) -> dict[str, Any]:
        """Return the body of a creation, if it can be honoured. Raises `SwarmError`."""
        return self.accepted.check(body)

    def about(self) -> dict[str, Any]:
        """Return what the backend says of itself besides what every one does."""
        return {}

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the containers. When the stage closes, they are asked to end, then made to."""
        self.store = ContainerStore[C]()
        self.events = Events(Clock())
        async with trio.open_nursery() as self.nursery:
            runner = Runner(self.name, self.store, self.events, self.nursery)
            self.operations = operations_of(_Operations(self, runner), self.events, self)
            try:
                yield
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSING_GRACE):
                    await runner.stop_all(_CLOSING_GRACE / 2)
                self.nursery.cancel_scope.cancel()


class _Operations(StreamedContainerOperations[C]):
    """What a `ContainerServer` answers: of its containers, of itself, and of images, of which it has none."""

    def __init__(self, server: ContainerServer[C], runner: Runner[C]) -> None:
        super().__init__(server.store, runner, server.events, Clock().now, Finisher(runner.backend, runner.nursery))
        self._server = server

    async def list_containers(self, request: Request) -> list[Any]:
        return [views.summary(each) for each in chosen(reversed(self.store), request, self._server.filters)]

    async def create(self, request: Request) -> dict[str, Any]:
        server = self._server
        body = server.check(request.json)
        asked = ContainerCreate.of(request)
        if asked.platform and platforms.read(asked.platform) != platforms.HERE:
            raise Unsupported(f"{server.accepted.what} is of {platforms.HERE}, not of {asked.platform}")
        name = self.store.free_name(asked.name or f"{server.name}_{secrets.token_hex(4)}")
        container = server.make(secrets.token_hex(32), name, body)
        views.check_shown(container)
        self.store.add(container)
        self.events.tell_container(container, "create")
        return {"Id": container.id, "Warnings": []}

    async def inspect(self, request: Request) -> dict[str, Any]:
        return views.inspect(self.find(request), self._server.name)

    def state(self, container: C) -> dict[str, Any]:
        return views.state(container)

    @answers("SystemVersion")
    async def _version(self, request: Request) -> dict[str, Any]:
        return views.version()

    @answers("SystemInfo")
    async def _info(self, request: Request) -> dict[str, Any]:
        return views.info(self._server.name, (each.status for each in self.store)) | self._server.about()

    @answers("SystemDataUsage")
    async def _disk_usage(self, request: Request) -> dict[str, Any]:
        return views.disk_usage(self.store)

    @answers("ImageList")
    async def _list_images(self, request: Request) -> list[Any]:
        wanted = checked(ImageList.of(request).filters, IMAGES)
        if "dangling" in wanted:
            flag(wanted, "dangling", ["true"], ["false"])
        for name in ("before", "since"):
            for ref in wanted.get(name, []):
                raise NotFound(f"No such image: {looked_for(ref)}")
        return []

    @answers("ImageInspect")
    async def _inspect_image(self, request: Request) -> Any:
        ref = request.path[1]
        raise NotFound(f"no such image: {ref}: No such image: {looked_for(ref)}")
