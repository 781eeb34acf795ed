"""The shell of a simulated container: what tests write after `sh -c`, and nothing more.

    list     = andor {(";" | "&" | newline) andor}          commands  simple ones, with NAME=value before them
    andor    = command {("&&" | "||") command}              words     'quoted', "quoted $NAME", $NAME, ${NAME}, $?, $$
    command  = ["!"] (simple | while | if)                  redirects >file >>file <file 2>file >&2 2>&1
    while    = ("while" | "until") list "do" list "done"
    if       = "if" list "then" list {"elif" …} ["else" list] "fi"

Its own commands are cd, exec, exit, trap and wait. What it doesn't know (pipes, `$(…)`, functions) is a syntax error,
and a program that isn't there is one that was not found: nothing is skipped silently.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeAlias

import trio

from swarmlib import BytesStream, Invalid

from ..dockerapi.values import signal_number
from .files import file
from .process import Program, Run, Sink

_TOKEN: Final = re.compile(
    r"(?P<blank>[ \t]+|\\\n|\#[^\n]*)|(?P<operator>&&|\|\||;|\n|&(?!>)|\||\(|\))|(?P<redirect>\d?(?:>>|>|<)&?)"
    r"|(?P<word>(?:'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|[^\s;&|<>()'\"\\])+)",
    re.DOTALL,
)
_PIECE: Final = re.compile(
    r"'(?P<raw>[^']*)'|\"(?P<quoted>(?:\\.|[^\"\\])*)\"|\\(?P<escaped>.)|(?P<bare>[^'\"\\]+)", re.DOTALL
)
_VARIABLE: Final = re.compile(r"\\([$\"\\`])|\$(?:\{(\w+)\}|(\w+|[?$#@*!]))|\$(?=[({])|`")
_ASSIGNED: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_RESERVED: Final = {"while", "until", "do", "done", "if", "then", "elif", "else", "fi", "for", "case", "{", "}", "!"}


class ShellSyntaxError(Exception):
    """The script holds what this shell doesn't know."""


