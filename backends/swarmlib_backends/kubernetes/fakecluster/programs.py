"""The programs of the fake cluster's containers: those of the simulator, and what brings swarmlib's tools to life.

A program is there if its file is: an image without a shell has none, and a busybox that is copied somewhere else is one
there too.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import trio

from swarmlib import SwarmError

from ...simulator.files import Files, Node, file, tar, untar
from ...simulator.process import Program, Run, contained
from ...simulator.programs import PROGRAMS
from ...simulator.pulled import OWN, program_in
from ..pods import usage
from ..pods.health import SCRIPT
from ..pods.shim import FOLDER
from .checks import check_health
from .pod_tools import Runs, Shim, search

_MAX_TAR: Final = 256 * 1024 * 1024
_LINKS: Final = 8
_COLUMNS: Final = {"args": "COMMAND", "pid": "PID  ", "ppid": "PPID ", "tty": "TT    ", "user": "USER    "}
"""What `ps` shows, with the heads of the columns."""
_BUILTINS: Final = (":", "[", "echo", "false", "printf", "test", "true")
"""What a shell has without a file."""
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_program(files: Files, name: str, env: Mapping[str, str]) -> Program | None:
    """Return a program by its path, or by its name and the variable PATH; None if there is none."""
    folders = (env.get("PATH") or _DEFAULT_PATH).split(":")
    for path in [name] if "/" in name else [posixpath.join(folder, name) for folder in folders]:
        if (node := _followed(files, posixpath.normpath(posixpath.join("/", path)))) is None or node.is_folder:
            continue
        own = program_in(node)
        if own in OWN:
            return OWN[own]
        return _ALL.get(posixpath.basename(path)) if own == "busybox" and node.mode & 0o111 else None
    return None


def program_of_shell(files: Files, name: str, env: Mapping[str, str]) -> Program | None:
    """Return a program that a shell can run, as `find_program` does."""
    return _ALL[name] if name in _BUILTINS else find_program(files, name, env)


def _followed(files: Files, path: str) -> Node | None:
    node = files.get(path)
    for _ in range(_LINKS):
        if node is None or not node.link:
            break
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), node.link))
        node = files.get(path)
    return node


async def _busybox(run: Run) -> int:
    """`busybox APPLET ARGUMENT...`."""
    applet = _ALL.get(run.args[1]) if len(run.args) > 1 else None
    if applet is None:
        return await run.fail(f"{' '.join(run.args[1:2])}: applet not found", 127)
    return await applet(replace(run, args=run.args[1:]))


async def _sh(run: Run) -> int:
    """Return the shell; the scripts of swarmlib's tools are known here."""
    match list(run.args[1:3]):
        case [script, _] if script == f"{FOLDER}/shim":
            return await Shim(run, run.args[2:], find_program).become()
        case [script, mode] if script == f"{FOLDER}/runs":
            return await Runs(run, find_program).answer(mode, *run.args[3:])
        case [script, *_] if script == f"{FOLDER}/search":
            return await search(run, run.args[2:])
        case ["-c", text] if text == SCRIPT:
            return await check_health(run, list(run.args[4:]))
        case ["-c", text] if text == usage.SCRIPT:
            return await _tell_usage(run)
        case _:
            return await PROGRAMS["sh"](run)


async def _tell_usage(run: Run) -> int:
    """Tell what the container uses each second, as a node with control groups of the second version."""

    async def tell() -> None:
        while True:
            others = [each for each in run.beside() if each is not run.process]
            memory, busy = sum(each.memory for each in others), sum(each.busy for each in others)
            ticks = int(run.process.clock.now() * 100)
            groups = f"/sys/fs/cgroup/memory.current:{memory}\n/sys/fs/cgroup/cpu.stat:usage_usec {int(busy * 10**6)}\n"
            groups += f"/sys/fs/cgroup/pids.current:{len(others)}\n"
            machine = f"/proc/stat:cpu  {ticks} 0 0 0 0 0 0 0\n/proc/stat:cpu0 {ticks} 0 0 0 0 0 0 0\n"
            await run.say(f"{groups}{machine}/proc/meminfo:MemTotal:       16777216 kB\n.\n")
            await run.sleep(1.0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell)
        async for _ in run.stdin:
            pass
        nursery.cancel_scope.cancel()
    return 0


