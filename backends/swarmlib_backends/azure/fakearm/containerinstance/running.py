"""What runs in a container group: each of its containers is one of an engine, by default of the simulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import trio

from swarmlib import CLEANUP_SECONDS, Client, NotFound, SwarmError, Verb
from swarmlib.client.handles import Workload, exit_code
from swarmlib.supervision import supervised

from ....dockerapi.nullable import list_of
from ....dockerapi.references import tagged
from ....http.serving import Body

_RESTART_SECONDS: Final = 0.2
"""The pause before a container is started again."""
_NOT_FOUND: Final = 127
_FAILED: Final = 128


class CannotRun(Exception):
    """A container can't be run; the text says why."""


def now() -> str:
    """Return the time as Azure writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(eq=False)
class Running:
    """A container of a group.

    engine: where it runs. body: of its creation there. policy: Always, OnFailure or Never. current: its state, as an
    instance view has it.
    """

    engine: Client
    image: str
    body: Body
    policy: str
    current: Body = field(default_factory=lambda: {"state": "Waiting", "detailStatus": "Creating"})
    previous: Body | None = None
    restarts: int = 0
    workload: Workload | None = None
    halted: bool = False
    """Whether it was stopped: then it is not started again."""
    ended: trio.Event = field(default_factory=trio.Event)
    """Set when it has ended for good."""

    @property
    def runs(self) -> bool:
        """Whether its command runs."""
        return bool(self.current["state"] == "Running")

    def view(self) -> Body:
        """Return its instance view."""
        found: Body = {"restartCount": self.restarts, "currentState": self.current, "events": []}
        return found | ({"previousState": self.previous} if self.previous else {})

    async def launch(self, nursery: trio.Nursery) -> None:
        """Run it from the beginning, with new files. Raises `CannotRun`."""
        self.halted, self.ended = False, trio.Event()
        self.workload = await self._made()
        await nursery.start(self._live)

    async def _made(self) -> Workload:
        try:
            try:
                return await self.engine.spawn(self.body)
            except NotFound:
                name, _, tag = tagged(self.image, "").rpartition(":")
                await self.engine.call(Verb.SPAWN, ("images",), params={"fromImage": name, "tag": tag})
                return await self.engine.spawn(self.body)
        except SwarmError as exc:
            raise CannotRun(exc.message) from exc

    async def _live(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            await supervised("fakearm: a container", self._run, task_status)
        finally:
            self.ended.set()

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        await self._run_once(task_status.started)
        while self._goes_on():
            self.previous, self.restarts = self.current, self.restarts + 1
            self.current = {"state": "Waiting", "detailStatus": "CrashLoopBackOff: Back-off restarting failed"}
            await trio.sleep(_RESTART_SECONDS)
            if not self.halted:
                await self._run_once(_nothing)

    async def _run_once(self, begun: Callable[[], None]) -> None:
        assert self.workload is not None
        started = now()
        async with self.workload.watch("wait", condition="next-exit") as ends:
            code = await self._begin(self.workload)
            if code is None:
                self.current = {"state": "Running", "startTime": started, "detailStatus": ""}
                begun()
                code = await exit_code(ends)
        ended = {"exitCode": code, "finishTime": now(), "detailStatus": "Error" if code else "Completed"}
        failed_at_once, self.current = not self.runs, {"state": "Terminated", "startTime": started, **ended}
        if failed_at_once:
            begun()

    async def _begin(self, workload: Workload) -> int | None:
        """Start it; returns the exit code that a command has which can't be run."""
        try:
            await workload.start()
        except SwarmError as exc:
            return _NOT_FOUND if "not found" in exc.message or "no such file" in exc.message else _FAILED
        return None

    def _goes_on(self) -> bool:
        failed = self.current.get("exitCode") != 0
        return not self.halted and (self.policy == "Always" or (self.policy == "OnFailure" and failed))

    async def halt(self, grace: int = 0) -> None:
        """End it, after `grace` seconds in which it may end itself; forget its files and its output."""
        self.halted = True
        workload, self.workload = self.workload, None
        if workload is not None:
            with trio.move_on_after(CLEANUP_SECONDS, shield=True), suppress(SwarmError):
                if grace:
                    await workload.stop(t=grace)
                await workload.rm(force=True, v=True)
                await self.ended.wait()


def _nothing() -> None:
    """Nobody waits for the start."""


def body_of(container: Body, group: Body, env: Mapping[str, str], address: str) -> Body:
    """Return the body of a container's creation on an engine.

    container, group: their `properties` in ARM. env: all variables. address: that at which its ports are published; ""
    for none.
    """
    volumes = {each["name"]: each for each in list_of(group.get("volumes"))}
    host: dict[str, Any] = {"Mounts": [_mount(each, volumes) for each in list_of(container.get("volumeMounts"))]}
    body: Body = {"Image": container["image"], "Env": [f"{name}={value}" for name, value in env.items()]}
    if container.get("command"):
        body |= {"Entrypoint": container["command"], "Cmd": []}
    if address:
        ports = {f"{each['port']}/{each.get('protocol', 'TCP').lower()}": each for each in container.get("ports", [])}
        body["ExposedPorts"] = {name: {} for name in ports}
        host["PortBindings"] = {
            name: [{"HostIp": address, "HostPort": str(each["port"])}] for name, each in ports.items()
        }
    return body | {"HostConfig": host}


def _mount(mount: Body, volumes: Mapping[str, Body]) -> Body:
    share: Body = volumes[mount["name"]].get("azureFile") or {}
    found: Body = {"Type": "volume", "Target": mount["mountPath"], "ReadOnly": bool(mount.get("readOnly"))}
    return found | ({"Source": f"{share['storageAccountName']}-{share['shareName']}"} if share else {})
