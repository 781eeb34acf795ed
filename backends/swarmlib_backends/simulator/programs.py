"""The programs of a simulated container: those of a busybox that tests use."""

from __future__ import annotations

import codecs
import operator
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import trio

from ..dockerapi.matching import glob
from .files import Node, file, folder
from .machine import MACHINE
from .process import Program, Run
from .reach import REACH
from .shell import SHELLS
from .text import TEXT, letters, names

_TESTS: Final = {"-name", "-type"}
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}/[+-]?[0-9]{1,18}")
_COMPARISONS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    f"-{each.__name__}": each for each in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)
}
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


async def _find(run: Run) -> int:
    """`find [FOLDER...] [-type f|d|l] [-name PATTERN]`."""
    count = next((at for at, word in enumerate(run.args) if at and word.startswith("-")), len(run.args))
    tests = list(run.args[count:])
    pairs = dict(zip(tests[::2], tests[1::2], strict=False))
    if len(tests) % 2 or set(pairs) - _TESTS or pairs.get("-type", "f") not in ("f", "d", "l"):
        return await _complain(run, f"unrecognized: {' '.join(tests)}")
    fits = glob(pairs.get("-name", "*"))
    code = 0
    for begin in run.args[1:count] or ["."]:
        path = run.path(begin)
        if run.files.get(path) is None:
            code = await _complain(run, f"{begin}: No such file or directory")
            continue
        for each in (path, *run.files.below(path)):
            node = run.files.get(each)
            if node is not None and fits(posixpath.basename(each)) and pairs.get("-type", _kind(node)) == _kind(node):
                inside = posixpath.relpath(each, path)
                shown = begin if inside == "." else posixpath.join(begin, inside)
                await run.say(f"{shown}\n")
    return code


def _kind(node: Node) -> str:
    return "d" if node.is_folder else "l" if node.link else "f"


async def _cp(run: Run) -> int:
    """`cp [-ra] FILE... TARGET`; what is copied is the running user's."""
    options, given = letters(run), names(run)
    if len(given) < 2:
        return await _complain(run, "missing file operand")
    *sources, target = given
    there = run.files.get(run.path(target))
    is_folder = there is not None and there.is_folder
    if len(sources) > 1 and not is_folder:
        return await _complain(run, f"target '{target}' is not a directory")
    code = 0
    for name in sources:
        node, path = run.node(name), run.path(name)
        if node is None:
            code = await _complain(run, f"can't stat '{name}': No such file or directory")
        elif node.is_folder and not set(options) & set("raR"):
            code = await _complain(run, f"omitting directory '{name}'")
        else:
            below = is_folder and not name.endswith("/.")  # by which what is in a folder is meant
            _copy(run, path, posixpath.join(run.path(target), posixpath.basename(path) if below else ""))
    return code


def _copy(run: Run, path: str, at: str) -> None:
    for each in (path, *run.files.below(path)):
        node = run.files.get(each)
        if node is not None:
            inside = posixpath.normpath(posixpath.join(at, posixpath.relpath(each, path)))
            owned = replace(node, changed=run.process.clock.now(), owner=(run.user.uid, run.user.gid))
            run.files.put(inside, owned)


async def _complain(run: Run, text: str) -> int:
    return await run.fail(f"{run.args[0]}: {text}")


async def _true(run: Run) -> int:
    return 0


async def _false(run: Run) -> int:
    return 1


async def _echo(run: Run) -> int:
    words = list(run.args[1:])
    options = ""
    while words and words[0] in ("-n", "-e", "-ne", "-en"):
        options += words.pop(0)
    text = " ".join(words) + ("" if "n" in options else "\n")
    return await run.say(_unescaped(text) if "e" in options else text.encode())


def _unescaped(text: str) -> bytes:
    return codecs.escape_decode(text.encode())[0]


async def _printf(run: Run) -> int:
    if len(run.args) < 2:
        return await run.fail("usage: printf FORMAT [ARG]...")
    values = iter(run.args[2:])
    unknown = re.search(r"%(?![sd%])", run.args[1])
    if unknown is not None:
        return await run.fail(f"printf: {run.args[1][unknown.start() :]}: invalid format")
    text = re.sub("%([sd%])", lambda found: "%" if found[1] == "%" else next(values, ""), run.args[1])
    return await run.say(_unescaped(text))


async def _sleep(run: Run) -> int:
    if len(run.args) < 2:
        return await run.fail("sleep: missing operand")
    seconds = 0.0
    for word in run.args[1:]:
        number, unit = (word[:-1], word[-1]) if word[-1:] in _UNITS else (word, "s")
        try:
            seconds += float(number) * _UNITS[unit]
        except ValueError:
            return await run.fail(f"sleep: invalid number '{word}'")
    await run.sleep(seconds)
    return 0


