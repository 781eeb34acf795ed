"""What is in the images that a simulated registry has: a busybox, common accounts, and for some a program of their own.

No registry tells here what an image's command is. Images that are there for their shell or interpreter, which ends
where it has no input, have `sh`; all others, but for a few that are known, are taken for services, which run until they
are stopped.
"""

from __future__ import annotations

import hashlib
import math
import re
import signal
from typing import Any, Final

import trio

from swarmlib import Unsupported

from ..dockerapi import platforms
from ..dockerapi.references import repository
from .files import Node, file, folder
from .process import Program, Run

_SHELLS: Final = frozenset(
    {
        *("alpine", "amazonlinux", "archlinux", "busybox", "centos", "debian", "fedora", "opensuse", "oraclelinux"),
        *("rockylinux", "ubuntu", "bash", "clojure", "elixir", "erlang", "gcc", "golang", "haskell", "julia"),
        *("node", "perl", "php", "python", "r-base", "ruby", "rust", "swift"),
    }
)
_KNOWN: Final = {"hello-world": "/hello", "ryuk": "/bin/ryuk"}
"""The programs of images that are neither there for a shell nor a service."""
RYUK_LABEL: Final = "org.testcontainers.ryuk"
"""What Ryuk's image, and so its containers, are known by."""
_NAMED: Final = re.compile(rb"#!simulated ([a-z-]+)\n")
_ACCOUNTS: Final = {"root": 0, "daemon": 2, "nginx": 101, "redis": 999, "postgres": 70, "nobody": 65534}
_HELLO: Final = """
Hello from Docker!
This message shows that your installation appears to be working correctly.

To generate this message, Docker took the following steps:
 1. The Docker client contacted the Docker daemon.
 2. The Docker daemon pulled the "hello-world" image from the Docker Hub.
    (amd64)
 3. The Docker daemon created a new container from that image which runs the
    executable that produces the output you are currently reading.
 4. The Docker daemon streamed that output to the Docker client, which sent it
    to your terminal.

To try something more ambitious, you can run an Ubuntu container with:
 $ docker run -it ubuntu bash

Share images, automate workflows, and more with a free Docker ID:
 https://hub.docker.com/

For more examples and ideas, visit:
 https://docs.docker.com/get-started/

"""


def digest(ref: str) -> str:
    """Return the digest of what the registry has for a normal reference: always the same one for the same reference."""
    return ref.partition("@")[2] or f"sha256:{hashlib.sha256(ref.encode()).hexdigest()}"


def check_platform(text: str) -> None:
    """Raise SwarmError for a platform that is none, or for which there are no images here."""
    if platforms.read(text) != platforms.HERE:
        raise Unsupported(f"the simulator's images are of linux/amd64, and not of {text}")


def config(ref: str) -> dict[str, Any]:
    """Return what the configuration of a pulled image says of its command, and its labels."""
    name = _name(ref)
    kind = _kind(name)
    labels = {"Labels": {RYUK_LABEL: "true"}} if kind == "ryuk" else {}
    return {"Cmd": ["sh" if kind == "shell" else _KNOWN.get(kind, name)], **labels}


def files(ref: str, programs: list[str]) -> dict[str, Node]:
    """Return the files of a pulled image with these programs of a busybox."""
    name = _name(ref)
    kind = _kind(name)
    if kind == "hello-world":
        return {_KNOWN[kind]: _program(kind)}
    service = [f"/usr/local/bin/{each}" for each in (name, f"{name}-server", f"{name}d")]
    own = [] if kind == "shell" else [_KNOWN[kind]] if kind in _KNOWN else service
    return _busybox(programs) | {path: _program(kind) for path in own}


def _busybox(programs: list[str]) -> dict[str, Node]:
    found = {path: folder() for path in ("/bin", "/etc", "/tmp", "/usr", "/usr/local", "/usr/local/bin")}
    found |= {f"/bin/{program}": Node(0o120777, link="busybox") for program in programs if program.isalpha()}
    found["/bin/busybox"] = _program("busybox")
    users = "".join(f"{user}:x:{uid}:{uid}::/:/bin/sh\n" for user, uid in _ACCOUNTS.items())
    groups = "".join(f"{user}:x:{uid}:\n" for user, uid in _ACCOUNTS.items())
    return found | {"/etc/passwd": file(users.encode()), "/etc/group": file(groups.encode())}


def _program(name: str) -> Node:
    return file(f"#!simulated {name}\n".encode(), mode=0o755)


def program_in(node: Node | None) -> str:
    """Return the simulated program that a file is: service, hello-world, ryuk or busybox; "" for any other file."""
    found = _NAMED.fullmatch(node.data) if node is not None else None
    return found[1].decode() if found else ""


def _kind(name: str) -> str:
    if name in _SHELLS:
        return "shell"
    if name == "hello-world":
        return name
    return "ryuk" if name.endswith("ryuk") else "service"


def _name(ref: str) -> str:
    return repository(ref).rpartition("/")[2]


async def serve(run: Run) -> int:
    """Run until it is asked to end, as services do at once."""
    with trio.CancelScope() as scope:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            run.on_signal(number, scope.cancel)
        await run.sleep(math.inf)
    return 0


async def hello(run: Run) -> int:
    """Say what the image hello-world says."""
    return await run.say(_HELLO)


OWN: Final[dict[str, Program]] = {"service": serve, "hello-world": hello}
"""By what the file of such a program says (`pulled`)."""
