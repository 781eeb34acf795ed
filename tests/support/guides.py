"""The guides, followed as a reader does: their commands are run as they stand, and print what the guides show.

A reader's machine is a shell in mount and network namespaces of its own. There, what the guides name is in its place
(`/var/run/docker.sock`, `/run/a.sock`, port 22 of `server`), and none of it is this machine's. It needs root.

A block of a guide in the language `sh` is run, command by command. A command that serves goes on in the background. A
block `text` right after it is what its commands print, or what the one that serves logs first. A block in another
language whose first line is the comment `# FILE` is a file of that name.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from tests.support.engines import wait_until
from tests.support.paths import ROOT

_SETUP = """
mount --make-rprivate / && mount -t tmpfs tmpfs /run && ip link set lo up || exit
mount --bind hosts /etc/hosts && mkdir /run/sshd || exit
trap 'kill $served 2>/dev/null; wait' EXIT
"""
_SHELL = ". ./.profile; while read -r file; do . ./$file </dev/null; done"
_SERVES = re.compile(r"(\S*/)?swarmd ('dockerserver|\"dockerserver|'listen|\"listen|\S+\.toml$)")
_CHANGING = [
    (re.compile(r"\b[0-9a-f]{12}(?:[0-9a-f]{52})?\b"), "ID"),
    (re.compile(r"\b\d\d:\d\d:\d\d\.\d{3}\b"), "TIME"),
    (re.compile(r"\b[\d.]+ ?(ms|s|min|h)\b"), "DURATION"),
    (re.compile(r"\blease-[0-9a-f]{8}\b"), "LEASE"),
    (re.compile(r"^(See 'docker .*'\.|Run 'docker .*' for more information)$", re.MULTILINE), ""),
]
"""What no two runs print alike, and no two versions of the docker CLI."""


class Block(NamedTuple):
    """A block of code in a guide."""

    language: str
    text: str


def guide(name: str) -> str:
    """The text of a document, by its path in the project."""
    return (ROOT / name).read_text("utf-8")


def blocks(text: str, language: str = "") -> list[Block]:
    """The blocks of code in a text, or those in one language, in their order."""
    found = [Block(*each) for each in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]
    return [each for each in found if language in ("", each.language)]


def sections(text: str) -> dict[str, str]:
    """The sections of a guide by their headings of the second level."""
    _, *parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def commands(script: str) -> list[str]:
    """The commands of a block, one or more lines each; comments on lines of their own are left out."""
    found, command = list[str](), ""
    for line in script.splitlines():
        command += line
        if _is_complete(command):
            found.append(command)
            command = ""
        else:
            command += "\n"
    assert not command, f"not a whole command: {command}"
    return [each for each in found if each.strip() and not each.startswith("#")]


def _is_complete(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:  # an open quotation
        return False
    return not command.endswith("\\")


def settled(text: str) -> list[str]:
    """The lines of an output without what changes from run to run (ids, times, widths of columns), and blank lines."""
    for changing, word in _CHANGING:
        text = changing.sub(word, text)
    return [words for line in text.splitlines() if (words := " ".join(line.split()))]


class Reader:
    """Somebody with a shell on a machine of their own, which ends with the context, and all that was started on it.

    folder: where they work. links: files of this machine by their places on the reader's. hosts: names of that machine.
    path: folders of programs before all others.
    """

    def __init__(
        self, folder: Path, links: Mapping[str, Path], hosts: Sequence[str] = (), path: Sequence[Path] = ()
    ) -> None:
        self._folder = folder
        self._output = folder / ".output"
        self._served = 0
        (folder / "hosts").write_text("".join(f"127.0.0.1 {name}\n" for name in ["localhost", *hosts]))
        found = os.pathsep.join(map(str, [*path, Path(sys.executable).parent, os.environ["PATH"]]))
        mine = {"PATH": found, "HOME": str(folder), "DOCKER_CONFIG": str(folder / ".docker"), "LC_ALL": "C.UTF-8"}
        setup = _SETUP + "".join(f"ln -s {target} {place}\n" for place, target in links.items())
        (folder / ".profile").write_text(setup)
        with self._output.open("wb") as output:
            self._shell = subprocess.Popen(
                ["unshare", "--mount", "--net", "sh", "-c", _SHELL],
                cwd=folder,
                env=mine,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def prefix(self) -> list[str]:
        """What makes a command one that runs on the reader's machine."""
        namespaces = f"/proc/{self._shell.pid}/ns"
        return ["nsenter", f"--mount={namespaces}/mnt", f"--net={namespaces}/net"]

    def __enter__(self) -> Self:
        self.run("true")  # the machine is set up
        return self

    def __exit__(self, *_: object) -> None:
        self._shell.communicate(timeout=30)

    def follow(self, text: str) -> None:
        """Do what a text says: write its files, run its commands, and compare what they print with what is shown."""
        found = blocks(text)
        for block, after in zip(found, [*found[1:], Block("", "")], strict=True):
            named = re.match(r"# ([\w./-]+)\n", block.text)
            if block.language == "sh":
                self._run(commands(block.text), after.text if after.language == "text" else None)
            elif named:
                self._folder.joinpath(named[1]).write_text(block.text)

    def _run(self, script: Sequence[str], shown: str | None) -> None:
        """Run the commands of a block; without an output that is shown, each has to succeed."""
        printed = ""
        for command in script:
            if _SERVES.match(command):
                printed += self._serve(command, shown if len(script) == 1 else None)
                continue
            output, code = self._patiently(command)
            assert code == 0 or shown is not None, f"{command}\n{output}"
            printed += output
        assert shown is None or settled(printed) == settled(shown), printed

    def _patiently(self, command: str) -> tuple[str, int]:
        """Run a command, and again as a person does for as long as a `remote` that was just started is connecting."""
        tries: list[tuple[str, int]] = []

        def connected() -> bool:
            tries.append(self.run(command))
            return "it has not been reached yet" not in tries[-1][0]

        wait_until(connected, command, self._shell)
        return tries[-1]

    def run(self, command: str) -> tuple[str, int]:
        """Run a command to its end, and give its output and its exit code."""
        before = len(self._output.read_text())
        self._tell(f"{command}\nprintf '\\n%s %s\\n' '<done>' $?\n")
        wait_until(lambda: "<done>" in self._output.read_text()[before:], command, self._shell)
        output, _, code = self._output.read_text()[before:].rpartition("\n<done>")
        return output, int(code)

    def _serve(self, command: str, shown: str | None) -> str:
        """Start a command that serves, and give as many lines of its log as are shown, or none."""
        self._served += 1
        log = self._folder / f".log{self._served}"
        log.touch()
        self.run(f'(unset DOCKER_HOST; exec {command}) >{log} 2>&1 & served="$served $!"')  # in a terminal of its own
        lines = len((shown or "").splitlines())

        def serves() -> bool:
            said = log.read_text()
            assert "error: " not in said, f"{command}\n{said}"
            return "swarmd: serving" in said and said.count("\n") >= lines

        wait_until(serves, command)
        return "\n".join(log.read_text().splitlines()[:lines])

    def _tell(self, script: str) -> None:
        (self._folder / ".command").write_text(script)
        assert self._shell.stdin is not None
        self._shell.stdin.write(b".command\n")
        self._shell.stdin.flush()
