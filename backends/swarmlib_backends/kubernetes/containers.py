"""The operations of containers in a cluster."""

from __future__ import annotations

import secrets
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final

import trio

from swarmlib import Request, Unsupported
from swarmlib.client.multiplexed import lines

from ..dockerapi import platforms
from ..dockerapi.detachkeys import Typed, keys
from ..dockerapi.operations import (
    ContainerAttach,
    ContainerCreate,
    ContainerInspect,
    ContainerList,
    ContainerLogs,
    ContainerResize,
)
from ..dockerapi.status import refusal
from ..dockerapi.values import terminal_size
from ..enginekit.attaching import ATTACHES, Attaching
from ..enginekit.bodies import check_process
from ..enginekit.containers import ContainerOperations
from ..enginekit.finishing import Finisher
from ..enginekit.health import plan_of
from ..enginekit.operations import FOLLOW, answers, body_of, ref_of
from ..enginekit.refusals import check_attachable, check_running, no_link
from ..enginekit.stdio import Stdio, chosen_streams
from ..registry.images import Images, Known
from . import linking, views
from .attach import AttachedProcess, RemoteStdio, confirmed, remote
from .captured import attached
from .cluster import Cluster
from .container import PodContainer
from .execs import Execs
from .holding import held
from .images.pulling import pull_secret
from .lifecycle import Lifecycle
from .listing import listed
from .log_lines import Wanted, log_lines
from .log_parts import parts_of
from .logged import LoggedStdio
from .logs import check_kept, open_logs, send_logs
from .networking import Networking
from .pods import names
from .pods.connections import bridge_links
from .pods.creation import new
from .pods.fields import refused
from .pods.health import command, plan
from .pods.options import PodOptions
from .pods.record import Image, Record
from .streams.remote import RemoteCommand
from .volume_operations import VolumeOperations

_BOTH: Final = {"stream": "1", "stdout": "1", "stderr": "1"}


