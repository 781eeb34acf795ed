"""The shell of a simulated container: it runs what tests write after `sh -c`, in the syntax of `shell_syntax`.

What it doesn't know (arithmetic, functions) is a syntax error, and a program that isn't there is one that was not
found: nothing is skipped silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from .process import Program, Run
from .shell_commands import OWN
from .shell_script import Exit, Shell, ShellSyntaxError, guarded
from .shell_syntax import parse


async def sh(run: Run) -> int:
    """Return the program `sh`: `sh -c SCRIPT [NAME [ARGUMENT]...]`, `sh FILE [ARGUMENT]...`, or a script on stdin."""
    count = next((at for at, word in enumerate(run.args[1:]) if not word.startswith("-")), len(run.args) - 1)
    options, rest = run.args[1 : 1 + count], run.args[1 + count :]
    if any("c" in word for word in options):
        if not rest:
            return await run.fail("sh: -c requires an argument", 2)
        return await _script(run, rest[0], rest[1:])
    if rest:
        node = run.files.get(run.path(rest[0]))
        if node is None:
            return await run.fail(f"sh: can't open '{rest[0]}': No such file or directory", 2)
        return await _script(run, node.data.decode("utf-8", "replace"), rest)
    return await _lines(run)


async def _script(run: Run, text: str, given: Sequence[str]) -> int:
    """Run a script; `given` are its name and its arguments."""
    name, *args = given or ["sh"]
    shell = Shell(dict(run.env), run.folder, OWN, args, name)
    async with trio.open_nursery() as shell.nursery:
        code = await guarded(partial(_parsed, text), shell, run)
        shell.nursery.cancel_scope.cancel()
    return code


async def _parsed(text: str, shell: Shell, run: Run) -> int:
    return await parse(text)(shell, run)


async def _lines(run: Run) -> int:
    """Run stdin, line by line."""
    shell = Shell(dict(run.env), run.folder, OWN)
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


SHELLS: Final[dict[str, Program]] = {"sh": sh, "ash": sh}
