"""The operations of containers."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from swarmlib import UNSENT, Request, Unavailable, Unsupported

from ..dockerapi import platforms
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import ContainerCreate, ContainerList
from ..dockerapi.platforms import Platform
from ..dockerapi.status import refusal
from ..enginekit import views
from ..enginekit.attaching import ATTACHES, Attaching
from ..enginekit.bodies import check_process
from ..enginekit.containers import ContainerOperations
from ..enginekit.filters import FILTERS, Filter, by_exit, chosen, one_of
from ..enginekit.finishing import Finisher
from ..enginekit.operations import FOLLOW, answers, body_of, ref_of
from ..enginekit.refusals import check_attachable
from ..registry.images import Images
from .container import Instance
from .lifecycle import Lifecycle
from .mirror import Mirror
from .options import AciOptions
from .output import Outputs
from .record import Record

_FILTERS: Final[Mapping[str, Filter[Instance]]] = {
    **FILTERS,
    "ancestor": one_of(lambda each, value: value == each.image),
    "exited": by_exit,
}
_PLATFORM: Final = Platform("linux", "amd64")
"""That of Azure's machines for containers."""


class Containers(ContainerOperations[Instance]):
    """Answers what is asked of containers."""

    def __init__(
        self,
        options: AciOptions,
        mirror: Mirror,
        lifecycle: Lifecycle,
        images: Images,
        outputs: Outputs,
        now: Callable[[], float],
        finisher: Finisher,
    ) -> None:
        super().__init__(mirror.containers, lifecycle, mirror.events, now, finisher)
        self._options = options
        self._mirror = mirror
        self._life = lifecycle
        self._images = images
        self._outputs = outputs

    async def list_containers(self, request: Request) -> list[Any]:
        """See `ContainerOperations`."""
        if ContainerList.of(request).size:
            raise Unsupported("the sizes of containers are not known on Azure")
        newest = sorted(self.store, key=lambda each: each.created, reverse=True)
        return [_summary(each) for each in chosen(newest, request, _FILTERS)]

    async def create(self, request: Request) -> dict[str, Any]:
        """See `ContainerOperations`. Nothing is made on Azure before the start."""
        body, asked = body_of(request), ContainerCreate.of(request)
        if not body.get("Image"):
            raise refusal(400, "Config cannot be empty in order to create a container")
        check_process(body)
        if asked.platform and platforms.read(asked.platform) != _PLATFORM:
            raise Unsupported(f"containers on Azure are of {_PLATFORM}, not of {asked.platform}")
        name = self.store.free_name(asked.name or f"aci_{secrets.token_hex(4)}")
        self._check_room()
        known, warning = await self._images.of_container(str(body["Image"]), _PLATFORM)
        record = Record.new(name, self.now(), body, known.found.config if known else {})
        self._life.body(record)  # what Azure can't have is refused here
        return {"Id": self._mirror.add(record).id, "Warnings": [*([warning] if warning else []), *_warnings(record)]}

    def _check_room(self) -> None:
        held = sum(each.running or each.group is None for each in self.store)
        if self._options.max and held >= self._options.max:
            raise Unavailable(f"all {self._options.max} containers that --max allows are there", details={UNSENT: True})

    async def inspect(self, request: Request) -> dict[str, Any]:
        """See `ContainerOperations`."""
        container = self.find(request)
        address = {"IPAddress": container.address, "Gateway": "", "MacAddress": ""}
        network = {"azure": address} if container.address else {}
        own = {"RestartCount": container.state.restarts, "Image": _image_id(container)}
        shown = views.inspect(container, "aci") | own
        settings = {"Networks": network, "IPAddress": container.address, "Ports": _bound(container)}
        return shown | {"NetworkSettings": settings, "Azure": container.group}

    def state(self, container: Instance) -> dict[str, Any]:
        """See `ContainerOperations`."""
        return views.state(container)

    def end(self, container: Instance) -> dict[str, Any]:
        """See `ContainerOperations`."""
        error = container.error
        return {"Error": {"Message": error} if error else None, **super().end(container)}

    async def rename(self, container: Instance, name: str) -> None:
        """See `ContainerOperations`."""
        before, free = container.name, self.store.new_name(container, name)
        await self._life.rename(container, free)
        self.events.tell_container(container, "rename", oldName=f"/{before}")

    async def end_for_removal(self, container: Instance) -> None:
        """See `ContainerOperations`. Azure ends it with its group."""

    @answers("ContainerLogs")
    async def _logs(self, request: Request) -> None:
        await self._outputs.send_logs(self.find(request), request)

    @answers(*ATTACHES)
    async def _attach(self, request: Request) -> None:
        container = self.find(request)
        check_attachable(container, ref_of(request))
        await self._outputs.attach(container, Attaching.of(request))
        self.events.tell_container(container, "attach")

    @answers(FOLLOW)
    async def _follow(self, request: Request) -> None:
        """Answer with a container's output as `log` replies, and its state when it ends."""
        container = self.find(request)
        await self._outputs.tell_lines(container, request.reply)
        await request.reply.set(self.state(container))


def _warnings(record: Record) -> list[str]:
    ports = dict_of(record.host.get("PortBindings"))
    return [f"the port {key} gets an address of Azure's at the start, which docker inspect shows" for key in ports]


def _summary(container: Instance) -> dict[str, Any]:
    ports = [
        {"IP": each["HostIp"], "PrivatePort": int(key.partition("/")[0]), "PublicPort": int(each["HostPort"]),
         "Type": key.partition("/")[2]}
        for key, bound in _bound(container).items()
        for each in list_of(bound)
    ]  # fmt: skip
    return views.summary(container) | {"Ports": ports, "ImageID": _image_id(container)}


def _image_id(container: Instance) -> str:
    """Return an id for the image, which Azure does not tell: one made of its name, since clients cut ids short."""
    return f"sha256:{hashlib.sha256(container.image.encode()).hexdigest()}"


def _bound(container: Instance) -> dict[str, Any]:
    """Return where the ports of a container are reached, once it has an address."""
    if not container.address:
        return {}
    keys = {f"{key.partition('/')[0]}/{key.partition('/')[2] or 'tcp'}": key.partition("/")[0]
            for key in dict_of(container.host.get("PortBindings"))}  # fmt: skip
    return {key: [{"HostIp": container.address, "HostPort": port}] for key, port in keys.items()}
