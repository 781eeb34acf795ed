"""The processes of simulated containers: which program one runs, as whom, and what it is given."""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from swarmlib import SwarmError

from ..dockerapi.nullable import list_of
from ..dockerapi.status import refusal
from ..enginekit.output import Piece
from .container import Container, Exec
from .engine import Engine
from .files import folder
from .links import variables
from .process import Process, Program, Run, Sink
from .users import User, user_of


class Processes:
    """Makes the processes of an engine's containers, and runs those of execs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def first_of(self, container: Container) -> tuple[Process, Callable[[], Awaitable[int]]]:
        """Make the first process of a container; gives it, and what runs it to its end and gives its exit code.

        Raises:
            SwarmError: there is no such program, or user.
        """
        user = _user(container, container.config)
        program = self._program(container, container.command, first=True)
        folder_at = posixpath.normpath(str(container.config["WorkingDir"] or "/"))
        if container.files.get(folder_at) is None:
            container.files.put(folder_at, folder(self._engine.clock.now()))
        process = self._process(container, container.command, user, first=not container.host.get("Init"))
        return process, partial(process.run, program, self._given(container, process, container))

    def begin_exec(self, each: Exec) -> Program:
        """Make what is needed to run it.

        Raises:
            SwarmError: there is no such program.
        """
        each.begun = True
        container, command = each.container, list(each.config["Cmd"])
        self._engine.tell(container, f"exec_start: {each.shown}", execID=each.id)
        try:
            user = _user(container, each.config)
            program = self._program(container, command)
        except SwarmError as exc:
            each.code = 126
            each.output.end_run()
            reason = exc.message.partition("unable to start")[2]
            if reason:
                text = f"OCI runtime exec failed: exec failed: unable to start{reason}"
                raise refusal(400, text) from exc
            raise
        each.process = self._process(container, command, user, first=False)
        if not each.config.get("AttachStdin"):
            each.stdin.end()
        return program

    async def run_exec(self, each: Exec, program: Program) -> None:
        """Run it to its end."""
        if each.process is None:
            return
        code = await each.process.run(program, self._given(each.container, each.process, each))
        each.code = code if each.code is None else each.code
        each.stdin.close()
        each.output.end_run()
        self._engine.tell(each.container, "exec_die", execID=each.id, exitCode=str(code))

    def _process(self, container: Container, command: list[str], user: User, *, first: bool) -> Process:
        process = Process(self._engine.next_pid(), command, self._engine.clock, user, first=first)
        process.on_use = partial(self._check_memory, container)
        return process

    def _program(self, container: Container, command: list[str], *, first: bool = False) -> Program:
        found = self._engine.program(command[0], container, first=first)
        if found is None:
            raise _no_program(command[0], container)
        return found

    def _given(self, container: Container, process: Process, of: Container | Exec) -> Run:
        """Return what a process of a container, or of an exec in it, is given."""

        async def write(stream: int, data: bytes) -> None:
            await process.thawed()
            stream, data = (1, data.replace(b"\n", b"\r\n")) if of.tty else (stream, data)
            await of.output.add(Piece(stream, self._engine.clock.now(), data))

        return Run(
            process.command,
            _environment(container, of.config),
            of.stdin,
            Sink(partial(write, 1)),
            Sink(partial(write, 2)),
            container.files.seen_inside(),
            process,
            lambda name: self._engine.program(name, container),
            partial(processes_in, container),
            partial(self._engine.networks.resolve, container),
            posixpath.normpath(str(of.config.get("WorkingDir") or container.config["WorkingDir"] or "/")),
        )

    def _check_memory(self, container: Container) -> None:
        """Kill one that says that it uses more memory than it may, as the kernel does."""
        limit = container.host["Memory"]
        if (
            limit
            and sum(process.memory for process in processes_in(container)) > limit
            and container.process is not None
        ):
            container.oom_killed = True
            self._engine.tell(container, "oom")
            container.process.kill()


def processes_in(container: Container) -> list[Process]:
    """Return what runs in a container."""
    first = [container.process] if container.process is not None else []
    return first + [each.process for each in container.execs.values() if each.process is not None and each.alive]


def _user(container: Container, config: dict[str, Any]) -> User:
    """Return who a process of this configuration runs as: its own, or its container's."""
    named = str(config.get("User") or container.config["User"] or "")
    return user_of(container.files, named, list_of(container.host["GroupAdd"]))


def _no_program(name: str, container: Container) -> SwarmError:
    node = container.files.get(name) if "/" in name else None
    if "/" not in name:
        problem, code = "executable file not found in $PATH", 127
    elif node is None:
        problem, code = f"stat {name}: no such file or directory", 127
    else:
        problem, code = "permission denied", 126
    text = (
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process"
    )
    error = refusal(400, f'{text}: exec: "{name}": {problem}: unknown')
    error.details = {**error.details, "exit_code": code}
    return error


def _environment(container: Container, config: dict[str, Any]) -> dict[str, str]:
    base = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    base["HOSTNAME"] = container.config["Hostname"]
    if config.get("Tty"):
        base["TERM"] = "xterm"
    base |= variables(container)
    entries = [
        *list_of(container.config["Env"]),
        *(list_of(config.get("Env")) if config is not container.config else []),
    ]
    given = [entry.partition("=") for entry in entries]
    return {**base, **{name: value for name, is_set, value in given if is_set}, "HOME": "/root"}
