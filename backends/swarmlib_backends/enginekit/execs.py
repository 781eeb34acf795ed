"""The operations of processes that are started in containers beside their own, as by `docker exec`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import trio

from swarmlib import NotFound, Request

from ..dockerapi.detachkeys import Typed, keys_of_exec
from ..dockerapi.operations import ExecResize
from ..dockerapi.status import refusal
from ..dockerapi.values import terminal_size
from .filters import Listed
from .operations import answers, body_of, ref_of
from .refusals import check_not_restarting, check_running
from .stdio import Attachable, Input, Pieces, Stdio

Detached: TypeAlias = Callable[[], Awaitable[None]]
"""Is called when a client has typed the detach keys."""


class PlayedExec(Protocol):
    """A process to be, that runs, or that has ended, in a container."""

    id: str
    config: dict[str, Any]
    """The body of its creation."""

    @property
    def container(self) -> Listed:
        """The container that it is in."""
        ...

    @property
    def tty(self) -> bool:
        """Whether it has a terminal."""
        ...

    @property
    def running(self) -> bool:
        """Whether it runs."""
        ...

    @property
    def begun(self) -> bool:
        """Whether its start was asked for."""
        ...

    @property
    def code(self) -> int | None:
        """Its exit code; None before its end."""
        ...

    @property
    def pid(self) -> int:
        """Its process id; 0 before its start."""
        ...


class StreamedExec(PlayedExec, Attachable, Protocol):
    """A process whose output the backend itself keeps."""


C = TypeVar("C", bound=Listed)
X = TypeVar("X", bound=PlayedExec)
S = TypeVar("S", bound=StreamedExec)


class ExecOperations(ABC, Generic[C, X]):
    """Answers what is asked of processes in containers. A backend says how they are kept, made and started."""

    def __init__(self, container: Callable[[str], C]) -> None:
        self._container = container
        """Finds a container. Raises `SwarmError`."""

    # What a backend says.

    @abstractmethod
    def lookup(self, id: str) -> X | None:
        """Return the process of this id; None if there is none."""

    @abstractmethod
    def make(self, container: C, body: dict[str, Any]) -> X:
        """Make a process, to be started later, in a container that runs. Raises `SwarmError`."""

    @abstractmethod
    async def open(self, each: X, body: dict[str, Any]) -> trio.abc.Stream | None:
        """Start a process, as the body of its start asks for; returns the client's stream, None for `Detach`.

        Raises:
            SwarmError: it can't be started.
        """

    @abstractmethod
    async def resize(self, each: X, rows: int, columns: int) -> None:
        """Tell a process the size of its terminal. Raises `SwarmError`."""

    # What it answers.

    def _find(self, request: Request) -> X:
        found = self.lookup(ref_of(request))
        if found is None:
            raise NotFound(f"No such exec instance: {ref_of(request)}")
        return found

    @answers("ContainerExec")
    async def _create(self, request: Request) -> dict[str, Any]:
        container, body = self._container(ref_of(request)), body_of(request)
        _check_not_paused(container, ref_of(request))
        check_running(container)
        check_not_restarting(container)
        keys_of_exec(body.get("DetachKeys", ""))
        return {"Id": self.make(container, body).id}

    @answers("ExecStart")
    async def _start(self, request: Request) -> None:
        each, body = self._find(request), body_of(request)
        if each.begun:
            raise refusal(
                409, f"Error: Exec command {each.id} {'is already running' if each.running else 'has already run'}"
            )
        check_running(each.container)
        check_not_restarting(each.container)
        await request.reply.ack(stream=await self.open(each, body))

    @answers("ExecResize")
    async def _resize(self, request: Request) -> None:
        await self.resize(self._find(request), *terminal_size(ExecResize.of(request)))

    @answers("ExecInspect")
    async def _inspect(self, request: Request) -> dict[str, Any]:
        each = self._find(request)
        config = each.config
        entrypoint, *arguments = config["Cmd"]
        return {
            "ID": each.id,
            "Running": each.running,
            "ExitCode": each.code,
            "ProcessConfig": {
                "tty": each.tty,
                "entrypoint": entrypoint,
                "arguments": arguments,
                "privileged": bool(config.get("Privileged")),
                **({"user": config["User"]} if config.get("User") else {}),
            },
            "OpenStdin": bool(config.get("AttachStdin")),
            "OpenStderr": bool(config.get("AttachStderr")),
            "OpenStdout": bool(config.get("AttachStdout")),
            "CanRemove": False,
            "ContainerID": each.container.id,
            "DetachKeys": config.get("DetachKeys", ""),
            "Pid": each.pid,
        }


class StreamedExecOperations(ExecOperations[C, S]):
    """Answers the same for processes whose output the backend itself keeps."""

    @abstractmethod
    async def begin(self, each: S, body: dict[str, Any]) -> None:
        """Start a process, as the body of its start asks for. Raises `SwarmError`."""

    async def detached(self, each: S) -> None:
        """Do what a backend has to do when a client has detached: nothing, unless it overrides this."""

    async def open(self, each: S, body: dict[str, Any]) -> trio.abc.Stream | None:
        """See `ExecOperations`."""
        follower = each.output.follow()
        try:
            await self.begin(each, body)
        except BaseException:
            follower.close()
            raise
        if body.get("Detach"):
            follower.close()
            return None
        return exec_stdio(each.config, each, follower, body, partial(self.detached, each))


def exec_stdio(
    config: Mapping[str, Any], input: Input, pieces: Pieces, body: Mapping[str, Any], on_detach: Detached
) -> Stdio:
    """Return a client's stream to a process of this configuration.

    body: of its start, which says how the client reads the stream, whatever the create has said.
    """
    streams = {n for n, name in ((1, "AttachStdout"), (2, "AttachStderr")) if config.get(name)}
    typed = Typed(keys_of_exec(config.get("DetachKeys", ""))) if config.get("Tty") else None
    framed, stdin = not body.get("Tty"), bool(config.get("AttachStdin"))
    return Stdio(input, pieces, streams, framed=framed, stdin=stdin, once=True, typed=typed, on_detach=on_detach)


def _check_not_paused(container: Listed, called: str) -> None:
    if container.status == "paused":
        raise refusal(409, f"Container {called} is paused, unpause the container before exec")
