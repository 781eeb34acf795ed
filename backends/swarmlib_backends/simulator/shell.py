"""The shell of a simulated container: it runs what tests write after `sh -c`, in the syntax of `shell_syntax`.

What it doesn't know (arithmetic, functions) is a syntax
error, and a program that isn't there is one that was not found: nothing is skipped silently.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from swarmlib import BytesStream

from ..enginekit.pipe import Pipe
from .files import file
from .process import Program, Run, Sink
from .shell_commands import OWN
from .shell_state import Exit, Shell, run_program
from .shell_syntax import ShellSyntaxError, parse
from .shell_tree import (
    Background,
    Command,
    Either,
    For,
    If,
    Loop,
    Not,
    Output,
    Pipeline,
    Redirect,
    Sequence,
    Simple,
    Subshell,
    Text,
    Variable,
    Word,
)

_MAX_WRITTEN: Final = 16 * 1024 * 1024
"""Bytes that a command may write into a file or a variable."""
_BROKEN_PIPE: Final = 128 + signal.SIGPIPE


async def sh(run: Run) -> int:
    """Return the program `sh`: `sh -c SCRIPT`, or a script on stdin."""
    options = [word for word in run.args[1:] if word.startswith("-")]
    rest = [word for word in run.args[1:] if not word.startswith("-")]
    if any("c" in word for word in options):
        if not rest:
            await run.stderr.send_all(b"sh: -c requires an argument\n")
            return 2
        return await _script(run, rest[0])
    if rest:
        node = run.files.get(run.path(rest[0]))
        if node is None:
            await run.stderr.send_all(f"sh: can't open '{rest[0]}': No such file or directory\n".encode())
            return 2
        return await _script(run, node.data.decode("utf-8", "replace"))
    return await _lines(run)


async def _script(run: Run, text: str) -> int:
    shell = Shell(dict(run.env), run.folder)
    async with trio.open_nursery() as shell.nursery:
        code = await _guarded(partial(_parsed, text), shell, run)
        shell.nursery.cancel_scope.cancel()
    return code


async def _guarded(step: Callable[[Shell, Run], Awaitable[int]], shell: Shell, run: Run) -> int:
    """Run something to its end, also if it calls `exit` or is wrong."""
    try:
        return await step(shell, run)
    except ShellSyntaxError as exc:
        await run.stderr.send_all(f"sh: syntax error: {exc}\n".encode())
        return 2
    except Exit as exc:
        return exc.code


async def _parsed(text: str, shell: Shell, run: Run) -> int:
    return await _execute(parse(text), shell, run)


async def _lines(run: Run) -> int:
    """Run stdin, line by line."""
    shell = Shell(dict(run.env), run.folder)
    buffer = b""
    async with trio.open_nursery() as shell.nursery:
        try:
            while data := await run.stdin.receive_some():
                *lines, buffer = (buffer + bytes(data)).split(b"\n")
                for line in lines:
                    await _line(shell, run, line)
            await _line(shell, run, buffer)
        except Exit as exc:
            shell.last = exc.code
        shell.nursery.cancel_scope.cancel()
    return shell.last


async def _line(shell: Shell, run: Run, line: bytes) -> None:
    try:
        await _parsed(line.decode("utf-8", "replace"), shell, run)
    except ShellSyntaxError as exc:
        shell.last = 2
        await run.stderr.send_all(f"sh: syntax error: {exc}\n".encode())


# The commands of a script.


async def _execute(command: Command, shell: Shell, run: Run) -> int:
    """Run a command; gives its exit code."""
    match command:
        case Simple():
            return await _simple(command, shell, run)
        case Sequence():
            return await _sequence(command, shell, run)
        case Background():
            return _background(command, shell, run)
        case Either():
            shell.last = await _execute(command.first, shell, run)
            goes_on = (shell.last == 0) is command.wanted
            return await _execute(command.second, shell, run) if goes_on else shell.last
        case Pipeline():
            return await _pipeline(command, shell, run)
        case Not():
            return 0 if await _execute(command.command, shell, run) else 1
        case Loop():
            return await _loop(command, shell, run)
        case If():
            return await _if(command, shell, run)
        case For():
            return await _for(command, shell, run)
        case Subshell():
            return await _guarded(partial(_execute, command.body), shell.copy(), run)


async def _sequence(sequence: Sequence, shell: Shell, run: Run) -> int:
    for command in sequence.commands:
        shell.last = await _execute(command, shell, run)
        await _run_traps(shell, run)
    return shell.last


async def _run_traps(shell: Shell, run: Run) -> None:
    """Run what was asked for at the signals that came."""
    while shell.pending:
        commands = shell.traps.get(shell.pending.pop(0))
        if commands is not None:
            await _execute(commands, shell, run)
    shell.signalled = trio.Event()


def _background(background: Background, shell: Shell, run: Run) -> int:
    done = trio.Event()
    shell.jobs.append(done)

    async def job() -> None:
        await _guarded(partial(_execute, background.command), shell.copy(), run)
        done.set()

    if shell.nursery is not None:
        shell.nursery.start_soon(job)
    return 0


async def _pipeline(pipeline: Pipeline, shell: Shell, run: Run) -> int:
    """Run commands that read what the one before writes; gives the exit code of the last one."""
    codes = [_BROKEN_PIPE] * len(pipeline.commands)

    async def part(at: int, before: Pipe | None, after: Pipe | None) -> None:
        with trio.CancelScope() as scope:
            stdout = Sink(partial(_into, after, scope)) if after else run.stdout
            given = replace(run, stdin=before or run.stdin, stdout=stdout)
            codes[at] = await _guarded(partial(_execute, pipeline.commands[at]), shell.copy(), given)
        if before is not None:
            before.close()
        if after is not None:
            after.end()

    pipes = [None, *(Pipe() for _ in pipeline.commands[1:]), None]
    async with trio.open_nursery() as nursery:
        for at in range(len(pipeline.commands)):
            nursery.start_soon(part, at, pipes[at], pipes[at + 1])
    return codes[-1]


async def _into(pipe: Pipe, writer: trio.CancelScope, data: bytes) -> None:
    try:
        await pipe.write(data)
    except trio.BrokenResourceError:
        writer.cancel()  # as the signal SIGPIPE ends who writes what nobody will read
        await trio.lowlevel.checkpoint()


async def _loop(loop: Loop, shell: Shell, run: Run) -> int:
    code = 0
    while (await _execute(loop.condition, shell, run) == 0) is loop.wanted:
        code = await _execute(loop.body, shell, run)
        await _run_traps(shell, run)
        await trio.lowlevel.checkpoint()
    return code


async def _if(command: If, shell: Shell, run: Run) -> int:
    if await _execute(command.condition, shell, run) == 0:
        return await _execute(command.then, shell, run)
    shell.last = 0
    return await _execute(command.otherwise, shell, run)


async def _for(command: For, shell: Shell, run: Run) -> int:
    code = 0
    for value in await _all_expanded(command.words, shell, run):
        shell.variables[command.name] = value
        code = await _execute(command.body, shell, run)
        await trio.lowlevel.checkpoint()
    return code


async def _simple(command: Simple, shell: Shell, run: Run) -> int:
    await run.process.thawed()
    run = replace(run, folder=shell.folder)
    assigned = {name: " ".join(await _expanded(word, shell, run)) for name, word in command.assigned}
    words = await _all_expanded(command.words, shell, run)
    run, written = await _redirected(command.redirects, shell, run)
    try:
        if not words:
            shell.variables |= assigned
            return 0
        if words[0] in OWN:
            return await OWN[words[0]](words, shell, run)
        return await run_program(words, replace(run, env=run.env | shell.variables | assigned))
    finally:
        for path, (data, before) in written.items():
            run.files.put(path, file(before + bytes(data), run.process.clock.now()))


async def _redirected(
    redirects: tuple[Redirect, ...], shell: Shell, run: Run
) -> tuple[Run, dict[str, tuple[bytearray, bytes]]]:
    sinks = {1: run.stdout, 2: run.stderr}
    written: dict[str, tuple[bytearray, bytes]] = {}
    for redirect in redirects:
        target = " ".join(await _expanded(redirect.target, shell, run))
        path = run.path(target)
        if redirect.operator.endswith("&"):
            if target not in ("1", "2"):
                raise ShellSyntaxError(f"bad file number {target}")
            sinks[redirect.number] = sinks[int(target)]
        elif redirect.operator == "<":
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


# Words.


async def _all_expanded(words: tuple[Word, ...], shell: Shell, run: Run) -> list[str]:
    return [text for word in words for text in await _expanded(word, shell, run)]


async def _expanded(word: Word, shell: Shell, run: Run) -> list[str]:
    """Return the words that a word becomes: quoted ones stay one, a bare variable may be several or none."""
    words: list[str] = []
    for part in word:
        value = await _value(part, shell, run)
        pieces = [value] if isinstance(part, Text) or part.quoted else value.split()
        if words and pieces:
            words[-1] += pieces.pop(0)
        words += pieces
    return words


async def _value(part: Text | Variable | Output, shell: Shell, run: Run) -> str:
    match part:
        case Text():
            return part.text
        case Variable():
            special = {"?": str(shell.last), "$": str(run.process.pid), "0": "sh"}
            return special.get(part.name) or shell.variables.get(part.name, "")
        case Output():
            buffer = bytearray()
            given = replace(run, stdout=Sink(partial(_append, buffer)))
            shell.last = await _guarded(partial(_execute, part.commands), shell.copy(), given)
            return buffer.decode("utf-8", "replace").rstrip("\n")


SHELLS: Final[dict[str, Program]] = {"sh": sh, "ash": sh}
