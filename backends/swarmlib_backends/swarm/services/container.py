"""A container that is a service, as its service and its tasks say it is."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Self, TypeAlias

import msgspec
import orjson
import trio
from msgspec import Meta, Struct
from msgspec import field as named

from swarmlib import BadAnswer

from ...dockerapi.ages import since
from ...dockerapi.nullable import dict_of
from ...enginekit.bodies import json_object
from ...enginekit.container import Container
from .spec import ACCEPTED, BODY, ENDED, ID

_MAX: Final = 100_000
_ENDED: Final = frozenset({"complete", "shutdown", "failed", "rejected", "remove", "orphaned"})
"""The states of tasks that are over."""
_EXITED: Final = "task: non-zero exit"
"""How the error begins of a task whose container has run, and ended with another code than 0."""
_NOT_STARTED: Final = "starting container failed: "
"""What a swarm says before an engine's own words."""
_END: Final = re.compile(r"([0-9]{1,3}) ([0-9]{1,12})")
NO_CODE: Final = 137
"""The exit code of a task that was lost with its node."""

_ContainerId: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{0,64}\Z")]
_Id: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z0-9]{1,64}\Z")]


class _ContainerStatus(Struct, rename="pascal"):
    container_id: _ContainerId = named(name="ContainerID", default="")
    exit_code: int = 0


class _Status(Struct, rename="pascal"):
    timestamp: str = ""
    state: str = ""
    err: str = ""
    container_status: _ContainerStatus | None = None


class _TaskSpec(Struct, rename="pascal"):
    force_update: int = 0


class Task(Struct, rename="pascal"):
    """A task as a manager lists it."""

    id: _Id = named(name="ID")
    service_id: _Id = named(name="ServiceID")
    created_at: str
    status: _Status
    spec: _TaskSpec
    node_id: str = named(name="NodeID", default="")

    @property
    def container_id(self) -> str:
        """The id of its container on the engine of its node; "" before it has one."""
        return self.status.container_status.container_id if self.status.container_status is not None else ""

    @property
    def over(self) -> bool:
        """Whether it has ended, also before its container began."""
        return self.status.state in _ENDED

    @property
    def running(self) -> bool:
        """Whether its container runs."""
        return self.status.state == "running"

    @property
    def moment(self) -> float:
        """When it came into its state, in seconds since the epoch."""
        return since(self.status.timestamp) or time.time()

    @property
    def failure(self) -> str:
        """Why its container could not run; "" if it could."""
        return "" if self.status.err.startswith(_EXITED) else self.status.err.removeprefix(_NOT_STARTED)

    @property
    def exit_code(self) -> int:
        """The exit code of its container."""
        status = self.status.container_status
        return NO_CODE if status is None or not status.container_id else status.exit_code


class _Replicated(Struct, rename="pascal"):
    replicas: int = 0


class _Mode(Struct, rename="pascal"):
    replicated: _Replicated


class _ServiceSpec(Struct, rename="pascal"):
    name: Annotated[str, Meta(max_length=255)]
    labels: dict[str, str]
    mode: _Mode
    task_template: _TaskSpec


class Service(Struct, rename="pascal"):
    """A service as a manager lists it."""

    id: _Id = named(name="ID")
    created_at: str
    spec: _ServiceSpec

    @property
    def wanted(self) -> bool:
        """Whether the container is to run."""
        return self.spec.mode.replicated.replicas > 0


def read_service(entry: Mapping[str, Any]) -> Service:
    """Return a service of a list. Raises ValueError if it is not one of a container."""
    return msgspec.convert(entry, Service)


def change(spec: dict[str, Any], *, run: bool, again: bool, ended: str | None) -> None:
    """Change the specification of a service as its manager gave it; see `Following.change`."""
    spec["Mode"] = {"Replicated": {"Replicas": int(run)}}
    template = spec["TaskTemplate"] = dict_of(spec.get("TaskTemplate"))
    template["ForceUpdate"] = (template.get("ForceUpdate") or 0) + int(again)
    labels = spec["Labels"] = dict_of(spec.get("Labels"))
    labels.pop(ENDED, None)
    if ended is not None:
        labels[ENDED] = ended


def services(value: Any) -> list[dict[str, Any]]:
    """Return the entries of a list of services. Raises BadAnswer if it is none."""
    return _read(value, dict[str, Any], "services")


