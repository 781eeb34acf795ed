"""The commands and words of a shell script, as a tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Text:
    """A part of a word that stands for itself."""

    text: str
    quoted: bool = True


@dataclass(frozen=True)
class Variable:
    """A part of a word: what a variable holds."""

    name: str
    quoted: bool


@dataclass(frozen=True)
class Output:
    """A part of a word: what commands write."""

    commands: Sequence
    quoted: bool


Part: TypeAlias = Text | Variable | Output
Word: TypeAlias = tuple[Part, ...]


@dataclass(frozen=True)
class Redirect:
    """Where a file number leads: `operator` is one of <, >, >>, <& and >&."""

    number: int
    operator: str
    target: Word


@dataclass(frozen=True)
class Simple:
    """A program, or one of the shell's own commands."""

    assigned: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True)
class Sequence:
    """Commands one after the other."""

    commands: tuple[Command, ...]


@dataclass(frozen=True)
class Background:
    """A command that is not waited for."""

    command: Command


@dataclass(frozen=True)
class Either:
    """`&&` (if the first one succeeds, the second one follows) or `||`."""

    first: Command
    second: Command
    wanted: bool


@dataclass(frozen=True)
class Pipeline:
    """Commands of which each reads what the one before it writes."""

    commands: tuple[Command, ...]


@dataclass(frozen=True)
class Not:
    """A command whose success is a failure."""

    command: Command


@dataclass(frozen=True)
class Loop:
    """`while`, or `until` where it goes on as long as the condition is not fulfilled."""

    condition: Sequence
    body: Sequence
    wanted: bool


@dataclass(frozen=True)
class If:
    """One of two lists of commands."""

    condition: Sequence
    then: Sequence
    otherwise: Command


@dataclass(frozen=True)
class For:
    """The same commands for each of some words."""

    name: str
    words: tuple[Word, ...]
    body: Sequence


@dataclass(frozen=True)
class Subshell:
    """Commands in a shell of their own."""

    body: Sequence


Command: TypeAlias = Simple | Sequence | Background | Either | Pipeline | Not | Loop | If | For | Subshell