class _Exit(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


Step: TypeAlias = "Callable[[Shell, Run], Awaitable[int]]"
"""A parsed command: it runs in a shell, and gives its exit code."""


@dataclass
class Shell:
    """The state of one shell."""

    variables: dict[str, str]
    folder: str
    last: int = 0
    traps: dict[int, Step | None] = field(default_factory=dict[int, "Step | None"])
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
            step = self.traps.get(self.pending.pop(0))
            if step is not None:
                await step(self, run)
        self.signalled = trio.Event()


async def sh(run: Run) -> int:
    """The program `sh`: `sh -c SCRIPT`, or a script on stdin."""
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


async def _guarded(step: Step, shell: Shell, run: Run) -> int:
    """Run a step to its end, also if it calls `exit` or is wrong."""
    try:
        return await step(shell, run)
    except ShellSyntaxError as exc:
        await run.stderr.send_all(f"sh: syntax error: {exc}\n".encode())
        return 2
    except _Exit as exc:
        return exc.code


async def _parsed(text: str, shell: Shell, run: Run) -> int:
    return await parse(text)(shell, run)


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
        except _Exit as exc:
            shell.last = exc.code
        shell.nursery.cancel_scope.cancel()
    return shell.last


async def _line(shell: Shell, run: Run, line: bytes) -> None:
    try:
        await _parsed(line.decode("utf-8", "replace"), shell, run)
    except ShellSyntaxError as exc:
        shell.last = 2
        await run.stderr.send_all(f"sh: syntax error: {exc}\n".encode())


def parse(text: str) -> Step:
    """A script as a step.

    Raises:
        ShellSyntaxError: it holds what this shell doesn't know; names it.
    """
    parser = _Parser(_tokens(text))
    step = parser.sequence(set())
    if parser.next is not None:
        raise ShellSyntaxError(f'unexpected "{parser.next}"')
    return step


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ShellSyntaxError(f"unterminated or unknown: {text[at : at + 20]}")
        at = match.end()
        kind = match.lastgroup or ""
        if kind != "blank":
            found.append((kind, match[0]))
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def next(self) -> str | None:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else None

    def _take(self, *wanted: str) -> str:
        found = self.next
        if found is None or (wanted and found not in wanted):
            raise ShellSyntaxError(f"unexpected {'end of script' if found is None else found!r}")
        self._at += 1
        return found

    def sequence(self, until: set[str]) -> Step:
        steps: list[Step] = []
        while True:
            while self.next in (";", "\n"):
                self._at += 1
            if self.next is None or self.next in until:
                return partial(_sequence, steps)
            step = self._and_or()
            if self.next == "&":
                self._at += 1
                step = partial(_background, step)
            elif self.next not in (None, ";", "\n", *until):
                raise ShellSyntaxError(f'unexpected "{self.next}"')
            steps.append(step)

    def _and_or(self) -> Step:
        step = self._command()
        while self.next in ("&&", "||"):
            operator = self._take()
            step = partial(_either, step, self._command(), operator == "&&")
        return step

    def _command(self) -> Step:
        if self.next == "!":
            self._at += 1
            return partial(_not, self._command())
        if self.next in ("while", "until"):
            return self._loop(self._take() == "while")
        if self.next == "if":
            self._at += 1
            return self._if()
        return self._simple()

    def _loop(self, wanted: bool) -> Step:
        condition = self.sequence({"do"})
        self._take("do")
        body = self.sequence({"done"})
        self._take("done")
        return partial(_loop, condition, body, wanted)

    def _if(self) -> Step:
        condition = self.sequence({"then"})
        self._take("then")
        then = self.sequence({"elif", "else", "fi"})
        word = self._take("elif", "else", "fi")
        if word == "elif":
            return partial(_if, condition, then, self._if())
        otherwise = self.sequence({"fi"}) if word == "else" else partial(_sequence, [])
        if word == "else":
            self._take("fi")
        return partial(_if, condition, then, otherwise)

    def _simple(self) -> Step:
        words: list[str] = []
        redirects: list[tuple[str, str]] = []
        while self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind == "redirect":
                self._at += 1
                redirects.append((text, self._word()))
            elif kind == "word":
                if not words and text in _RESERVED:
                    raise ShellSyntaxError(f'unexpected "{text}"')
                words.append(self._word())
            else:
                break
        if not words and not redirects:
            raise ShellSyntaxError(f'unexpected "{self.next}"')
        return partial(_simple, words, redirects)

    def _word(self) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != "word":
            raise ShellSyntaxError("a redirection needs a word")
        return self._take()


async def _sequence(steps: Sequence[Step], shell: Shell, run: Run) -> int:
    for step in steps:
        shell.last = await step(shell, run)
        await shell.run_traps(run)
    return shell.last


async def _background(step: Step, shell: Shell, run: Run) -> int:
    done = trio.Event()
    shell.jobs.append(done)

    async def job() -> None:
        await _guarded(step, replace(shell, variables=dict(shell.variables), jobs=[]), run)
        done.set()

    if shell.nursery is not None:
        shell.nursery.start_soon(job)
    return 0


async def _either(first: Step, second: Step, wanted: bool, shell: Shell, run: Run) -> int:
    shell.last = await first(shell, run)
    return await second(shell, run) if (shell.last == 0) is wanted else shell.last


async def _not(step: Step, shell: Shell, run: Run) -> int:
    return 0 if await step(shell, run) else 1


async def _loop(condition: Step, body: Step, wanted: bool, shell: Shell, run: Run) -> int:
    code = 0
    while (await condition(shell, run) == 0) is wanted:
        code = await body(shell, run)
        await shell.run_traps(run)
        await trio.lowlevel.checkpoint()
    return code


async def _if(condition: Step, then: Step, otherwise: Step, shell: Shell, run: Run) -> int:
    if await condition(shell, run) == 0:
        return await then(shell, run)
    shell.last = 0
    return await otherwise(shell, run)


async def _simple(raw: Sequence[str], redirects: Sequence[tuple[str, str]], shell: Shell, run: Run) -> int:
    await run.process.thawed()
    run = replace(run, folder=shell.folder)
    set_before: dict[str, str] = {}
    at = 0
    while at < len(raw) and (found := _ASSIGNED.fullmatch(raw[at])):
        set_before[found[1]] = "".join(_expanded(found[2], shell, run))
        at += 1
    words = [word for part in raw[at:] for word in _expanded(part, shell, run)]
    run, written = _redirected(redirects, shell, run)
    try:
        if not words:
            shell.variables |= set_before
            return 0
        if words[0] in _OWN:
            return await _OWN[words[0]](words, shell, run)
        return await _external(words, shell, replace(run, env=run.env | shell.variables | set_before))
    finally:
        for path, (data, before) in written.items():
            run.files.put(path, file(before + bytes(data), run.process.clock.now()))


async def _external(words: Sequence[str], shell: Shell, run: Run) -> int:
    program = run.program(words[0])
    if program is None:
        await run.stderr.send_all(f"sh: {words[0]}: not found\n".encode())
        return 127
    return await program(replace(run, args=words))


def _redirected(
    redirects: Sequence[tuple[str, str]], shell: Shell, run: Run
) -> tuple[Run, dict[str, tuple[bytearray, bytes]]]:
    sinks = {1: run.stdout, 2: run.stderr}
    written: dict[str, tuple[bytearray, bytes]] = {}
    for operator, raw in redirects:
        target = "".join(_expanded(raw, shell, run))
        number = int(operator[0]) if operator[0].isdigit() else 1
        if operator.endswith("&"):
            if target not in ("1", "2"):
                raise ShellSyntaxError(f"bad file number {target}")
            sinks[number] = sinks[int(target)]
        elif "<" in operator:
            node = run.files.get(run.path(target))
            run = replace(run, stdin=BytesStream(node.data if node else b""))
        else:
            path = run.path(target)
            before = run.files.get(path) if ">>" in operator else None
            buffer = bytearray()
            sinks[number] = Sink(partial(_append, buffer))
            if path != "/dev/null":
                written[path] = buffer, before.data if before else b""
    return replace(run, stdout=sinks[1], stderr=sinks[2]), written


async def _append(buffer: bytearray, data: bytes) -> None:
    buffer += data


def _expanded(word: str, shell: Shell, run: Run) -> list[str]:
    """The words that a word becomes: quoted ones stay one, a bare variable may be several or none."""
    words: list[str] = [""]
    empty = True
    for piece in _PIECE.finditer(word):
        kind, text = piece.lastgroup, piece[piece.lastgroup or 0]
        if kind == "bare":
            value = _with_variables(text, shell, run)
            parts = value.split() if "$" in text else [value]
            if parts:
                empty = False
                words[-1] += parts[0]
                words += parts[1:]
        else:
            empty = False
            words[-1] += _with_variables(text, shell, run) if kind == "quoted" else text
    return [] if empty else words


def _with_variables(text: str, shell: Shell, run: Run) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] is not None:
            return found[1]
        name = found[2] or found[3]
        if name is None or name in ("#", "@", "*", "!"):
            raise ShellSyntaxError(f"unknown here: {found[0]}")
        special = {"?": str(shell.last), "$": str(run.process.pid), "0": "sh"}
        return special.get(name) or shell.variables.get(name, "")

    return _VARIABLE.sub(value, text)


