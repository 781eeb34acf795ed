"""What is in the images that a simulated registry has: a busybox, common accounts, and for services their program.

No registry tells here what an image's command is. Images that are there for their shell or interpreter, which ends
where it has no input, have `sh`; all others are taken for services, which run until they are stopped.
"""

from __future__ import annotations

import hashlib
import math
import signal
from typing import Any, Final

import trio

from .files import Node, file, folder
from .process import Run
from .references import repository

_SHELLS: Final = frozenset(
    {
        *("alpine", "amazonlinux", "archlinux", "busybox", "centos", "debian", "fedora", "opensuse", "oraclelinux"),
        *(
            "rockylinux",
            "ubuntu",
            "bash",
            "clojure",
            "elixir",
            "erlang",
            "gcc",
            "golang",
            "haskell",
            "hello-world",
            "julia",
        ),
        *("node", "perl", "php", "python", "r-base", "ruby", "rust", "swift"),
    }
)
_SERVICE: Final = b"#!simulated service\n"
_ACCOUNTS: Final = {"root": 0, "daemon": 2, "nginx": 101, "redis": 999, "postgres": 70, "nobody": 65534}
UNREACHABLE: Final = 'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host'
"""What an engine says that reaches no registry."""


def digest(ref: str) -> str:
    """The digest of what the registry has for a normal reference: always the same one for the same reference."""
    return ref.partition("@")[2] or f"sha256:{hashlib.sha256(ref.encode()).hexdigest()}"


def config(ref: str) -> dict[str, Any]:
    """What the configuration of a pulled image says of its command."""
    name = _name(ref)
    return {"Cmd": ["sh"] if name in _SHELLS else [name]}


def files(ref: str, programs: list[str]) -> dict[str, Node]:
    """The files of a pulled image with these programs of a busybox."""
    name = _name(ref)
    found = {path: folder() for path in ("/bin", "/etc", "/tmp", "/usr", "/usr/local", "/usr/local/bin")}
    found |= {f"/bin/{program}": Node(0o120777, link="busybox") for program in programs if program.isalpha()}
    found["/bin/busybox"] = file(b"#!simulated\n", mode=0o755)
    users = "".join(f"{user}:x:{uid}:{uid}::/:/bin/sh\n" for user, uid in _ACCOUNTS.items())
    groups = "".join(f"{user}:x:{uid}:\n" for user, uid in _ACCOUNTS.items())
    found |= {"/etc/passwd": file(users.encode()), "/etc/group": file(groups.encode())}
    if name not in _SHELLS:
        found |= {f"/usr/local/bin/{each}": file(_SERVICE, mode=0o755) for each in (name, f"{name}-server", f"{name}d")}
    return found


def is_service(node: Node | None) -> bool:
    """Whether a file is a service's program."""
    return node is not None and node.data == _SERVICE


async def serve(run: Run) -> int:
    """Run until it is asked to end, as services do at once."""
    with trio.CancelScope() as scope:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            run.on_signal(number, scope.cancel)
        await run.sleep(math.inf)
    return 0


def _name(ref: str) -> str:
    return repository(ref).rpartition("/")[2]
