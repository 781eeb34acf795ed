"""The commands and words of a shell script, and how each of them is run in a shell."""

from __future__ import annotations

import errno
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeAlias

import trio

from swarmlib import BytesStream

from ..enginekit.pipe import Pipe
from .files import file
from .process import Run, Sink

_MAX_WRITTEN: Final = 16 * 1024 * 1024
"""Bytes that a command may write into a file or a variable."""
_BROKEN_PIPE: Final = 128 + signal.SIGPIPE
Command: TypeAlias = "Callable[[Shell, Run], Awaitable[int]]"
"""What runs in a shell, and gives an exit code: one of the functions below with its parts (`functools.partial`)."""


class ShellSyntaxError(Exception):
    """The script holds what this shell doesn't know."""


class Exit(Exception):
    """The script wants to end with this exit code."""

    def __init__(self, code: int) -> None:
        self.code = code


@dataclass
class Shell:
    """The state of one shell."""

    variables: dict[str, str]
    folder: str
    own: Mapping[str, Callable[[list[str], Shell, Run], Awaitable[int]]]
    """The shell's own commands."""
    args: Sequence[str] = ()
    """The script's own: $1, $2 and so on."""
    name: str = "sh"
    """What it is called: $0."""
    last: int = 0
    traps: dict[int, Command | None] = field(default_factory=dict[int, "Command | None"])
    read_ahead: bytes = b""
    """What was read of stdin behind the last line."""
    pending: list[int] = field(default_factory=list[int])
    signalled: trio.Event = field(default_factory=trio.Event)
    jobs: list[trio.Event] = field(default_factory=list[trio.Event])
    nursery: trio.Nursery | None = None

    def on_signal(self, number: int) -> None:
        """Remember a signal until the command that runs has ended, as a shell does."""
        self.pending.append(number)
        self.signalled.set()

    async def run_traps(self, run: Run) -> None:
        """Run what was asked for at the signals that came."""
        while self.pending:
            commands = self.traps.get(self.pending.pop(0))
            if commands is not None:
                await commands(self, run)
        self.signalled = trio.Event()

    def copy(self) -> Shell:
        """Return a shell in which nothing is changed for this one."""
        return replace(self, variables=dict(self.variables), jobs=[])


async def guarded(command: Command, shell: Shell, run: Run) -> int:
    """Run something to its end, also if it calls `exit` or is wrong."""
    try:
        return await command(shell, run)
    except ShellSyntaxError as exc:
        return await run.fail(f"sh: syntax error: {exc}", 2)
    except Exit as exc:
        return exc.code


async def run_program(words: list[str], run: Run) -> int:
    """Run a program that is not the shell's own; returns its exit code."""
    program = run.program(words[0])
    if program is None:
        return await run.fail(f"sh: {words[0]}: not found", 127)
    return await program(replace(run, args=words))


# Words.


@dataclass(frozen=True)
class Text:
    """A part of a word that stands for itself."""

    text: str


@dataclass(frozen=True)
class Variable:
    """A part of a word: what a variable holds."""

    name: str
    quoted: bool


@dataclass(frozen=True)
class Output:
    """A part of a word: what commands write."""

    commands: Command
    quoted: bool


Part: TypeAlias = Text | Variable | Output
Word: TypeAlias = tuple[Part, ...]


async def _expanded(shell: Shell, run: Run, *given: Word) -> list[str]:
    """Return the words that words become: quoted ones stay one, a bare variable may be several or none."""
    found: list[str] = []
    for word in given:
        words: list[str] = []
        for part in word:
            pieces = await _pieces(part, shell, run)
            if words and pieces:
                words[-1] += pieces.pop(0)
            words += pieces
        found += words
    return found


async def _pieces(part: Part, shell: Shell, run: Run) -> list[str]:
    """Return the words that a part becomes, which are joined to what stands beside it."""
    if isinstance(part, Variable) and part.name == "@" and part.quoted:
        return list(shell.args)
    value = await _value(part, shell, run)
    return [value] if isinstance(part, Text) or part.quoted else value.split()


async def _value(part: Part, shell: Shell, run: Run) -> str:
    match part:
        case Text():
            return part.text
        case Variable():
            special = {"?": str(shell.last), "$": str(run.process.pid), "0": shell.name, "#": str(len(shell.args))}
            special |= {"@": " ".join(shell.args), **{str(at): arg for at, arg in enumerate(shell.args, 1)}}
            return special[part.name] if part.name in special else shell.variables.get(part.name, "")
        case Output():
            buffer = bytearray()
            given = replace(run, stdout=Sink(partial(_append, buffer)))
            shell.last = await guarded(part.commands, shell.copy(), given)
            return buffer.decode("utf-8", "replace").rstrip("\n")


# Commands.


@dataclass(frozen=True)
class Redirect:
    """Where a file number leads: `operator` is one of <, >, >>, <>, <& and >&."""

    number: int
    operator: str
    target: Word


