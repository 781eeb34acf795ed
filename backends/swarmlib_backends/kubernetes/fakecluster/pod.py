"""A Pod that runs in the fake cluster, from its images to the end of its containers."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, Final

import trio

from ...dockerapi.nullable import dict_of, list_of
from ...enginekit.output import Output
from ...enginekit.pipe import Pipe
from ...http.serving import Body
from ...simulator.files import Files, file
from ...simulator.process import Process
from ..api.resources import PODS
from . import volumes
from .containers import CANNOT_RUN, KEPT, KILLED, RESOLV, CannotRun, Container, Surroundings
from .images import Image
from .objects import Objects
from .pod_status import conditions, container_status, phase_of
from .store import key_of
from .volumes import MissingVolume, Volumes

_FIRST_BACK_OFF: Final = 10.0
_LONGEST_BACK_OFF: Final = 300.0
_DEADLINE: Final = "Pod was active on the node longer than the specified deadline"


class Pod:
    """A Pod on its node.

    Args:
        object: the Pod, which has a node.
        pull: gives a container's image; or None, the reason, and the message.
        note: tells an event of the Pod, or of a part of it, by its reason and message.
        around: what all containers have around them, besides their Pod.
        look_seconds: see `Kubelets.look_seconds`.
    """

    def __init__(
        self,
        objects: Objects,
        object: Body,
        address: str,
        volumes: Volumes,
        pull: Callable[[Body, Body], tuple[Image | None, str, str]],
        note: Callable[[Body, str, str, str], None],
        around: Callable[[Pod], Surroundings],
        *,
        look_seconds: float,
    ) -> None:
        self._objects, self._volumes, self._pull, self._note, self._around = objects, volumes, pull, note, around
        self.object = object
        self.key = key_of(object)
        self.address = address
        self.inits: list[Container] = []
        self.mains: list[Container] = []
        self._ending = trio.Event()
        self._ended: Body = {}
        self._look_seconds = look_seconds
        self._started = self._objects.clock.now()
        self._killed = trio.CancelScope()

    @property
    def spec(self) -> Body:
        """Its specification, as it is now."""
        spec: Body = (self._objects.store.get(PODS, self.key) or self.object)["spec"]
        return spec

    @property
    def containers(self) -> list[Container]:
        """Its containers, those that initialize it first."""
        return [*self.inits, *self.mains]

    @property
    def processes(self) -> list[Process]:
        """All that runs in it."""
        return [process for container in self.containers for process in container.processes]

    def find(self, name: str) -> Container | None:
        """Return a container by its name, by default the first one."""
        if not name:
            return self.mains[0] if self.mains else None
        return next((each for each in self.containers if each.name == name), None)

    # Its life.

    async def run(self) -> None:
        """Run it to the end of its containers."""
        with self._killed:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                if await self._make() and await self._initialize():
                    async with trio.open_nursery() as mains:
                        for each in self.mains:
                            mains.start_soon(self._keep_running, each)
                nursery.cancel_scope.cancel()
            self._publish()
            self._finish_deletion()

    def kill(self) -> None:
        """End it at once, as the crash of its node does; nothing is told."""
        self._killed.cancel()

    async def _make(self) -> bool:
        """Get the volumes and the images of all containers; waits while they can't be had. Returns whether it has."""
        for kind, made in (("initContainers", self.inits), ("containers", self.mains)):
            for spec in list_of(self.spec.get(kind)):
                made.append(Container(spec, Image({}, ()), Files({}), self._around(self), self._objects.new_id()))
        if self.inits:
            for each in self.mains:
                each.state = {"waiting": {"reason": "PodInitializing"}}
        self._publish()
        mounted = await self._until_there(self._mounted)
        for each in self.containers:
            image = await self._until_there(lambda each=each: self._pulled(each))  # type: ignore[misc]
            if image is None or mounted is None:
                return False
            each.image = image
            each.files = self._files_of(each, mounted)
        self._publish()
        return True

    async def _until_there(self, attempt: Callable[[], Any]) -> Any:
        pause = _FIRST_BACK_OFF
        while not self._ending.is_set():
            if (found := attempt()) is not None:
                return found
            self._publish()
            with self._objects.clock.until(self._objects.clock.now() + pause):
                await self._ending.wait()
            pause = min(2 * pause, _LONGEST_BACK_OFF)
        return None

    def _mounted(self) -> dict[str, Files] | None:
        try:
            return self._volumes.of_pod(self.object)
        except MissingVolume as exc:
            self._note(self.object, "FailedMount", f"MountVolume.SetUp failed for volume: {exc}", "")
            return None

    def _pulled(self, container: Container) -> Image | None:
        image, reason, message = self._pull(self.object, container.spec)
        if image is None:
            before = container.state.get("waiting", {}).get("reason")
            if before == "ErrImagePull":
                reason, message = "ImagePullBackOff", f'Back-off pulling image "{container.spec["image"]}"'
            container.state = {"waiting": {"reason": reason, "message": message}}
            self._note(self.object, "Failed", message, "")
        return image

    def _files_of(self, container: Container, mounted: dict[str, Files]) -> Files:
        files = Files(container.image.files)
        now, name = self._objects.clock.now(), container.around.hostname
        aliases = "".join(
            f"{each['ip']}\t{' '.join(each['hostnames'])}\n" for each in list_of(self.spec.get("hostAliases"))
        )
        files.put("/etc/hosts", file(f"127.0.0.1\tlocalhost\n{self.address}\t{name}\n{aliases}".encode(), now))
        own = [f"{self.key[0]}.svc.cluster.local", "svc.cluster.local", "cluster.local"]
        searches = [*own, *list_of(dict_of(self.spec.get("dnsConfig")).get("searches"))]
        files.put(RESOLV, file(f"nameserver 10.96.0.10\nsearch {' '.join(searches)}\noptions ndots:5\n".encode(), now))
        files.put("/etc/hostname", file(f"{name}\n".encode(), now))
        files.put("/dev/termination-log", file(b"", now))
        volumes.mount(files, container.spec, mounted)
        return files

    async def _initialize(self) -> bool:
        for each in self.inits:
            each.state = {"waiting": {"reason": "PodInitializing"}}
            while await self._run_once(each) != 0:
                if self.spec["restartPolicy"] == "Never" or self._ending.is_set():
                    return False
                await self._back_off(each)
        return not self._ending.is_set()

    async def _keep_running(self, container: Container) -> None:
        policy = self.spec["restartPolicy"]
        while not self._ending.is_set():
            code = await self._run_once(container)
            if policy == "Never" or (policy == "OnFailure" and code == 0) or self._ending.is_set():
                return
            await self._back_off(container)

    async def _run_once(self, container: Container) -> int:
        begun, message = self._objects.clock.now(), ""
        async with trio.open_nursery() as nursery:
            try:
                code = await container.run(lambda: nursery.start_soon(self._tell_start, container, begun))
            except CannotRun as exc:
                code, message = CANNOT_RUN, str(exc)
            nursery.cancel_scope.cancel()
        self._told_end(container, begun, code, message)
        self._publish()
        return code

    async def _tell_start(self, container: Container, begun: float) -> None:
        """Tell that a container runs; not in the Pod's status if it ends at once, as kubelets look now and then."""
        self._note(self.object, "Started", f"Started container {container.name}", self._part(container))
        await self._objects.clock.sleep(self._look_seconds)
        container.state = {"running": {"startedAt": self._objects.time(begun)}}
        self._publish()

    def _part(self, container: Container) -> str:
        kind = "initContainers" if container in self.inits else "containers"
        return f"spec.{kind}{{{container.name}}}"

    def _told_end(self, container: Container, begun: float, code: int, message: str) -> None:
        reason = "ContainerCannotRun" if message else "Completed" if code == 0 else "Error"
        node = container.files.get(container.spec["terminationMessagePath"])
        said = message or (node.data.decode("utf-8", "replace")[:4096] if node else "")
        container.state = {
            "terminated": {
                "exitCode": code,
                "reason": "OOMKilled" if container.out_of_memory else reason,
                **({"message": said} if said else {}),
                "startedAt": self._objects.time(begun),
                "finishedAt": self._objects.time(),
                "containerID": f"docker://{container.id}",
            }
        }

    async def _back_off(self, container: Container) -> None:
        container.last = container.state
        pause = min(_FIRST_BACK_OFF * 2 ** (container.restarts - 1), _LONGEST_BACK_OFF) if container.restarts else 0
        if pause:
            text = f"back-off {pause:.0f}s restarting failed container={container.name} pod={self.key[1]}_{self.key[0]}"
            container.state = {
                "waiting": {"reason": "CrashLoopBackOff", "message": f"{text}({self.object['metadata']['uid']})"}
            }
            self._note(self.object, "BackOff", "Back-off restarting failed container", self._part(container))
        self._publish()
        with self._objects.clock.until(self._objects.clock.now() + pause):
            await self._ending.wait()
        container.restarts += 1  # from here on it is a new one, with a log of its own
        container.previous, container.output = container.output, Output(KEPT)
        container.id = self._objects.new_id()

    # Its end.

    async def _watch(self) -> None:
        """Wait until the Pod is deleted, or its deadline is over, and end what runs in it."""
        store = self._objects.store
        while True:
            seen = store.version
            now = store.get(PODS, self.key)
            if now is None or now["metadata"]["uid"] != self.object["metadata"]["uid"]:
                self._ending.set()
                self.kill()
                return
            if "deletionTimestamp" in now["metadata"]:
                await self._end(now["metadata"]["deletionGracePeriodSeconds"])
                return
            deadline = now["spec"].get("activeDeadlineSeconds")
            with self._objects.clock.until(self._started + deadline if deadline else float("inf")) as late:
                await store.wait(seen)
            if late.cancelled_caught:
                # A kubelet tells this before it stops anything.
                self._ended = {"phase": "Failed", "reason": "DeadlineExceeded", "message": _DEADLINE}
                self._publish()
                await self._end(now["spec"]["terminationGracePeriodSeconds"])
                return

    async def _end(self, grace: float) -> None:
        self._ending.set()
        running = [each for each in self.containers if each.alive]
        async with trio.open_nursery() as nursery:
            for each in running:
                self._note(self.object, "Killing", f"Stopping container {each.name}", self._part(each))
                nursery.start_soon(self._stop, each, grace)

    async def _stop(self, container: Container, grace: float) -> None:
        process = container.process
        assert process is not None
        with self._objects.clock.until(self._objects.clock.now() + grace) as late:
            await self._run_hook(container)
            process.signal(signal.SIGTERM)
            while process.code is None:
                await self._objects.store.wait(self._objects.store.version)
        if late.cancelled_caught:
            process.thaw()
            process.kill(KILLED)

    async def _run_hook(self, container: Container) -> None:
        hook = container.spec.get("lifecycle", {}).get("preStop", {}).get("exec")
        if hook:
            try:
                process = container.begin(hook["command"])
            except CannotRun:
                return

            async def forget(_: int, data: bytes) -> None:
                await trio.lowlevel.checkpoint()

            nothing = Pipe()
            nothing.end()
            await container.run_beside(process, nothing, forget)

    def _finish_deletion(self) -> None:
        now = self._objects.store.get(PODS, self.key)
        if now is not None and "deletionTimestamp" in now["metadata"] and not now["metadata"].get("finalizers"):
            self._objects.store.remove(PODS, self.key)

    # What is told of it.

    def _publish(self) -> None:
        old = self._objects.store.get(PODS, self.key)
        if old is None or old["metadata"]["uid"] != self.object["metadata"]["uid"]:
            return
        known = list_of(old["status"].get("conditions"))
        status: Body = {
            "phase": phase_of(self.inits, self.mains, old["spec"]["restartPolicy"]),
            "conditions": conditions(self.inits, self.mains, self._objects.time(), known),
            "hostIP": old["status"]["hostIP"],
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": self._objects.time(self._started),
            "containerStatuses": [container_status(each, init=False) for each in self.mains],
        }
        if self.inits:
            status["initContainerStatuses"] = [container_status(each, init=True) for each in self.inits]
        self._objects.set_status(PODS, self.key, status | self._ended)
