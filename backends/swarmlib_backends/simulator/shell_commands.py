"""The shell's own commands: cd, exec, exit, export, kill, read, shift, trap and wait."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from swarmlib import Invalid

from ..dockerapi.values import signal_number
from .process import Run
from .shell_script import Exit, Shell, run_program
from .shell_syntax import parse


async def _exit(words: list[str], shell: Shell, run: Run) -> int:
    raise Exit(int(words[1]) & 0xFF if len(words) > 1 and words[1].isdigit() else shell.last)


async def _exec(words: list[str], shell: Shell, run: Run) -> int:
    if len(words) < 2:
        return 0
    raise Exit(await run_program(words[1:], replace(run, env=run.env | shell.variables)))


async def _cd(words: list[str], shell: Shell, run: Run) -> int:
    given = [word for word in words[1:] if word != "--"] or [run.env.get("HOME", "/")]
    path = run.path(given[0])
    folder = run.files.get(path)
    if folder is not None and folder.is_folder:
        shell.folder = path
        return 0
    return await run.fail(f"sh: cd: can't cd to {given[0]}: No such file or directory", 2)


async def _trap(words: list[str], shell: Shell, run: Run) -> int:
    for name in words[2:]:
        try:
            number = signal_number(name)
        except Invalid:
            return await run.fail(f"sh: trap: {name}: invalid signal specification", 1)
        if words[1] == "-":
            shell.traps.pop(number, None)
            run.process.handlers.pop(number, None)
        else:
            shell.traps[number] = parse(words[1]) if words[1] else None
            run.on_signal(number, partial(shell.on_signal, number))
    return 0


async def _wait(words: list[str], shell: Shell, run: Run) -> int:
    jobs, shell.jobs = shell.jobs, []
    done = trio.Event()

    async def wait_for(event: trio.Event) -> None:
        await event.wait()
        nursery.cancel_scope.cancel()

    async def all_jobs() -> None:
        for job in jobs:
            await job.wait()
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(all_jobs)
        nursery.start_soon(wait_for, done)
        nursery.start_soon(wait_for, shell.signalled)
    return 0 if done.is_set() else 128 + (shell.pending or [signal.SIGTERM])[0]


async def _export(words: list[str], shell: Shell, run: Run) -> int:
    for word in words[1:]:
        name, is_set, value = word.partition("=")
        if is_set:
            shell.variables[name] = value
    return 0


async def _read(words: list[str], shell: Shell, run: Run) -> int:
    """`read [-r] NAME...`: a line, whose last variable has the rest of it."""
    line = bytearray()
    while not line.endswith(b"\n"):
        if not (piece := shell.read_ahead or await run.stdin.receive_some()):
            break
        end = piece.find(b"\n") + 1 or len(piece)
        line += piece[:end]
        shell.read_ahead = bytes(piece[end:])
    names = [word for word in words[1:] if not word.startswith("-")]
    values = line.decode("utf-8", "replace").rstrip("\n").split(None, len(names) - 1) if names else []
    shell.variables |= dict.fromkeys(names, "") | dict(zip(names, (each.strip() for each in values), strict=False))
    return 0 if line.endswith(b"\n") else 1


async def _kill(words: list[str], shell: Shell, run: Run) -> int:
    """`kill [-SIGNAL] PID...`; -1 is all others but a container's first, and the signal 0 only asks who is there."""
    named = words[1][1:] if len(words) > 1 and words[1].startswith("-") else ""
    try:
        number = 0 if named == "0" else signal_number(named or "TERM")
    except Invalid:
        return await run.fail(f"sh: invalid signal '{named}'")
    code = 0
    for word in words[2 if named else 1 :]:
        others = [each for each in run.beside() if each is not run.process and not each.first]
        found = others if word == "-1" else [each for each in run.beside() if str(each.pid) == word]
        if not found:
            code = await run.fail(f"sh: can't kill pid {word}: No such process")
        for process in found if number else ():
            process.signal(number)
    await trio.lowlevel.checkpoint()
    return code


async def _shift(words: list[str], shell: Shell, run: Run) -> int:
    count = int(words[1]) if len(words) > 1 and words[1].isdigit() else 1
    if count > len(shell.args):
        return await run.fail("sh: shift: can't shift that many")
    shell.args = shell.args[count:]
    return 0


OWN: Final[Mapping[str, Callable[[list[str], Shell, Run], Awaitable[int]]]] = {
    "exit": _exit,
    "export": _export,
    "exec": _exec,
    "cd": _cd,
    "kill": _kill,
    "read": _read,
    "shift": _shift,
    "trap": _trap,
    "wait": _wait,
}
