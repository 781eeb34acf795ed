"""A container of a Pod that runs in the fake cluster: its processes, its output, and what was told of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import trio

from swarmlib import SwarmError

from ...dockerapi.nullable import dict_of, list_of
from ...enginekit.clock import Clock
from ...enginekit.output import Output, Piece
from ...enginekit.pipe import Pipe
from ...http.serving import Body
from ...simulator.files import Files
from ...simulator.process import Process, Run, Sink
from ...simulator.users import User, user_of
from ..api.quantities import quantity
from .images import Image
from .pod_tools import PodRun, missing
from .programs import find_program, program_of_shell

KEPT: Final = 10 * 1024 * 1024
"""Bytes of output that are kept of a container, as by a kubelet before it rotates."""
_REFERENCE: Final = re.compile(r"\$(\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")
RESOLV: Final = "/etc/resolv.conf"
CANNOT_RUN: Final = 127
KILLED: Final = 137


class CannotRun(Exception):
    """A command can't be run at all; the text is a container runtime's."""


@dataclass(frozen=True)
class Surroundings:
    """What a container's processes have around them, of their Pod and the cluster."""

    clock: Clock
    next_pid: Callable[[], int]
    beside: Callable[[], Sequence[Process]]
    resolve: Callable[[Sequence[str], str], Sequence[str]]
    """Returns the addresses of a name that is searched for in these domains."""
    hostname: str
    first: bool
    """Whether a container's process is the first of its namespace, which ignores signals that it has no handler for."""


@dataclass(eq=False)
class Container:
    """A container. `state` and `last` are as a Pod's status has them."""

    spec: Body
    image: Image
    files: Files
    around: Surroundings
    id: str
    output: Output = field(default_factory=lambda: Output(KEPT))
    stdin: Pipe = field(default_factory=Pipe)
    previous: Output | None = None
    """Of the run before this one."""
    process: Process | None = None
    execs: list[Process] = field(default_factory=list[Process])
    state: Body = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: Body = field(default_factory=dict[str, Any])
    restarts: int = 0
    out_of_memory: bool = False

    @property
    def name(self) -> str:
        """Its name in its Pod."""
        name: str = self.spec["name"]
        return name

    @property
    def tty(self) -> bool:
        """Whether it has a terminal."""
        return bool(self.spec.get("tty"))

    @property
    def runs(self) -> bool:
        """Whether its status says that its command runs: that is told a moment after it has begun or ended."""
        return "running" in self.state

    @property
    def alive(self) -> bool:
        """Whether its command runs."""
        return self.process is not None and self.process.code is None

    @property
    def processes(self) -> list[Process]:
        """What runs in it."""
        return [each for each in (self.process, *self.execs) if each is not None and each.code is None]

    async def run(self, started: Callable[[], None]) -> int:
        """Run its command to its end, and return the exit code; `started` is called once it runs.

        Raises:
            CannotRun: there is no such program or user.
        """
        env = self._environment()
        words = [expanded(word, env) for word in self._command()]
        if self.spec.get("stdin"):
            self.stdin = Pipe()
        else:
            self.stdin.end()
        self.out_of_memory = False
        self.process, program = self._made(words, env, first=self.around.first)
        self.process.on_use = self._check_memory
        started()
        try:
            return await self.process.run(program, self._given(self.process, words, env, self.stdin, self._write))
        finally:
            self.stdin.close()
            self.output.end_run()
            for each in self.execs:
                each.kill()

    def _command(self) -> list[str]:
        command, args = list_of(self.spec.get("command")), list_of(self.spec.get("args"))
        if command:
            return [*command, *args]
        return [*self.image.entrypoint, *(args or self.image.command)]

    def begin(self, words: Sequence[str]) -> Process:
        """Begin a further process, for an exec.

        Raises:
            CannotRun: there is no such program.
        """
        process, _ = self._made(words, self._environment(), first=False)
        self.execs.append(process)
        return process

    async def run_beside(
        self, process: Process, stdin: trio.abc.ReceiveStream, write: Callable[[int, bytes], Awaitable[None]]
    ) -> int:
        """Run a process that was begun to its end, and return its exit code."""
        env = self._environment()
        program = find_program(self.files.seen_inside(), process.command[0], env)
        assert program is not None
        try:
            return await process.run(program, self._given(process, process.command, env, stdin, write))
        finally:
            self.execs.remove(process)

    def _made(self, words: Sequence[str], env: Mapping[str, str], *, first: bool) -> tuple[Process, Any]:
        program = find_program(self.files.seen_inside(), words[0], env) if words else None
        if program is None:
            failed = "OCI runtime create failed: runc create failed: unable to start container process"
            raise CannotRun(f"{failed}: exec: {missing(words[0] if words else '')}: unknown")
        return Process(self.around.next_pid(), list(words), self.around.clock, self._user(), first=first), program

    def _user(self) -> User:
        context = dict_of(self.spec.get("securityContext"))
        named = str(context.get("runAsUser", 0)) + (f":{context['runAsGroup']}" if "runAsGroup" in context else "")
        try:
            return user_of(self.files, named, ())
        except SwarmError as exc:
            raise CannotRun(exc.message) from exc

    def _environment(self) -> dict[str, str]:
        env = {"HOSTNAME": self.around.hostname, "HOME": "/root"}
        env |= dict(entry.split("=", 1) for entry in self.image.env)
        if self.tty:
            env["TERM"] = "xterm"
        for variable in list_of(self.spec.get("env")):
            env[variable["name"]] = expanded(variable.get("value") or "", env)
        return env

    async def _write(self, stream: int, data: bytes) -> None:
        if self.process is not None:
            await self.process.thawed()
        stream, data = (1, data.replace(b"\n", b"\r\n")) if self.tty else (stream, data)
        await self.output.add(Piece(stream, self.around.clock.now(), data))

    def _given(
        self,
        process: Process,
        words: Sequence[str],
        env: Mapping[str, str],
        stdin: trio.abc.ReceiveStream,
        write: Callable[[int, bytes], Awaitable[None]],
    ) -> Run:
        files = self.files.seen_inside()
        return PodRun(
            words,
            dict(env),
            stdin,
            Sink(partial(write, 1)),
            Sink(partial(write, 2)),
            files,
            process,
            lambda name: program_of_shell(files, name, env),
            self.around.beside,
            self._resolve,
            self.spec.get("workingDir") or "/",
            self._child,
        )

    def _resolve(self, name: str) -> Sequence[str]:
        node = self.files.get(RESOLV)
        lines = node.data.decode().splitlines() if node is not None else []
        domains = [word for line in lines if line.startswith("search ") for word in line.split()[1:]]
        return self.around.resolve(domains, name)

    @contextmanager
    def _child(self, words: Sequence[str]) -> Generator[Process]:
        """Have a further process in the container for the time of the context."""
        process, pid = self.process, self.around.next_pid()
        assert process is not None
        child = Process(pid, words, self.around.clock, process.user, first=False)
        self.execs.append(child)
        try:
            yield child
        finally:
            self.execs.remove(child)

    def _check_memory(self) -> None:
        limit = quantity(str(dict_of(dict_of(self.spec.get("resources")).get("limits")).get("memory")))
        if limit and self.process is not None and sum(each.memory for each in self.processes) > limit:
            self.out_of_memory = True
            self.process.kill(KILLED)


def expanded(text: str, env: Mapping[str, str]) -> str:
    """Return a text in which `$(NAME)` is replaced by a variable, if there is one, and `$$` by `$`."""
    return _REFERENCE.sub(lambda found: "$" if found[1] == "$" else env.get(found[2], found[0]), text)
