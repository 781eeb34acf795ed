"""The operations of containers that a simulated engine has in its own way: making, changing and showing them."""

from __future__ import annotations

from typing import Any, Final

from swarmlib import Json, Request, SwarmError, Unsupported

from ..dockerapi import platforms
from ..dockerapi.nullable import dict_of
from ..dockerapi.operations import ContainerCreate, ContainerInspect, ContainerTop
from ..dockerapi.status import refusal
from ..enginekit.bodies import check_config, check_restart_policy
from ..enginekit.finishing import Finisher
from ..enginekit.operations import answers, body_of
from ..enginekit.refusals import check_not_restarting, check_running, no_link
from ..enginekit.stats import Asked, Sample, shown
from ..enginekit.streams import StreamedContainerOperations
from . import create, stats, views
from .container import Container, Endpoint
from .engine import Engine
from .image import Image
from .lifecycle import Lifecycle
from .links import make_links, unlink
from .listing import listed
from .logdrivers import check_readable
from .mounts import make_volumes, mount_all, mounts_asked
from .networks import NetworkStore
from .processes import processes_in
from .resources import check_resources, check_security, check_storage

_TITLES: Final = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]


class Containers(StreamedContainerOperations[Container]):
    """Answers what is asked of containers."""

    def __init__(self, engine: Engine, lifecycle: Lifecycle) -> None:
        finisher = Finisher("simulator", engine.nursery)
        super().__init__(engine.containers, lifecycle, engine.events, engine.clock.now, finisher)
        self._engine = engine

    def find(self, request: Request) -> Container:
        """Return the container that a request names, by a link to it too. Raises `NotFound`."""
        return self._engine.find(request.path[1])

    async def list_containers(self, request: Request) -> Json:
        """See `ContainerOperations`."""
        return Json(listed(self._engine, request))

    async def inspect(self, request: Request) -> dict[str, Any]:
        """See `ContainerOperations`."""
        container = self.find(request)
        shown = views.inspect(container)
        return shown | views.sizes(container) if ContainerInspect.of(request).size else shown

    async def create(self, request: Request) -> dict[str, Any]:
        """See `ContainerOperations`."""
        body = request.json
        if body is None or body == {}:
            raise refusal(400, "Config cannot be empty in order to create a container")
        asked = ContainerCreate.of(request)
        made = self.make(body_of(request), asked.name, platform=asked.platform)
        return {"Id": made.id, "Warnings": []}

    def make(self, body: dict[str, Any], name: str = "", image: Image | None = None, platform: str = "") -> Container:
        """Make a container, of the image that the body names if none is given, which must be of a platform then.

        A body may name no image, and a command that such a container has nowhere.

        Raises:
            SwarmError: it can't be made so.
        """
        engine = self._engine
        create.check_modes(body)
        check_config(body)
        host = create.host_of(body, engine)
        asked = create.networks_asked(body)
        image = image or self._image(str(body.get("Image") or ""), platform)
        id = engine.names.id()
        config = create.config_of(body, image, engine.name if host["NetworkMode"] == "host" else id[:12])
        name = self.store.free_name(name) if name else engine.names.name(self.store.named)
        networks = _networks(host["NetworkMode"], asked, engine.networks)
        container = Container(id, name, engine.clock.now(), image, config, host, networks)
        try:
            check_security(host)
            check_storage(host)
            container.mounts = mounts_asked(config, host, engine)
            make_volumes(container.mounts, engine)
            mount_all(container.files, container.mounts, engine)
            make_links(container, engine)
        except SwarmError:
            engine.tell(container, "destroy")  # as an engine does, though it never told of a create
            raise
        self.add(container)
        engine.tell(container, "create")
        return container

    def _image(self, ref: str, platform: str) -> Image:
        if not ref:
            return self._engine.images.nothing()
        image = self._engine.images.find(ref)
        if platform and (wanted := platforms.read(platform)) != platforms.HERE:
            text = f"image with reference {ref} was found but does not match the specified platform"
            raise refusal(404, f"{text}: wanted {wanted}, actual: {platforms.HERE}")
        return image

    def add(self, container: Container) -> None:
        """Add one that was made."""
        self.store.add(container)
        self._engine.listed.clear()

    @answers("ContainerUpdate")
    async def _update(self, request: Request) -> dict[str, Any]:
        if request.json is None:
            raise refusal(500, "EOF")
        body = body_of(request)
        container = self.find(request)
        check_resources(body, self._engine)
        check_restart_policy(dict_of(body.get("RestartPolicy")))
        container.host = create.update(container.host, body, container.id)
        self._engine.tell(container, "update")
        return {"Warnings": None}

    def state(self, container: Container) -> dict[str, Any]:
        """See `ContainerOperations`."""
        return views.state(container)

    def end(self, container: Container) -> dict[str, Any]:
        """See `ContainerOperations`."""
        return {"Error": {"Message": container.error} if container.error else None, **super().end(container)}

    async def rename(self, container: Container, name: str) -> None:
        """See `ContainerOperations`. Lists say something else then of it, and of those that it has names for."""
        await super().rename(container, name)
        for each in (container, *container.links.values()):
            self._engine.changed(each)

    def attached(self, container: Container) -> None:
        """See `ContainerOperations`."""
        self._engine.tell(container, "attach")

    async def remove_link(self, ref: str) -> None:
        """See `ContainerOperations`."""
        parent, _, alias = ref.partition("/")
        found = self.store.named(parent)
        if not alias or found is None:
            raise no_link()
        unlink(found, alias, self._engine)

    def size(self, container: Container) -> int:
        """See `ContainerOperations`."""
        return container.files.size

    async def logs(self, request: Request) -> None:
        """See `ContainerOperations`."""
        check_readable(self.find(request).host)
        await super().logs(request)

    # Looking into it.

    @answers("ContainerTop")
    async def _top(self, request: Request) -> dict[str, Any]:
        container = self.find(request)
        if ContainerTop.of(request).ps_args != "-ef":
            raise Unsupported("top takes no ps options in the simulator")
        check_running(container)
        check_not_restarting(container)
        self._engine.tell(container, "top")
        user = container.config["User"] or "root"
        found = [(process.pid, " ".join(process.command)) for process in processes_in(container)]
        rows = found or [(container.pid, " ".join(container.command))]
        fixed = ["0", stats.clock_time(container.started), "?", "00:00:00"]
        return {"Processes": [[user, str(pid), "1", *fixed, text] for pid, text in rows], "Titles": _TITLES}

    @answers("ContainerStats")
    async def _stats(self, request: Request) -> None:
        container, reply = self.find(request), request.reply
        asked = Asked.of(request)
        await asked.ack()
        once = asked.at_once or not container.running
        before = Sample() if once else stats.sample(self._engine, container)
        while container in self.store:
            if not once:
                await self._engine.clock.sleep(1.0)
            now = stats.sample(self._engine, container)
            await reply.set(shown(container.id, container.name, before, now))
            if not asked.streams:
                return
            before, once = now, False


def _networks(mode: str, asked: dict[str, dict[str, Any]], networks: NetworkStore) -> dict[str, Endpoint]:
    if mode.startswith("container:"):
        return {}
    given = asked or {mode: {}}
    return {"bridge" if ref == "default" else networks.name_of(ref): Endpoint(each) for ref, each in given.items()}
