"""The operations of containers: from create to remove, logs and stdio, stats, and the files in them."""

from __future__ import annotations

import base64
import posixpath
import signal
from functools import partial
from typing import Any, Final

import orjson
import trio

from swarmlib import BytesStream, Invalid, Json, Request, SwarmError, Unsupported

from ..dockerapi import platforms
from ..dockerapi.containernames import free_name, no_link, other_name
from ..dockerapi.nulls import fields
from ..dockerapi.status import refusal
from ..dockerapi.streams import send_logs, stdio, stream_headers
from ..dockerapi.values import (
    check_checkpoint_dir,
    is_true,
    killing,
    no_such_signal,
    number,
    signal_asked,
    signal_number,
    still_runs,
    terminal_size,
)
from . import create, stats, views
from .asked import Operations, body_of, filters_of, labels_wanted, ref_of, until_of, upload_of
from .container import Container
from .engine import Engine
from .files import tar
from .images import Image
from .lifecycle import Lifecycle, check_not_restarting, not_running
from .links import make_links, unlink
from .listing import listed
from .logdrivers import check_readable
from .mounts import make_volumes, mount_all, mounts_of
from .networks import Endpoint
from .paths import check_length
from .processes import processes_in
from .resources import check_resources, check_security, check_storage

_TITLES: Final = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]


