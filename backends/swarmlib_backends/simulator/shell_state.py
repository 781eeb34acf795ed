"""The state of one shell, and what its own commands share with the rest of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import trio

from .process import Run
from .shell_tree import Sequence


class Exit(Exception):
    """The script wants to end with this exit code."""

    def __init__(self, code: int) -> None:
        self.code = code


@dataclass
class Shell:
    """The state of one shell."""

    variables: dict[str, str]
    folder: str
    last: int = 0
    traps: dict[int, Sequence | None] = field(default_factory=dict[int, "Sequence | None"])
    pending: list[int] = field(default_factory=list[int])
    signalled: trio.Event = field(default_factory=trio.Event)
    jobs: list[trio.Event] = field(default_factory=list[trio.Event])
    nursery: trio.Nursery | None = None

    def on_signal(self, number: int) -> None:
        """Remember a signal until the command that runs has ended, as a shell does."""
        self.pending.append(number)
        self.signalled.set()

    def copy(self) -> Shell:
        """Return a shell in which nothing is changed for this one."""
        return replace(self, variables=dict(self.variables), jobs=[])


async def run_program(words: list[str], run: Run) -> int:
    """Run a program that is not the shell's own; returns its exit code."""
    program = run.program(words[0])
    if program is None:
        await run.stderr.send_all(f"sh: {words[0]}: not found\n".encode())
        return 127
    return await program(replace(run, args=words))
