"""What swarmlib's scripts in a Pod, `shim` and `runs`, do in the fake cluster; see there for their arguments."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeAlias

import trio

from swarmlib import SwarmError
from swarmlib.bytes_stream import BytesStream

from ...simulator.files import Files, file
from ...simulator.process import Process, Program, Run, Sink, contained
from ...simulator.users import user_of
from ..pods.runs import mark
from ..pods.shim import FOLDER

Find: TypeAlias = Callable[[Files, str, Mapping[str, str]], Program | None]
"""Returns a program by its name and the environment; None if there is none."""
_LOOK_SECONDS: Final = 0.02
_REPORT: Final = "/dev/termination-log"
_ERRORS: Final = "stderr"
_ERRORS_ENDED: Final = "stderr.ended"


@dataclass(frozen=True, eq=False)
class PodRun(Run):
    """A run of a program in a container, which can begin further processes."""

    child: Callable[[Sequence[str]], AbstractContextManager[Process]] | None = None


def missing(name: str) -> str:
    """Return what a container runtime says of a program that isn't there."""
    problem = f"stat {name}: no such file or directory" if "/" in name else "executable file not found in $PATH"
    return f'"{name}": {problem}'


class Shim:
    """What the script `shim` does for a command."""

    def __init__(self, run: Run, words: Sequence[str], find: Find) -> None:
        self._run, self._words, self._find = run, list(words), find
        self._env, self._folder, self._count, self._beside = dict(run.env), run.folder, 0, False
        self._captures = False
        self._number = ""

    async def become(self) -> int:
        """Take the options, and become the command; returns its exit code."""
        try:
            return await self._become()
        finally:
            if self._captures:
                _write(self._run, _ERRORS_ENDED, "")

    async def _become(self) -> int:
        while self._words and (flag := self._words.pop(0)) != "--":
            match flag:
                case "-b":
                    self._number = self._words.pop(0)
                case "-c":
                    self._capture()
                case "-r":
                    return await self._relay(again=self._words != ["once"])
                case "-n":
                    self._run = replace(self._run, stdin=BytesStream(b""))
                case "-x":
                    self._beside = True
                case "-w":
                    self._folder = self._words.pop(0)
                case "-s":
                    try:
                        self._run.process.user = user_of(self._run.files, self._words.pop(0), ())
                    except SwarmError as exc:
                        return await self._report(126, exc.message)
                case "-u":
                    self._env.pop(self._words.pop(0), None)
                case "-e":
                    self._count = int(self._words.pop(0))
                case _:
                    return await self._run.fail(f"shim: the fake cluster doesn't know {flag}", 2)
        return await self._command()

    async def _relay(self, *, again: bool) -> int:
        """Write what comes to the file of errors, until the process that writes it has ended."""
        run, known = self._run, 0
        while True:
            is_over = run.files.get(f"{FOLDER}/{_ERRORS_ENDED}") is not None
            data = _data(run, f"{FOLDER}/{_ERRORS}")
            await run.say(data[known:])
            known = len(data)
            if is_over and not again:
                return 0
            await run.sleep(_LOOK_SECONDS)

    def _capture(self) -> None:
        """Have stderr written to the file of errors, which stands for a FIFO."""
        run, path = self._run, f"{FOLDER}/{_ERRORS}"

        async def add(data: bytes) -> None:
            await trio.lowlevel.checkpoint()
            run.files.put(path, file(_data(run, path) + data, run.process.clock.now()))

        self._run, self._captures = replace(run, stderr=Sink(add)), True

    async def _command(self) -> int:
        run, words = self._run, self._words[: len(self._words) - self._count]
        env = self._env | dict(entry.split("=", 1) for entry in self._words[len(words) :])
        folder = run.files.get(self._folder)
        if folder is None or not folder.is_folder:
            problem = f'chdir to cwd ("{self._folder}") set in config.json failed: no such file or directory: unknown'
            return await self._report(126, problem)
        program = self._find(run.files, words[0], env)
        if program is None:
            return await self._report(127, f"exec: {missing(words[0])}: unknown")
        if self._beside:
            await run.say(f"{run.process.pid}\n")
        else:
            _write(run, "pid", str(run.process.pid))
            if self._number:
                env |= dict(entry.split("=", 1) for entry in shlex.split(_read(run, f"linked.{self._number}")))
                _write(run, "begun", self._number)
        run.process.command = words
        return await contained(program)(replace(run, args=words, env=env, folder=self._folder))

    async def _report(self, code: int, problem: str) -> int:
        if self._beside:
            said = f"OCI runtime exec failed: exec failed: unable to start container process: {problem}\n"
            await self._run.say(said)
            return 126
        now = self._run.process.clock.now()
        self._run.files.put(_REPORT, file(f"{problem}\n".encode(), now))
        return code