async def _tar(run: Run) -> int:
    """`tar c|x[z]f - [-C FOLDER] [NAME...]`, with the options together or apart."""
    letters, folder, names = _tar_options(run)
    if "x" in letters:
        data = bytearray()
        async for piece in run.stdin:
            data += piece
            if len(data) > _MAX_TAR:
                return await run.fail("tar: short read")
        try:
            for name, node in untar(bytes(data), run.process.clock.now()):
                run.files.put(posixpath.normpath(posixpath.join(folder, name)), node)
        except SwarmError as exc:
            return await run.fail(f"tar: {exc.message}")
        return 0
    found: dict[str, Node] = {}
    for name in names or ["."]:
        path = posixpath.normpath(posixpath.join(folder, name))
        if path != "/" and run.files.get(path) is None:
            return await run.fail(f"tar: {name}: No such file or directory")
        for each in (path, *run.files.below(path)):
            if (there := run.files.get(each)) is not None:
                shown = name if each == path else posixpath.join(name, posixpath.relpath(each, path))
                found[shown.lstrip("/")] = there
    return await run.say(tar(found))


def _tar_options(run: Run) -> tuple[str, str, list[str]]:
    letters, folder, names, words = "", run.folder, list[str](), list(run.args[1:])
    while words:
        word = words.pop(0)
        if word == "-C" and words:
            folder = run.path(words.pop(0))
        elif word == "-" and "f" in letters:
            pass
        elif word.startswith("-") or not letters:
            letters += word.lstrip("-")
        else:
            names.append(word)
    return letters, folder, names


async def _mkfifo(run: Run) -> int:
    """`mkfifo -m MODE NAME`: a plain file, which stands for one where the shim reads and writes it."""
    run.files.put(run.path(run.args[-1]), file(b"", run.process.clock.now()))
    return 0


async def _ps(run: Run) -> int:
    """`ps [-o COLUMN,...]`: the processes of the container, or of the Pod if it shares them."""
    asked = run.args[2].split(",") if run.args[1:2] == ["-o"] and len(run.args) > 2 else ["pid", "user", "args"]
    columns = [each.rstrip("=") for each in asked]
    if unknown := [each for each in columns if each not in _COLUMNS]:
        return await run.fail(f"ps: bad -o argument '{unknown[0]}'")
    if not all(each.endswith("=") for each in asked):
        await run.say(" ".join(_COLUMNS[each] for each in columns) + "\n")
    for process in run.beside():
        shown = {"args": " ".join(process.command), "pid": str(process.pid), "ppid": "0", "tty": "?"}
        shown["user"] = process.user.name or str(process.user.uid)
        await run.say(" ".join(shown[each].ljust(len(_COLUMNS[each])) for each in columns).rstrip() + "\n")
    return 0


async def _mv(run: Run) -> int:
    if len(run.args) != 3:
        return await run.fail("mv: expected SOURCE TARGET")
    node = run.node(run.args[1])
    if node is None:
        return await run.fail(f"mv: can't rename '{run.args[1]}': No such file or directory")
    run.files.put(run.path(run.args[2]), node)
    run.files.remove(run.path(run.args[1]))
    return 0


_ALL: Final[Mapping[str, Program]] = {
    name: contained(program)
    for name, program in {
        **PROGRAMS,
        "busybox": _busybox,
        "sh": _sh,
        "ash": _sh,
        "tar": _tar,
        "mkfifo": _mkfifo,
        "mv": _mv,
        "ps": _ps,
    }.items()
}