# The shell's own commands.


async def _exit(words: Sequence[str], shell: Shell, run: Run) -> int:
    raise _Exit(int(words[1]) & 0xFF if len(words) > 1 and words[1].isdigit() else shell.last)


async def _exec(words: Sequence[str], shell: Shell, run: Run) -> int:
    if len(words) < 2:
        return 0
    raise _Exit(await _external(words[1:], shell, run))


async def _cd(words: Sequence[str], shell: Shell, run: Run) -> int:
    path = run.path(words[1] if len(words) > 1 else run.env.get("HOME", "/"))
    folder = run.files.get(path)
    if folder is not None and folder.is_folder:
        shell.folder = path
        return 0
    await run.stderr.send_all(f"sh: cd: can't cd to {words[1]}: No such file or directory\n".encode())
    return 2


async def _trap(words: Sequence[str], shell: Shell, run: Run) -> int:
    for name in words[2:]:
        try:
            number = signal_number(name)
        except Invalid:
            await run.stderr.send_all(f"sh: trap: {name}: invalid signal specification\n".encode())
            return 1
        if words[1] == "-":
            shell.traps.pop(number, None)
            run.process.handlers.pop(number, None)
        else:
            shell.traps[number] = parse(words[1]) if words[1] else None
            run.on_signal(number, partial(shell.on_signal, number))
    return 0


async def _wait(words: Sequence[str], shell: Shell, run: Run) -> int:
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


_OWN: Final[dict[str, Callable[[Sequence[str], Shell, Run], Awaitable[int]]]] = {
    "exit": _exit,
    "exec": _exec,
    "cd": _cd,
    "trap": _trap,
    "wait": _wait,
}
SHELLS: Final[dict[str, Program]] = {"sh": sh, "ash": sh}
