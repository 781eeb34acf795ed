"""A workload's sandbox, made by bubblewrap: it shares nothing with the machine but a list of files that it can read.

What is in it: the machine's programs and libraries (/usr and what belongs to it), and those files of /etc that programs
need to run (`_ETC`), all of them read-only; a /tmp, /dev, /proc and /run of its own. It has its own users, processes,
IPC, host name, mounts, cgroup names and network (a loopback only), no capabilities, no new privileges, and can make no
further user namespaces. Where swarmd is root, everything in it, and bubblewrap too, runs as a user that is nobody
else's: root in the sandbox is not root outside, and reads only what everybody may read.

What it does not protect from: flaws in the kernel; use of the machine's CPU, memory and process table, as there are no
limits; reading what everybody may read in /usr; and speaking to a unix socket that lies in /usr and that everybody may
write to. Where swarmd is not root, what breaks out of it is swarmd's own user.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from swarmlib import Denied, Unsupported

from ..dockerapi.isolation import agree, demanded, lacking, named
from ..dockerapi.nullable import dict_of
from .credentials import Credentials

NAME: Final = "bubblewrap"
_NAMESPACES: Final = (
    *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--disable-userns", "--cap-drop", "ALL"),
)
_PROGRAMS: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC: Final = (
    *("alternatives", "bash.bashrc", "ca-certificates", "debian_version", "group", "host.conf", "hosts", "inputrc"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "localtime", "login.defs", "mime.types"),
    *("nsswitch.conf", "os-release", "passwd", "pki/tls/certs", "profile", "protocols", "services", "shells"),
    *("ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone"),
)
_OWN: Final = (
    *("--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp", "--perms", "1777", "--tmpfs", "/var/tmp"),
    *("--tmpfs", "/run", "--symlink", "../run", "/var/run", "--proc", "/proc", "--remount-ro", "/proc"),
)
_FIRST_USER: Final = 0x70000000
_USERS: Final = 0x0F000000
"""Each sandbox's user outside is one of this many ids, which no machine gives to people, services or containers."""
_NO_HOST_NETWORK: Final = (
    "a sandbox has no host network: in it are the sockets of everything on this machine, swarmd's own too; "
    "`exec --sandbox-host-network` allows it"
)
_ABSENT: Final = 127
_ENTER: Final = (
    f'command -v -- "$1" >/dev/null || exit {_ABSENT}; printf . >&3; exec 3>&- 4>&-; exec "$@"'  # see `launcher`
)


def runtimes() -> dict[str, Any]:
    """Return the isolations that there are here, as an engine's `info` lists its runtimes."""
    path = shutil.which("bwrap")
    return {NAME: {"path": path}} if path else {}


@dataclass(frozen=True)
class Sandbox:
    """The sandbox of one workload. bwrap: the program's path. network: it has the machine's network. folder: where it
    starts. hostname: its host name."""

    bwrap: str
    network: bool
    folder: str
    hostname: str

    @classmethod
    def of(cls, config: Mapping[str, Any], hostname: str, *, host_network: bool) -> Self | None:
        """Return the sandbox that the body of a create asks for, by label or as HostConfig.Runtime; None for none.

        host_network: whether it may have the machine's network.

        Raises:
            Invalid: it asks for two. Denied: it asks for the machine's network. Unsupported: it asks for another
            isolation or for what no sandbox has, or bwrap isn't installed.
        """
        demand, runtime = demanded(config), named(config)
        agree(demand, runtime)
        name = demand or runtime
        if not name:
            return None
        have = runtimes()
        if name == NAME and not have:
            raise Unsupported(f"the isolation {NAME} requires the program bwrap, which is not installed")
        if name not in have:
            raise Unsupported(f"exec can't isolate the process: {lacking(name, [*have])}")
        host = dict_of(config.get("HostConfig"))
        if host.get("GroupAdd"):
            raise Unsupported("a sandbox has one user and one group: HostConfig.GroupAdd is not supported")
        network = host.get("NetworkMode") == "host"
        if network and not host_network:
            raise Denied(_NO_HOST_NETWORK)
        return cls(have[name]["path"], network, str(config.get("WorkingDir") or "/"), hostname)

    @property
    def user(self) -> int | None:
        """A user outside for one run of it; None for swarmd's own, where swarmd may not become another."""
        return _FIRST_USER + secrets.randbelow(_USERS) if os.geteuid() == 0 else None

    def command(self, words: list[str], *, tty: bool) -> list[str]:
        """Return what to run so that `words` run in the sandbox, first of a session of their own. It reads `options`
        from its descriptor 4, and announces on 3 that the sandbox stands."""
        session = ["/usr/bin/setsid", *(["--ctty"] if tty else []), "/bin/sh", "-c", _ENTER, "sh"]
        return [self.bwrap, "--args", "4", "--", *session, *words]

    def options(self, inside: Credentials, env: Mapping[str, str]) -> bytes:
        """Return what the sandbox is like, for bubblewrap: not in its command line, which everybody can see.

        inside: the user and group in there.
        """
        ids = ["--uid", str(inside.user), "--gid", str(inside.group), "--hostname", self.hostname]
        network = _names_servers() if self.network else ["--unshare-net"]
        files = [*_programs(), *_read_only(f"/etc/{name}" for name in _ETC), *_OWN, *network, "--remount-ro", "/"]
        variables = ["--clearenv", *(word for name, value in env.items() for word in ("--setenv", name, value))]
        words = [*_NAMESPACES, *ids, *files, *variables, "--chdir", self.folder]
        return b"".join(word.encode() + b"\0" for word in words)


def _programs() -> list[str]:
    """Show /usr, and the folders beside it that are links into it, or else folders of their own."""
    words = ["--ro-bind", "/usr", "/usr"]
    for path in _PROGRAMS:
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        else:
            words += _read_only([path])
    return words


def _read_only(paths: Iterable[str]) -> list[str]:
    return [word for path in paths for word in ("--ro-bind-try", path, path)]


def _names_servers() -> list[str]:
    """Show the file that says where names are looked up; what it links to is often in /run."""
    return ["--ro-bind-try", os.path.realpath("/etc/resolv.conf"), "/etc/resolv.conf"]


def sandbox_error(code: int, said: bytes) -> OSError:
    """Why a sandbox does not stand. code: bubblewrap's exit code. said: what it wrote."""
    if code == _ABSENT:
        return FileNotFoundError()
    return ChildProcessError(said.decode(errors="replace").strip() or f"bwrap ended with {code}")


def leader_in(pid: int) -> int:
    """Return the first process in a sandbox that stands: its init's, bwrap's child; bwrap itself if it has ended."""
    return _first_child(_first_child(pid)) or pid


def _first_child(pid: int) -> int:
    with suppress(OSError):  # it has ended
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else 0
    return 0