async def _env(run: Run) -> int:
    """`env [NAME=VALUE...] [PROGRAM ARGUMENT...]`."""
    count = next((at for at, word in enumerate(run.args[1:]) if "=" not in word), len(run.args) - 1)
    env = run.env | dict(word.split("=", 1) for word in run.args[1 : 1 + count])
    if not (words := run.args[1 + count :]):
        return await run.say("".join(f"{name}={value}\n" for name, value in env.items()))
    if (program := run.program(words[0])) is None:
        return await run.fail(f"env: can't execute '{words[0]}': No such file or directory", 127)
    return await program(replace(run, args=words, env=env))


async def _touch(run: Run) -> int:
    for name in names(run):
        node = run.node(name)
        run.files.put(run.path(name), file(node.data if node else b"", run.process.clock.now()))
    return 0


async def _mkdir(run: Run) -> int:
    for name in names(run):
        path = run.path(name)
        if "-p" not in run.args and run.files.get(path) is not None:
            return await run.fail(f"mkdir: can't create directory '{name}': File exists")
        if "-p" not in run.args and run.files.get(posixpath.dirname(path)) is None:
            return await run.fail(f"mkdir: can't create directory '{name}': No such file or directory")
        run.files.put(run.path(name), folder(run.process.clock.now()))
    return 0


async def _rm(run: Run) -> int:
    options = letters(run)
    for name in names(run):
        node = run.node(name)
        if node is None and "f" not in options:
            return await run.fail(f"rm: can't remove '{name}': No such file or directory")
        if node is not None and node.is_folder and "r" not in options:
            return await run.fail(f"rm: '{name}' is a directory")
        run.files.remove(run.path(name))
    return 0


async def _ls(run: Run) -> int:
    for name in names(run) or ["."]:
        path = run.path(name)
        node = run.files.get(path)
        if node is None and path != "/":
            return await run.fail(f"ls: {name}: No such file or directory")
        shown = [name] if node is not None and not node.is_folder else _shown(run, path)
        await run.say("".join(f"{each}\n" for each in shown))
    return 0


def _shown(run: Run, path: str) -> list[str]:
    """Return what `ls` shows of a folder.

    Names that begin with a dot are shown if `-a` or `-A` asks for them, a slash after those of folders if `-p` does.
    """
    options = set(letters(run))
    there = [each for each in run.files.below(path) if posixpath.dirname(each) == path]
    shown = [_marked(run, each) if "p" in options else posixpath.basename(each) for each in there]
    shown = [name for name in shown if options & {"a", "A"} or not name.startswith(".")]
    return [".", "..", *shown] if "a" in options else shown


def _marked(run: Run, path: str) -> str:
    node = run.files.get(path)
    return posixpath.basename(path) + ("/" if node is not None and node.is_folder else "")


async def _test(run: Run) -> int:
    words = list(run.args[1:])
    if run.args[0] == "[" and (not words or words.pop() != "]"):
        return await run.fail("sh: missing ]", 2)
    wanted = True
    while words and words[0] == "!":
        wanted = not wanted
        words.pop(0)
    match words:
        case []:
            found = False
        case [text]:
            found = bool(text)
        case ["-n", text]:
            found = bool(text)
        case ["-z", text]:
            found = not text
        case ["-p", _]:
            found = False  # there are no named pipes here
        case ["-e" | "-f" | "-d" | "-s" as kind, name]:
            node = run.node(name)
            found = node is not None and (kind == "-e" or (node.is_folder if kind == "-d" else not node.is_folder))
            found = found and (kind != "-s" or bool(node and node.data))
        case [left, "=" | "==", right]:
            found = left == right
        case [left, "!=", right]:
            found = left != right
        case [left, comparison, right] if comparison in _COMPARISONS and _NUMBER.fullmatch(f"{left}/{right}"):
            found = _COMPARISONS[comparison](int(left), int(right))
        case _:
            return await run.fail(f"sh: {words[-1]}: unknown operand", 2)
    return 0 if found is wanted else 1


async def _yes(run: Run) -> int:
    line = (" ".join(run.args[1:]) or "y").encode() + b"\n"
    while True:
        await run.say(line * 512)
        await trio.lowlevel.checkpoint()


PROGRAMS: Final[dict[str, Program]] = {
    **SHELLS,
    **MACHINE,
    **REACH,
    **TEXT,
    ":": _true,
    "[": _test,
    "cp": _cp,
    "echo": _echo,
    "env": _env,
    "false": _false,
    "find": _find,
    "ls": _ls,
    "mkdir": _mkdir,
    "printf": _printf,
    "rm": _rm,
    "sleep": _sleep,
    "test": _test,
    "touch": _touch,
    "true": _true,
    "yes": _yes,
}