async def simple(
    assigned: Mapping[str, Word], words: Sequence[Word], redirects: Sequence[Redirect], shell: Shell, run: Run
) -> int:
    """Run a program, or one of the shell's own commands."""
    await run.process.thawed()
    run = replace(run, folder=shell.folder)
    variables = {name: " ".join(await _expanded(shell, run, word)) for name, word in assigned.items()}
    args = await _expanded(shell, run, *words)
    run, written = await _redirected(redirects, shell, run)
    try:
        if not args:
            shell.variables |= variables
            return 0
        if args[0] in shell.own:
            return await shell.own[args[0]](args, shell, run)
        return await run_program(args, replace(run, env=run.env | shell.variables | variables))
    finally:
        for path, (data, before) in written.items():
            run.files.put(path, file(before + bytes(data), run.process.clock.now()))


async def _redirected(
    redirects: Sequence[Redirect], shell: Shell, run: Run
) -> tuple[Run, dict[str, tuple[bytearray, bytes]]]:
    sinks = {1: run.stdout, 2: run.stderr}
    written: dict[str, tuple[bytearray, bytes]] = {}
    for redirect in redirects:
        target = " ".join(await _expanded(shell, run, redirect.target))
        path = run.path(target)
        if redirect.operator.endswith("&"):
            if target not in ("1", "2"):
                raise ShellSyntaxError(f"bad file number {target}")
            sinks[redirect.number] = sinks[int(target)]
        elif redirect.operator in ("<", "<>") and redirect.number == 0:
            node = run.files.get(path)
            run = replace(run, stdin=BytesStream(node.data if node else b""))
        else:
            before = run.files.get(path) if redirect.operator == ">>" else None
            buffer = bytearray()
            sinks[redirect.number] = Sink(_nowhere if path == "/dev/null" else partial(_append, buffer))
            if path != "/dev/null":
                written[path] = buffer, before.data if before else b""
    return replace(run, stdout=sinks[1], stderr=sinks[2]), written


async def _nowhere(data: bytes) -> None:
    await trio.lowlevel.checkpoint()


async def _append(buffer: bytearray, data: bytes) -> None:
    if len(buffer) + len(data) > _MAX_WRITTEN:
        raise OSError(errno.ENOSPC, "No space left on device", "write error")
    buffer += data


async def sequence(commands: Sequence[Command], shell: Shell, run: Run) -> int:
    """Run commands one after the other."""
    for command in commands:
        shell.last = await command(shell, run)
        await shell.run_traps(run)
    return shell.last


async def background(command: Command, shell: Shell, run: Run) -> int:
    """Start a command that is not waited for."""
    done = trio.Event()
    shell.jobs.append(done)

    async def job() -> None:
        await guarded(command, shell.copy(), run)
        done.set()

    if shell.nursery is not None:
        shell.nursery.start_soon(job)
    return 0


async def either(first: Command, second: Command, wanted: bool, shell: Shell, run: Run) -> int:
    """Run `&&` (if the first one succeeds, the second one follows) or `||`."""
    shell.last = await first(shell, run)
    return await second(shell, run) if (shell.last == 0) is wanted else shell.last


async def pipeline(commands: Sequence[Command], shell: Shell, run: Run) -> int:
    """Run commands of which each reads what the one before it writes; gives the exit code of the last one."""
    codes = [_BROKEN_PIPE] * len(commands)

    async def part(at: int, before: Pipe | None, after: Pipe | None) -> None:
        with trio.CancelScope() as scope:
            stdout = Sink(partial(_into, after, scope)) if after else run.stdout
            given = replace(run, stdin=before or run.stdin, stdout=stdout)
            codes[at] = await guarded(commands[at], shell.copy(), given)
        if before is not None:
            before.close()
        if after is not None:
            after.end()

    pipes = [None, *(Pipe() for _ in commands[1:]), None]
    async with trio.open_nursery() as nursery:
        for at in range(len(commands)):
            nursery.start_soon(part, at, pipes[at], pipes[at + 1])
    return codes[-1]


async def _into(pipe: Pipe, writer: trio.CancelScope, data: bytes) -> None:
    try:
        await pipe.write(data)
    except trio.BrokenResourceError:
        writer.cancel()  # as the signal SIGPIPE ends who writes what nobody will read
        await trio.lowlevel.checkpoint()


async def negation(command: Command, shell: Shell, run: Run) -> int:
    """Run a command whose success is a failure."""
    return 0 if await command(shell, run) else 1


async def loop(condition: Command, body: Command, wanted: bool, shell: Shell, run: Run) -> int:
    """Run `while`, or `until` where it goes on as long as the condition is not fulfilled."""
    code = 0
    while (await condition(shell, run) == 0) is wanted:
        code = await body(shell, run)
        await shell.run_traps(run)
        await trio.lowlevel.checkpoint()
    return code


async def choice(condition: Command, then: Command, otherwise: Command, shell: Shell, run: Run) -> int:
    """Run `if`: one of two lists of commands."""
    if await condition(shell, run) == 0:
        return await then(shell, run)
    shell.last = 0
    return await otherwise(shell, run)


async def each(name: str, words: Sequence[Word], body: Command, shell: Shell, run: Run) -> int:
    """Run `for`: the same commands for each of some words."""
    code = 0
    for value in await _expanded(shell, run, *words):
        shell.variables[name] = value
        code = await body(shell, run)
        await trio.lowlevel.checkpoint()
    return code


async def subshell(body: Command, shell: Shell, run: Run) -> int:
    """Run commands in a shell of their own."""
    return await guarded(body, shell.copy(), run)