class Containers:
    """Answers what is asked of containers."""

    def __init__(self, engine: Engine, lifecycle: Lifecycle) -> None:
        self._engine = engine
        self._life = lifecycle

    @property
    def operations(self) -> Operations:
        """What it answers."""
        return {
            "ContainerList": self._ls,
            "ContainerCreate": self._create,
            "ContainerPrune": self._prune,
            "ContainerInspect": self._get,
            "ContainerTop": self._top,
            "ContainerLogs": self._logs,
            "ContainerChanges": self._changes,
            "ContainerExport": self._export,
            "ContainerStats": self._stats,
            "ContainerResize": self._resize,
            "ContainerStart": self._start,
            "ContainerStop": self._stop,
            "ContainerRestart": self._restart,
            "ContainerKill": self._kill,
            "ContainerUpdate": self._update,
            "ContainerRename": self._rename,
            "ContainerPause": self._pause,
            "ContainerUnpause": self._unpause,
            "ContainerAttach": self._attach,
            "ContainerWait": self._wait,
            "ContainerDelete": self._rm,
            "ContainerArchive": self._archive,
            "ContainerArchiveInfo": self._archive_info,
            "PutContainerArchive": self._put_archive,
        }

    def _find(self, request: Request) -> Container:
        return self._engine.find(ref_of(request))

    async def _ls(self, request: Request) -> Json:
        return Json(listed(self._engine, request))

    async def _get(self, request: Request) -> dict[str, Any]:
        container = self._find(request)
        shown = views.inspect(container)
        return shown | views.sizes(container) if is_true(request.params.get("size")) else shown

    # Making, changing and unmaking.

    async def _create(self, request: Request) -> dict[str, Any]:
        body = request.json
        if body is None or body == {}:
            raise refusal(400, "Config cannot be empty in order to create a container")
        name, platform = (str(request.params.get(each) or "") for each in ("name", "platform"))
        return self.make(body_of(request), name, platform=platform)

    def make(
        self, body: dict[str, Any], name: str = "", image: Image | None = None, platform: str = ""
    ) -> dict[str, Any]:
        """Make a container, of the image that the body names if none is given, which must be of a platform then.

        A body may name no image, and a command that such a container has nowhere.

        Raises:
            SwarmError: it can't be made so.
        """
        engine = self._engine
        create.check_modes(body)
        create.check_config(body)
        host = create.host_of(body, engine)
        asked = create.networks_asked(body)
        image = image or self._image(str(body.get("Image") or ""), platform)
        id = engine.names.id()
        config = create.config_of(body, image, engine.name if host["NetworkMode"] == "host" else id[:12])
        name = free_name(name, self._holder_of) if name else engine.names.name(engine.by_name)
        container = Container(id, name, engine.clock.now(), image, config, host, _networks(host["NetworkMode"], asked))
        try:
            check_security(host)
            check_storage(host)
            container.mounts = mounts_of(config, host, engine)
            make_volumes(container.mounts, engine)
            mount_all(container.files, container.mounts, engine)
            make_links(container, engine)
        except SwarmError:
            engine.tell(container, "destroy")  # as an engine does, though it never told of a create
            raise
        self.add(container)
        engine.tell(container, "create")
        return {"Id": id, "Warnings": []}

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
        self._engine.containers[container.id] = container
        self._engine.by_name[container.name] = container
        self._engine.listed.clear()

    def _holder_of(self, name: str) -> str | None:
        holder = self._engine.by_name.get(name)
        return None if holder is None else holder.id

    async def _rename(self, request: Request) -> None:
        name = str(request.params.get("name") or "")
        if not name:
            raise refusal(400, "Neither old nor new names may be empty")
        container = self._find(request)
        before = container.name
        name = other_name(before, name, self._holder_of)
        del self._engine.by_name[before]
        container.name = name
        self._engine.by_name[name] = container
        for each in (container, *container.links.values()):
            self._engine.changed(each)
        self._engine.tell(container, "rename", oldName=f"/{before}")

    async def _update(self, request: Request) -> dict[str, Any]:
        if request.json is None:
            raise refusal(500, "EOF")
        body = body_of(request)
        container = self._find(request)
        check_resources(body, self._engine)
        create.check_restart_policy(fields(body.get("RestartPolicy")))
        container.host = create.update(container.host, body, container.id)
        self._engine.tell(container, "update")
        return {"Warnings": None}

    async def _rm(self, request: Request) -> None:
        container, args = self._find(request), request.params
        if is_true(args.get("link")):
            self._rm_link(ref_of(request).removeprefix("/"))
            return
        if container.running:
            if not is_true(args.get("force")):
                raise still_runs(container.id, container.status)
            container.stoppers += 1  # it is removed here, also if it would remove itself
            try:
                await self._life.kill(container)
            finally:
                container.stoppers -= 1
        self._life.remove(container, volumes=is_true(args.get("v")))

    def _rm_link(self, name: str) -> None:
        parent, _, alias = name.partition("/")
        if not alias:
            raise no_link()
        unlink(self._engine.by_name[parent], alias, self._engine)

    async def _prune(self, request: Request) -> dict[str, Any]:
        wanted = filters_of(request, {"label", "label!", "until"})
        until = until_of(wanted, self._engine.clock.now())
        stopped = [each for each in reversed(self._engine.containers.values()) if not each.running]
        ended = [each for each in stopped if each.created <= until and labels_wanted(each.labels, wanted)]
        freed = sum(each.files.size for each in ended)
        for each in ended:
            self._life.remove(each, volumes=False)
        self._engine.tell_of("container", "prune", "", {"reclaimed": str(freed)})
        return {"ContainersDeleted": [each.id for each in ended] or None, "SpaceReclaimed": freed}

    # Starting and ending.

    async def _start(self, request: Request) -> None:
        container = self._find(request)
        if container.paused:
            raise refusal(409, "cannot start a paused container, try unpause instead")
        if container.running:
            await request.reply.ack(details={"status": 304})
        else:
            check_checkpoint_dir(request.params)
            self._life.start(container)

    async def _stop(self, request: Request) -> None:
        container = self._find(request)
        if container.running:
            await self._stop_running(container, request)
        else:
            await request.reply.ack(details={"status": 304})

    async def _stop_running(self, container: Container, request: Request) -> None:
        asked = request.params.get("signal")
        wanted = signal_number(str(asked)) if asked else container.stop_signal
        await self._life.stop(container, wanted, number(request.params, "t", container.grace))

    async def _restart(self, request: Request) -> None:
        container = self._find(request)
        if container.running:
            container.stoppers += 1  # one that removes itself stays
            try:
                await self._stop_running(container, request)
            finally:
                container.stoppers -= 1
        try:
            self._life.start(container)
        except SwarmError as exc:
            raise refusal(500, f"Cannot restart container {ref_of(request)}: {exc.message}") from exc
        self._engine.tell(container, "restart")

    async def _kill(self, request: Request) -> None:
        wanted = signal_asked(request.params)
        with killing(ref_of(request)):
            container = self._find(request)
            if wanted not in signal.valid_signals():
                raise no_such_signal(wanted)
            if wanted == signal.SIGKILL:
                await self._life.kill(container)
            else:
                self._life.signal(container, wanted)

    async def _pause(self, request: Request) -> None:
        self._life.pause(self._find(request))

    async def _unpause(self, request: Request) -> None:
        self._life.unpause(self._find(request))

    async def _wait(self, request: Request) -> None:
        container, reply = self._find(request), request.reply
        condition = str(request.params.get("condition") or "not-running")
        ended: trio.Event | None = None
        if condition == "removed":
            ended = container.removed
        elif condition == "next-exit" or container.running:
            ended = container.exited
        await reply.ack()
        if ended is not None:
            await ended.wait()
        error = {"Message": container.error} if container.error else None
        await reply.set({"Error": error, "StatusCode": container.exit_code})

    # Looking into it.

    async def _top(self, request: Request) -> dict[str, Any]:
        container = self._find(request)
        if str(request.params.get("ps_args") or "-ef") != "-ef":
            raise Unsupported("top takes no ps options in the simulator")
        if not container.running:
            raise not_running(container)
        check_not_restarting(container)
        self._engine.tell(container, "top")
        user = container.config["User"] or "root"
        found = [(process.pid, " ".join(process.command)) for process in processes_in(container)]
        rows = found or [(container.pid, " ".join(container.command))]
        fixed = ["0", stats.clock_time(container.started), "?", "00:00:00"]
        return {"Processes": [[user, str(pid), "1", *fixed, text] for pid, text in rows], "Titles": _TITLES}

    async def _stats(self, request: Request) -> None:
        container, reply = self._find(request), request.reply
        streams, one_shot = is_true(request.params.get("stream", "1")), is_true(request.params.get("one-shot"))
        if streams and one_shot:
            raise Invalid("cannot have stream=true and one-shot=true")
        await reply.ack(details={"headers": stream_headers(None if streams else b"application/json")})
        once = one_shot or not container.running
        before = stats.Sample.none() if once else stats.sample(self._engine, container)
        while self._engine.containers.get(container.id) is container:
            if not once:
                await self._engine.clock.sleep(1.0)
            now = stats.sample(self._engine, container)
            await reply.set(stats.shown(self._engine, container, before, now))
            if not streams:
                return
            before, once = now, False

    async def _logs(self, request: Request) -> None:
        container = self._find(request)
        check_readable(container.host)
        await send_logs(request, container)

    async def _attach(self, request: Request) -> None:
        container, args = self._find(request), request.params
        if container.paused:
            raise refusal(409, f"Container {container.id} is paused, unpause the container before attach")
        check_not_restarting(container)
        self._engine.tell(container, "attach")
        await request.reply.ack(stream=stdio(container, container.config, args, partial(self._detached, container)))

    async def _detached(self, container: Container) -> None:
        self._engine.tell(container, "detach")

    async def _resize(self, request: Request) -> None:
        height, width = terminal_size(request.params)
        container = self._find(request)
        if not container.running:
            raise not_running(container)
        self._engine.tell(container, "resize", height=str(height), width=str(width))

    # Files.

    async def _changes(self, request: Request) -> Json:
        return Json.from_data(self._find(request).files.changes() or None)

    async def _export(self, request: Request) -> None:
        container = self._find(request)
        nodes = ((path.lstrip("/"), node) for path, node in container.files.merged().items())
        headers = stream_headers(b"application/octet-stream")
        await request.reply.ack(stream=BytesStream(tar(dict(sorted(nodes)))), details={"headers": headers})
        self._engine.tell(container, "export")

    async def _archive(self, request: Request) -> None:
        container, path, stat = self._place(request)
        self._engine.tell(container, "archive-path")
        headers = [*stream_headers(b"application/x-tar"), _stat_header(stat)]
        await request.reply.ack(stream=BytesStream(container.files.pack(path)), details={"headers": headers})

    async def _archive_info(self, request: Request) -> None:
        _, _, stat = self._place(request)
        await request.reply.ack(details={"headers": [*stream_headers(None), _stat_header(stat)]})

    async def _put_archive(self, request: Request) -> None:
        container, path, stat = self._place(request)
        if not stat["mode"] >> 31:
            raise refusal(400, "extraction point is not a directory")
        data = await upload_of(request)
        try:
            container.files.unpack(path, data, now=self._engine.clock.now())
        except OSError as exc:
            raise refusal(403, "mounted volume is marked read-only") from exc
        self._engine.tell(container, "extract-to-dir")

    def _place(self, request: Request) -> tuple[Container, str, dict[str, Any]]:
        given = str(request.params["path"])
        container = self._find(request)
        path = posixpath.normpath(posixpath.join("/", given))
        check_length(path, container.id)
        stat = container.files.stat(path)
        if stat is None:
            raise refusal(404, f"Could not find the file {given} in container {ref_of(request)}")
        return container, path, stat


def _networks(mode: str, asked: dict[str, dict[str, Any]]) -> dict[str, Endpoint]:
    if mode.startswith("container:"):
        return {}
    if asked:
        return {"bridge" if name == "default" else name: Endpoint(given) for name, given in asked.items()}
    return {"bridge" if mode == "default" else mode: Endpoint()}


def _stat_header(stat: dict[str, Any]) -> tuple[bytes, bytes]:
    return b"X-Docker-Container-Path-Stat", base64.b64encode(orjson.dumps(stat))