class Containers(ContainerOperations[PodContainer]):
    """Answers what is asked of containers."""

    def __init__(
        self,
        cluster: Cluster,
        lifecycle: Lifecycle,
        networking: Networking,
        images: Images,
        execs: Execs,
        volumes: VolumeOperations,
        nursery: trio.Nursery,
    ) -> None:
        finisher = Finisher("kubernetes", nursery)
        super().__init__(cluster.mirror.containers, lifecycle, lifecycle.events, lifecycle.now, finisher)
        self._cluster = cluster
        self._life = lifecycle
        self._networking = networking
        self._images = images
        self._execs = execs
        self._volumes = volumes
        self._nursery = nursery
        self._terminals: dict[str, list[AttachedProcess]] = {}
        """The connections by which clients are attached, by the ids of the containers."""

    async def list_containers(self, request: Request) -> list[Any]:
        """See `ContainerOperations`."""
        if ContainerList.of(request).size:
            raise Unsupported("the sizes of containers are not known in a cluster")
        now, linked = self.now(), linking.names(self.store)
        return [
            views.summary(each, now, self._networking.shown(each), linked.get(each.id, ()))
            for each in listed(self._cluster.mirror, self._networking, request)
        ]

    async def create(self, request: Request) -> dict[str, Any]:
        """See `ContainerOperations`."""
        body, asked = linking.with_ids(body_of(request), self.store), ContainerCreate.of(request)
        if not body.get("Image"):
            raise refusal(400, "Config cannot be empty in order to create a container")
        check_process(body)
        platform = platforms.read(asked.platform) if asked.platform else platforms.HERE
        name = self.store.free_name(asked.name or f"kubernetes_{secrets.token_hex(4)}")
        known, warning = await self._images.of_container(str(body["Image"]), platform)
        secret = pull_secret(known.name, known.credentials) if known else None
        image = None if known is None else _image(known, secret)
        name_of = self._networking.networks.name_of
        record = new(name, body, image, self._cluster.options, self.now(), name_of)
        _check_health(record, self._cluster.options)
        await self._life.binds.check(record)
        await self._volumes.make_for(record)
        made = await self._cluster.create(record, secret)
        return {"Id": made.id, "Warnings": [warning] if warning else []}

    async def inspect(self, request: Request) -> dict[str, Any]:
        """See `ContainerOperations`."""
        if ContainerInspect.of(request).size:
            raise Unsupported("the sizes of containers are not known in a cluster")
        container = self.find(request)
        shown = views.inspect(container, self._networking.shown(container), self._execs.ids_of(container))
        return shown | {"HostConfig": {**shown["HostConfig"], "Links": linking.shown(container, self.store)}}

    def state(self, container: PodContainer) -> dict[str, Any]:
        """See `ContainerOperations`."""
        return container.state.described()

    def end(self, container: PodContainer) -> dict[str, Any]:
        """See `ContainerOperations`."""
        error = container.state.error
        return {"Error": {"Message": error} if error else None, **super().end(container)}

    def find(self, request: Request) -> PodContainer:
        """See `ContainerOperations`. A link names a container, too."""
        return linking.named(ref_of(request), self.store) or super().find(request)

    async def remove_link(self, ref: str) -> None:
        """See `ContainerOperations`."""
        parent, _, alias = ref.partition("/")
        found = self.store.named(parent)
        if found is None or alias not in (each for _, each in bridge_links(found.record)):
            raise no_link()
        await self._cluster.change(found, lambda each: linking.without(each, alias))

    async def rename(self, container: PodContainer, name: str) -> None:
        """See `ContainerOperations`."""
        before, free = container.name, self.store.new_name(container, name)
        await self._cluster.rename(container, free)
        self.events.tell_container(container, "rename", oldName=f"/{before}")

    async def end_for_removal(self, container: PodContainer) -> None:
        """See `ContainerOperations`. The cluster kills it with its Pod, also where no command can run in it."""
        self.events.tell_container(container, "kill", signal=str(int(signal.SIGKILL)))

    # Streams.

    @answers("ContainerLogs")
    async def _logs(self, request: Request) -> None:
        await send_logs(self._cluster, self._nursery, self.find(request), request)

    @answers(FOLLOW)
    async def _follow(self, request: Request) -> None:
        """Answer with a container's output as `log` replies, and its state when it ends."""
        container, reply = self.find(request), request.reply
        async with await self._output(container) as stream, aclosing(lines(stream, tty=container.tty)) as found:
            await reply.ack()
            async for line in found:
                await reply.log(line.data, details={"stream": line.stream})
        await container.until(lambda each: not each.running)
        await reply.set(self.state(container))

    async def _output(self, container: PodContainer) -> trio.abc.ReceiveStream:
        """Open the stream of all that a container writes, from its first start on. Raises `SwarmError`."""
        if container.status == "created":
            await self._life.gated(container)
            return await self._stream(container, ContainerAttach.read(_BOTH))
        return await open_logs(self._cluster, self._nursery, container, ContainerLogs.read(_BOTH | {"follow": "1"}))

    @answers(*ATTACHES)
    async def _attach(self, request: Request) -> None:
        container = self.find(request)
        check_attachable(container, ref_of(request))
        attaching = Attaching.of(request)
        if container.status == "created":
            await self._life.gated(container)
        stream = await self._stream(container, attaching.asked, framed=attaching.framed)
        self.events.tell_container(container, "attach")
        await attaching.ack(stream)

    async def _stream(self, container: PodContainer, asked: ContainerAttach, *, framed: bool = True) -> Stdio:
        """Attach a client to the process of a container. Raises `SwarmError`.

        framed: whether the output of one without a terminal says which stream it is of.
        """
        tty, opened = container.tty, bool(container.config.get("OpenStdin"))
        stdin = opened and asked.stdin and asked.stream
        remote_stdio: RemoteStdio | LoggedStdio
        if asked.logs and container.status != "created":
            stdin = stdin and container.running
            remote_stdio = await self._logged(container, follow=asked.stream, stdin=stdin)
        else:
            _check_input(container, stdin=stdin)
            waits = container.at_gate and (stdin or not opened)
            command = RemoteCommand("attach", names.MAIN, stdin=stdin or waits, stderr=not tty, tty=tty)
            closed = trio.Event()
            process = await self._attached(container, command, closed, waits=waits)
            remote_stdio = RemoteStdio(process, closed, self.now)
            if not asked.stream:
                remote_stdio.end()
        typed = Typed(keys(asked.detach_keys)) if tty else None
        once, on_detach = bool(container.config.get("StdinOnce")), partial(self._detached, container)
        streams, framed = chosen_streams(asked), framed and not tty
        return Stdio(
            remote_stdio, remote_stdio, streams, framed=framed, stdin=stdin, once=once, typed=typed, on_detach=on_detach
        )

    async def _logged(self, container: PodContainer, *, follow: bool, stdin: bool) -> LoggedStdio:
        """Return what a container has written, and what it writes, if that is followed; and its stdin."""
        check_kept(container)
        wanted, closed = Wanted(follow=follow and container.running), trio.Event()
        parts = await parts_of(self._cluster, container)
        lines = await held(self._nursery, log_lines(self._cluster, container, parts, wanted), closed)
        stdio = LoggedStdio(lines, closed)
        if stdin:
            command = RemoteCommand("attach", names.MAIN, stdin=True, stdout=False, stderr=False, tty=container.tty)
            try:
                stdio.process = await self._attached(container, command, closed)
            except BaseException:
                closed.set()
                raise
        return stdio

    async def _attached(
        self, container: PodContainer, command: RemoteCommand, closed: trio.Event, *, waits: bool = False
    ) -> AttachedProcess:
        """Attach to a process until `closed` is set; to one that `waits` at its gate, until that is in effect."""
        attach = partial(held, self._nursery, self._terminal(container, command), closed)
        if not waits:
            return await attach()
        try:
            return await confirmed(self._cluster, container, attach)
        except BaseException:
            closed.set()
            raise

    @asynccontextmanager
    async def _terminal(self, container: PodContainer, command: RemoteCommand) -> AsyncGenerator[AttachedProcess]:
        """Attach to a process, whose terminal can be resized for the time of the context."""
        async with attached(self._cluster, container, command) as process:
            terminals = self._terminals.setdefault(container.id, [])
            terminals.append(process)
            try:
                yield process
            finally:
                terminals.remove(process)
                if not terminals:
                    self._terminals.pop(container.id, None)

    async def _detached(self, container: PodContainer) -> None:
        self.events.tell_container(container, "detach")

    @answers("ContainerResize")
    async def _resize(self, request: Request) -> None:
        rows, columns = terminal_size(ContainerResize.of(request))
        container = self.find(request)
        if container.pod is None:
            check_running(container)
        command = RemoteCommand("attach", names.MAIN, stdout=True, stderr=False, tty=True)
        for process in self._terminals.get(container.id, []):
            await process.resize(rows, columns)
            break
        else:
            async with remote(self._cluster, container, command) as process:
                await process.resize(rows, columns)
        self.events.tell_container(container, "resize", height=str(rows), width=str(columns))


def _check_input(container: PodContainer, *, stdin: bool) -> None:
    """Refuse an attach to an input that the cluster has closed, as it does once, at the end of an attach.

    Raises:
        Unsupported: it is closed.
    """
    first = 1 if container.running else 0
    once = bool(container.config.get("StdinOnce")) and not container.tty
    if stdin and once and container.record.keep and container.record.run > first:
        raise Unsupported(f"the input of {container.name} has ended with its first run, and can't be opened again")


def _check_health(record: Record, options: PodOptions) -> None:
    """Refuse a health check that can't be made; that of an image is left out then. Raises `Unsupported`."""
    if options.tools == "never" and plan_of(record.body) is not None:
        raise refused(("Healthcheck", "swarmlib's tools make the checks, which --tools never forbids"))
    if (found := plan(record, options)) is not None:
        command(record, found, options)


def _image(known: Known, secret: Mapping[str, Any] | None) -> Image:
    """Return what the record of a container keeps of its image. secret: that which pulls it, if it needs one."""
    return Image(known.reference, known.shown_id, known.found.config, secret["metadata"]["name"] if secret else "")
