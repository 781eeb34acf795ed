"""A workload's sandbox, by bubblewrap: it sees the machine's files and can't change them, nor see anything else of it.

It has users, processes, IPC, names, mounts and network of its own; the only network is its loopback, unless NetworkMode
is `host`. /tmp, /dev and /run are its own too, and empty: who can speak to a socket in there is often as good as root.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import trio

from swarmlib import Unsupported

from ..dockerapi.isolation import agree, demanded, lacking, named
from ..dockerapi.nulls import fields

NAME: Final = "bubblewrap"
_UNSHARED: Final = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
# Without the last words root in there could write the kernel's settings in /proc/sys, as its files belong to root.
_FILES: Final = (
    *("--ro-bind", "/", "/", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp", "--tmpfs", "/run"),
    *("--proc", "/proc", "--remount-ro", "/proc"),
)
# bwrap's --die-with-parent goes by the thread that started it; trio's threads end when they have been idle for a while.
_STANDS: Final = b"\0"
"""What is written to stderr once the sandbox stands, and all that comes is the program's."""
_ABSENT: Final = 127
_ENTER: Final = f'command -v -- "$1" >/dev/null || exit {_ABSENT}; printf "\\0" >&2; exec "$@"'
_READ: Final = 4096


def runtimes() -> dict[str, Any]:
    """The isolations that there are here, as an engine's `info` lists its runtimes."""
    path = shutil.which("bwrap")
    return {NAME: {"path": path}} if path else {}


@dataclass(frozen=True)
class Sandbox:
    """The sandbox of one workload. bwrap: the program's path. network: it has the machine's network. folder: where it
    starts."""

    bwrap: str
    network: bool
    folder: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self | None:
        """The sandbox that the body of a create asks for, by its label or as HostConfig.Runtime; None without one.

        Raises:
            Invalid: it asks for two. Unsupported: it asks for another isolation, or bwrap isn't installed.
        """
        demand, runtime = demanded(config), named(config)
        agree(demand, runtime)
        name = demand or runtime
        if not name:
            return None
        have = runtimes()
        if name == NAME and not have:
            raise Unsupported(f"the isolation {NAME} needs the program bwrap, which is not installed here")
        if name not in have:
            raise Unsupported(f"exec can't isolate the process: {lacking(name, [*have])}")
        network = fields(config.get("HostConfig")).get("NetworkMode") == "host"
        return cls(have[name]["path"], network, str(config.get("WorkingDir") or "/"))

    def command(self, words: list[str], *, tty: bool) -> list[str]:
        """What to run so that `words` run in the sandbox, as the first of a session of their own."""
        session = ["setsid", *(["--ctty"] if tty else []), "/bin/sh", "-c", _ENTER, "sh"]
        network = _names_servers() if self.network else ["--unshare-net"]
        limits = [*_UNSHARED, "--cap-drop", "ALL", *_FILES, *network, "--chdir", self.folder]
        return [self.bwrap, *limits, "--", *session, *words]


def _names_servers() -> list[str]:
    """Show the file that says where names are looked up, also if it is in /run."""
    path = os.path.realpath("/etc/resolv.conf")
    return ["--ro-bind-try", path, path] if path.startswith("/run/") else []


async def stood_up(source: trio.abc.ReceiveStream, process: trio.Process) -> bytes:
    """Return when the sandbox stands, with what was written besides: its warnings, and the program's first words.

    source: what comes from the process's stderr, or its terminal.

    Raises:
        FileNotFoundError: there is no such program in it. ChildProcessError: it can't be made; has bwrap's own words.
    """
    said = b""
    with suppress(trio.BrokenResourceError):  # a terminal that nobody has open any more
        while data := await source.receive_some(_READ):
            said += data
            before, stands, after = said.partition(_STANDS)
            if stands:
                return before + after
    if await process.wait() == _ABSENT:
        raise FileNotFoundError
    raise ChildProcessError(said.decode(errors="replace").strip() or f"bwrap ended with {process.returncode}")


def leader_in(process: trio.Process) -> int:
    """The first process in a sandbox that stands: its init's, which is bwrap's child. bwrap itself if it has ended."""
    return _first_child(_first_child(process.pid)) or process.pid


def _first_child(pid: int) -> int:
    with suppress(OSError):  # it has ended
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else 0
    return 0