def tasks(value: Any) -> list[Task]:
    """Return the tasks of a list. Raises BadAnswer if it is none."""
    return _read(value, Task, "tasks")


def _read(value: Any, kind: Any, what: str) -> list[Any]:
    try:
        found: list[Any] = msgspec.convert(value, Annotated[list[kind], Meta(max_length=_MAX)])
    except msgspec.ValidationError as exc:
        raise BadAnswer(f"the manager gave a malformed answer to ls {what}: {exc}") from exc
    return found


@dataclass(eq=False)
class ServiceContainer(Container):
    """A container that is a service. What it was when the swarm was last asked is in its fields."""

    service: str = ""
    """The id of the service."""
    task: Task | None = None
    """The task of its present or last run."""
    given_up: trio.Event = field(default_factory=trio.Event)
    """Set when its next start has failed; each start has its own."""
    read: trio.Event = field(default_factory=trio.Event)
    """Set while nobody is reading its output."""
    _readers: int = 0
    ending: bool = False
    """Whether an engine has told its end, and its task not yet."""
    _run: str = ""
    """The id of the task that runs, as far as has been told."""

    @classmethod
    def of(cls, service: Service) -> Self:
        """Return the container that a service is.

        Raises:
            Invalid, Unsupported: the body in its label is not one of a container that may be a service.
            ValueError: it is not JSON.
        """
        labels = service.spec.labels
        body = ACCEPTED.check(json_object(orjson.loads(labels.get(BODY, ""))))
        made = cls(labels[ID], service.spec.name, body, created=since(service.created_at), service=service.id)
        made.status = "created"
        return made

    def __post_init__(self) -> None:
        """Begin without readers."""
        self.read.set()

    def give_up(self) -> None:
        """Note that a start has failed."""
        self.given_up.set()
        self.given_up = trio.Event()

    def open_reader(self) -> None:
        """Note a stream of its output, which has not come to its end."""
        if not self._readers:
            self.read = trio.Event()
        self._readers += 1

    def close_reader(self) -> None:
        """Note that a stream of its output has come to its end, or was left."""
        self._readers -= 1
        if not self._readers:
            self.read.set()

    @property
    def running(self) -> bool:
        """Whether it runs, or is about to."""
        return self.status in ("starting", "running", "restarting")

    def take(self, service: Service, tasks: Sequence[Task]) -> list[str]:
        """Take over how the swarm says that it is now; return the actions of the events that tell what happened.

        tasks: those of the service, the newest last.
        """
        last = tasks[-1] if tasks else None
        told = self._ended_run(service, tasks)
        if not service.wanted:
            self._rest(service)
        elif last is None or not (last.over or last.running):
            self.status = "restarting" if self.task is not None else "starting"
            self.error = "" if last is None else last.status.err
        elif self.task is None or last.id != self.task.id:
            told += self._begun_run(last)
        return told

    def _ended_run(self, service: Service, tasks: Sequence[Task]) -> list[str]:
        mine = next((each for each in tasks if each.id == self._run), None)
        if not self._run or (mine is not None and mine is tasks[-1] and not mine.over):
            return []
        self._run = ""
        if mine is not None:
            self.task = mine
        if mine is not None and mine.over:
            self._end(mine.exit_code, mine.moment)
        else:
            self._end(*_told_end(service))
        return ["die"]

    def _begun_run(self, task: Task) -> list[str]:
        self.task = task
        if task.running:
            self._run = task.id
            self.began()
            self.started = task.moment
            return ["start"]
        self.error = task.failure
        self._end(task.exit_code, task.moment)
        return [] if self.error else ["start", "die"]

    def _rest(self, service: Service) -> None:
        if ENDED in service.spec.labels:
            self._end(*_told_end(service))
        else:
            self.status, self.exit_code = "created", 0

    def _end(self, code: int, at: float) -> None:
        self.status, self.exit_code, self.finished, self.ending = "exited", code, at, False

    @property
    def end(self) -> str:
        """How its last run ended, as the label tells it."""
        return f"{self.exit_code} {int(self.finished)}"


def _told_end(service: Service) -> tuple[int, float]:
    """Return the exit code and the time in the label of a service that was stopped."""
    told = _END.fullmatch(service.spec.labels.get(ENDED, ""))
    return (int(told[1]), float(told[2])) if told else (NO_CODE, time.time())