class Runs:
    """What the script `runs` does."""

    def __init__(self, run: Run, find: Find) -> None:
        self._run, self._find = run, find

    async def answer(self, mode: str, *words: str) -> int:
        """Do what a mode of the script does; returns its exit code."""
        match mode, words:
            case "gate", _:
                number = await self._wait_for_go(0)
                return await Shim(self._run, ["-b", str(number), *words], self._find).become()
            case "keep", _:
                return await self._keep(words)
            case "begin", (run, *linked):
                return await self._begin(int(run), *linked)
            case "end", (run, *linked):
                return await self._end(int(run), *linked)
            case "attached", (word,):
                return await self._attached(word)
            case _:
                return await self._run.fail(f"runs: the fake cluster doesn't know {mode}", 2)

    async def _keep(self, words: Sequence[str]) -> int:
        run = self._run
        assert isinstance(run, PodRun)
        assert run.child is not None
        last = 0
        while True:
            last = await self._wait_for_go(last)
            run.files.put(_REPORT, file(b"", run.process.clock.now()))
            with run.child(words) as process:
                shim = Shim(replace(run, process=process), ["-b", str(last), *words], self._find)
                code = await process.run(lambda _, shim=shim: shim.become(), run)  # type: ignore[misc]
            for each in run.beside():
                if each is not run.process and not each.command[0].startswith(f"{FOLDER}/"):
                    each.kill()
            await self._end_lines(last, captured="-c" in words[:1])
            for name in ("go", "pid", f"linked.{last}"):
                run.files.remove(f"{FOLDER}/{name}")
            _write(run, "ended", f"{last} {code} ")

    async def _end_lines(self, number: int, *, captured: bool) -> None:
        run, line = self._run, mark(number) + b"\n"
        await run.say(line)
        if captured:
            path = f"{FOLDER}/{_ERRORS}"
            run.files.put(path, file(_data(run, path) + line, run.process.clock.now()))
        else:
            await run.stderr.send_all(line)

    async def _wait_for_go(self, last: int) -> int:
        while int(_read(self._run, "go") or 0) <= last:
            if asked := _read(self._run, "asking"):
                self._run.files.remove(f"{FOLDER}/asking")
                _write(self._run, "asked", asked)
                _write(self._run, "attached", bytes(await self._run.stdin.receive_some()).decode().rstrip("\n"))
            await self._run.sleep(_LOOK_SECONDS)
        return int(_read(self._run, "go"))

    def _has_reached(self, name: str, number: int) -> bool:
        return int((_read(self._run, name) or "0").split()[0]) >= number

    async def _begin(self, number: int, linked: str = "") -> int:
        if not (self._has_reached("begun", number) or self._has_reached("ended", number)):
            _write(self._run, f"linked.{number}", linked)
            _write(self._run, "go", str(number))
        while not (self._has_reached("begun", number) or self._has_reached("ended", number)):
            await self._run.sleep(_LOOK_SECONDS)
        return 0 if self._has_reached("begun", number) else await self._run.say(self._report())

    def _report(self) -> bytes:
        return _data(self._run, _REPORT)

    async def _end(self, number: int, linked: str = "") -> int:
        await Runs(replace(self._run, stdout=self._run.stderr), self._find)._begin(number, linked)
        if not self._has_reached("ended", number):
            await self._run.say("goes on\n")
        while not self._has_reached("ended", number):
            await self._run.sleep(_LOOK_SECONDS)
        node = self._run.files.get(f"{FOLDER}/ended")
        assert node is not None
        time = datetime.fromtimestamp(node.changed, UTC).strftime("%Y-%m-%d %H:%M:%S.%f000 +0000")
        return await self._run.say(b"%b%b\n%b" % (node.data, time.encode(), self._report()))

    async def _attached(self, word: str) -> int:
        _write(self._run, "asking", word)
        for name, told in (("asked", b"\n"), ("attached", b"")):
            while _read(self._run, name) != word:
                await self._run.sleep(_LOOK_SECONDS)
            await self._run.say(told)
        return 0


async def search(run: Run, domains: Sequence[str]) -> int:
    """Do what the script `search` does."""
    await trio.lowlevel.checkpoint()
    if run.files.get(f"{FOLDER}/resolv.cluster") is None:
        run.files.put(f"{FOLDER}/resolv.cluster", file(_data(run, "/etc/resolv.conf"), run.process.clock.now()))
    lines = [line.split() for line in _read(run, "resolv.cluster").splitlines()]
    searched = [*domains, *(word for word, *words in lines if word == "search" for word in words)]
    others = (" ".join(words) for words in lines if words[0] != "search")
    _write(run, "resolv.conf", "\n".join([f"search {' '.join(searched)}", *others]))
    return 0


def _data(run: Run, path: str) -> bytes:
    node = run.files.get(path)
    return b"" if node is None else node.data


def _read(run: Run, name: str) -> str:
    return _data(run, f"{FOLDER}/{name}").decode().strip()


def _write(run: Run, name: str, text: str) -> None:
    run.files.put(f"{FOLDER}/{name}", file(f"{text}\n".encode(), run.process.clock.now()))
