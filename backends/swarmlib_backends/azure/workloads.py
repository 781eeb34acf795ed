"""Virtual machines as workloads, by the Docker Engine API."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, cast

from swarmlib import (
    Ambiguous,
    BytesStream,
    Conflict,
    Invalid,
    NotFound,
    Request,
    Server,
    Unavailable,
    Unsupported,
    Verb,
)
from swarmlib.request import Handler

from ..dockerapi.canonical import reading_canonical
from ..dockerapi.nullable import dict_of
from ..dockerapi.operations import ContainerCreate, ContainerDelete, ContainerLogs, ContainerWait
from ..dockerapi.parameters import Flag, Params
from ..enginekit.bodies import ATTACHED, HARMLESS, Accepted
from ..enginekit.refusals import no_such_place, still_runs
from ..enginekit.views import pong
from . import objects
from .access import Access, Shell
from .billing import status, with_address
from .client import connected
from .console import console
from .events import Events
from .machines import check_ours, default_spec, machines
from .objects import Machine
from .options import AzureOptions
from .provisioning import provisioning
from .removal import named
from .resources import MACHINES
from .shutdown import note_start
from .spec import LABEL, TAG, Body, Spec, is_reserved
from .tag_rules import check_tags

_CONTAINERS: Final = "containers"
_VERSION: Final = {"Version": "azure", "ApiVersion": "1.41", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}
_ID: Final = re.compile(r"[0-9a-f]{4,64}")
_ACCEPTED: Final = Accepted(
    "a virtual machine",
    ATTACHED | {"Image", "Labels", "Hostname", "HostConfig", "NetworkingConfig"},
    HARMLESS,
    advice=f": omit it; labels such as {LABEL}size=Standard_D2s_v5 say what it can have, and azure's --open-port opens"
    " ports of all machines",
)


class _PowerOff(Params):
    """The parameters of a stop or a kill, besides those of an engine."""

    keep_allocated = Flag()


@dataclass(eq=False)
class Workloads(Server):
    """The machines of one resource group."""

    options: AzureOptions

    @property
    def name(self) -> str:
        """The names of the backend and of the group, which tell several of these backends apart."""
        return f"azure {self.options.group}"

    def handlers(self) -> Mapping[Verb, Handler]:
        """Return the methods by the verbs that they are named for; each gets its request in canonical form."""
        return reading_canonical(super().handlers())

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the connection to Azure, and the rollbacks that are under way."""
        options = self.options
        async with connected(options.subscription, options.cloud) as self._arm:
            self._access = Access(options, self._arm)
            async with provisioning(self._arm, options.group, self._access) as self._maker:
                self._events = Events(self._machines, options.poll)
                yield

    # Reads.

    async def ls(self, request: Request) -> Any:
        """List the machines; there are no images."""
        match request.path:
            case ("containers",):
                return objects.listed(await self._machines(), request)
            case ("images",):
                return []
            case _:
                raise no_such_place("azure", request)

    async def get(self, request: Request) -> Any:
        """Return the state of the service or of a machine."""
        match request.path:
            case ():
                found = await self._machines()
                addressed = await with_address(self._arm, self.options.group)
                return objects.info(found, self.name, status(found, addressed))
            case ("version",):
                return _VERSION
            case ("ping",) | ("ping", "head"):
                await pong(request.reply)
                return None
            case ("containers", ref):
                machine = await self._find(ref)
                return objects.inspect(machine, *await self._access.addresses(machine.interfaces))
            case ("images", name):
                # An image is only a name here: Azure tells whether it exists when a machine is created.
                return {"Id": name, "RepoTags": [name], "Config": {}}
            case _:
                raise no_such_place("azure", request)

    async def watch(self, request: Request) -> None:
        """Send events, or wait for a machine's end."""
        match request.path:
            case ():
                await self._events.send(request)
            case ("containers", ref, "wait"):
                machine = await self._find(ref)
                await request.reply.ack()
                await self._events.stopped(machine.id, ContainerWait.of(request).condition)
                await request.reply.set({"StatusCode": 0})
            case _:
                raise no_such_place("azure", request)

    async def _machines(self) -> list[Machine]:
        return await machines(self._arm, self.options.group)

    async def _find(self, ref: str) -> Machine:
        """Return a machine by its name, its id, or a unique prefix of its id.

        Raises:
            Ambiguous: more than one machine has the prefix.
            NotFound: no machine matches.
        """
        name = ref.removeprefix("/")
        if not _ID.fullmatch(name) or len(name) < 64:
            found = await self._arm.find(self._maker.id(MACHINES, name), expand="instanceView")
            if found is not None:
                return Machine.of(found)
        fitting = [each for each in await self._machines() if _ID.fullmatch(ref) and each.id.startswith(ref)]
        if len(fitting) > 1:
            raise Ambiguous(f"{ref} fits more than one virtual machine: {', '.join(each.name for each in fitting)}")
        if not fitting:
            raise NotFound(f"No such container: {ref} (no virtual machine of {self.options.group})")
        return fitting[0]

    # Changes.

    async def spawn(self, request: Request) -> Any:
        """Create a machine; a repeated request gives the machine that exists already."""
        if request.path[2:] == ("exec",):
            why = f"commands can't be run on a virtual machine: `docker attach {request.path[1]}` opens a shell by ssh"
            raise Unsupported(why, path=request.path)
        if request.path != (_CONTAINERS,):
            raise no_such_place("azure", request)
        spec = self.spec(ContainerCreate.of(request).name or f"vm-{os.urandom(4).hex()}", request.json)
        made = Machine.of(await self._maker.make(spec))
        self._events.look()
        return {"Id": made.id, "Warnings": []}

    def spec(self, name: str, body: Any) -> Spec:
        """Return the spec that a create body asks for.

        Raises:
            Invalid: the body is not a valid create body.
            Unsupported: the body sets a field that a virtual machine can't have; the message names it.
        """
        config = _ACCEPTED.check(body)
        spec = default_spec(self.options, name, self._access, engine=False)
        spec = replace(spec, host=str(config.get("Hostname") or ""))
        labels = dict(cast("dict[str, str]", config.get("Labels") or {}))
        if image := str(config.get("Image") or ""):
            labels.setdefault(f"{LABEL}image", image.removesuffix(":latest") if image.count(":") == 1 else image)
        return spec.described_by(labels)

    async def start(self, request: Request) -> None:
        """Switch a machine on."""
        machine = await self._ours(self._ref(request))
        if machine.power == "running":
            await request.reply.ack(details={"status": 304})
            return
        await self._operate(machine, self._arm.compute.virtual_machines.begin_start)
        if TAG in machine.tags:
            await note_start(self._arm, self.options.group, machine)

    async def stop(self, request: Request) -> None:
        """Switch a machine off, and deallocate it to end its billing, unless `keep_allocated` asks otherwise."""
        operations = self._arm.compute.virtual_machines
        match request.path:
            case ("containers", ref, "kill"):
                await self._off(await self._ours(ref), request, partial(operations.begin_power_off, skip_shutdown=True))
            case _:
                await self._off(await self._ours(self._ref(request)), request, operations.begin_power_off)

    async def _off(self, machine: Machine, request: Request, power_off: Callable[..., Awaitable[Any]]) -> None:
        asked = _PowerOff.of(request)
        keep = asked.keep_allocated if "keep_allocated" in asked else self.options.keep_allocated
        if machine.power == "deallocated" or (keep and machine.power == "stopped"):
            await request.reply.ack(details={"status": 304})
            return
        await self._operate(machine, power_off if keep else self._arm.compute.virtual_machines.begin_deallocate)

    async def rm(self, request: Request) -> None:
        """Remove a machine, with its disk, interface and address."""
        machine = await self._ours(self._ref(request))
        if machine.running and not ContainerDelete.of(request).force:
            raise still_runs(machine.id, "running")
        left = await self._maker.remove(machine.body)
        self._events.look()
        if left:
            raise Unavailable(f"{machine.name} is removed, but not all that it used: {'; '.join(named(left))}")

    async def set(self, request: Request) -> None:
        """Change a machine's size and tags (`update`), or restart it."""
        operations = self._arm.compute.virtual_machines
        match request.path:
            case ("containers", ref, "update"):
                await self._update(await self._ours(ref), *_changes(request.json))
            case ("containers", ref, "restart"):
                await self._operate(await self._ours(ref), operations.begin_restart)
            case ("containers", ref, "resize"):
                await self._find(ref)  # resizes a terminal: an ssh connection has none that could be resized
            case ("containers", _, "rename"):
                raise Unsupported("renaming a virtual machine is not supported by Azure", path=request.path)
            case _:
                raise no_such_place("azure", request)

    async def _update(self, machine: Machine, tags: Mapping[str, str], size: str) -> None:
        if tags:
            await self._arm.tag(machine.arm_id, tags)
        if size:
            patch = {"properties": {"hardwareProfile": {"vmSize": size}}}
            await self._operate(machine, partial(self._arm.compute.virtual_machines.begin_update, parameters=patch))
        self._events.look()

    async def _operate(self, machine: Machine, begin: Callable[..., Awaitable[Any]]) -> None:
        await self._arm.finished(partial(begin, self.options.group, machine.name))
        self._events.look()

    def _ref(self, request: Request) -> str:
        if len(request.path) != 2 or request.path[0] != _CONTAINERS:
            raise no_such_place("azure", request)
        return request.path[1]

    async def _ours(self, ref: str) -> Machine:
        """Return a machine, as `_find` does, that may be changed.

        Raises:
            Denied: it may not, because swarmlib did not make it.
        """
        machine = await self._find(ref)
        check_ours(self.options, machine)
        return machine

    # Streams.

    async def connect(self, request: Request) -> None:
        """Open a shell on the machine by ssh, or return the output of its console (boot diagnostics)."""
        match request.path:
            case ("containers", ref):
                machine = await self._find(ref)
                if not machine.running:
                    raise Conflict(f"{machine.name} is {machine.power or 'not made yet'}, not running")
                shell = await Shell.open(await self._access.command(machine))
                await request.reply.ack(stream=shell)
            case ("containers", ref, "logs"):
                asked = ContainerLogs.of(request)
                if asked.follow:
                    raise Unsupported("--follow is not supported for boot diagnostics", path=request.path)
                text = await console(self._arm, (await self._find(ref)).arm_id)
                await request.reply.ack(stream=BytesStream(_tail(text, asked.tail)))
            case _:
                raise no_such_place("azure", request)


def _changes(body: Any) -> tuple[dict[str, str], str]:
    """Return the new tags and the new size ("" for none) that an `update` asks for by `Labels`."""
    given = {key: value for key, value in cast("Body", body or {}).items() if value}
    labels = {key: value for key, value in dict_of(given.pop("Labels", None)).items() if not is_reserved(key)}
    given = {key: value for key, value in given.items() if key not in HARMLESS or not HARMLESS[key](value)}
    size = labels.pop(f"{LABEL}size", "") if labels else ""
    fixed = [name for name in labels if name.startswith(LABEL)]
    if given or fixed:
        raise Unsupported(f"only tags and {LABEL}size of a virtual machine can be changed, by Labels; not supported: "
                          f"{', '.join([*given, *fixed])}")  # fmt: skip
    check_tags(labels)
    if not labels and not size:
        raise Invalid(f"Labels is missing, with tags or {LABEL}size to change")
    return labels, size


def _tail(text: bytes, count: int | None) -> bytes:
    """Return the last lines of a text, or all of it."""
    if count is None:
        return text
    return b"".join(text.splitlines(keepends=True)[-count:]) if count > 0 else b""
