"""The programs of a simulated container that go through folders: `find` and `cp`."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import Final

from ..dockerapi.matching import glob
from .files import Node
from .process import Program, Run
from .text import fail, letters, names

_TESTS: Final = {"-name", "-type"}


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
                await run.stdout.send_all(f"{shown}\n".encode())
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
        node, path = run.files.get(run.path(name)), run.path(name)
        if node is None:
            code = await _complain(run, f"can't stat '{name}': No such file or directory")
        elif node.is_folder and not set(options) & set("raR"):
            code = await _complain(run, f"omitting directory '{name}'")
        else:
            at = posixpath.join(run.path(target), posixpath.basename(path)) if is_folder else run.path(target)
            _copy(run, path, at)
    return code


def _copy(run: Run, path: str, at: str) -> None:
    for each in (path, *run.files.below(path)):
        node = run.files.get(each)
        if node is not None:
            inside = posixpath.normpath(posixpath.join(at, posixpath.relpath(each, path)))
            owned = replace(node, changed=run.process.clock.now(), owner=(run.user.uid, run.user.gid))
            run.files.put(inside, owned)


async def _complain(run: Run, text: str) -> int:
    return await fail(run, f"{run.args[0]}: {text}")


TREES: Final[dict[str, Program]] = {"cp": _cp, "find": _find}
