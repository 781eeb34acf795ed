"""A simulated container: what it is, and how it is. What happens to it is in `lifecycle`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from socket import socket
from types import MappingProxyType
from typing import Any, Final

import trio

from ..dockerapi.nullable import list_of
from ..enginekit.container import LOG_BYTES, Configured
from ..enginekit.health import Probe
from ..enginekit.mounts import Mount
from ..enginekit.output import Output
from ..enginekit.pipe import Pipe
from .files import Files
from .image import Image
from .process import Process

_NO_PORTS: Final[Mapping[str, list[dict[str, str]] | None]] = MappingProxyType({})


@dataclass(slots=True)
class Endpoint:
    """A container's place in a network; it has an id and an address only while the container runs."""

    given: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the user asked for: aliases, an address, links."""
    id: str = ""
    network_id: str = ""
    address: str = ""
    prefix: int = 0
    gateway: str = ""
    address6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    mac: str = ""
    aliases: list[str] | None = None

    def __post_init__(self) -> None:
        self.aliases = self.aliases or self.given.get("Aliases")
        self.mac = self.given.get("MacAddress") or ""  # which an engine shows until the start, and then forgets

    def clear(self) -> None:
        """Forget what it has only while the container runs."""
        self.id = self.address = self.gateway = self.address6 = self.gateway6 = self.mac = ""
        self.prefix = self.prefix6 = 0


@dataclass(slots=True)
class Health:
    """How healthy a container is, and its last probes."""

    status: str = "starting"
    failing: int = 0
    log: list[Probe] = field(default_factory=list[Probe])


@dataclass(slots=True, eq=False)
class Exec(Configured):
    """A process to be, that is, or was, in a container."""

    id: str
    container: Container
    config: dict[str, Any]
    output: Output = field(default_factory=lambda: Output(LOG_BYTES))
    stdin: Pipe = field(default_factory=Pipe)
    process: Process | None = None
    code: int | None = None
    begun: bool = False

    @property
    def shown(self) -> str:
        """Its command as events say it: a space after the program, also where nothing follows."""
        program, *words = self.config["Cmd"]
        return f"{program} {' '.join(words)}"

    @property
    def running(self) -> bool:
        """Whether it runs, as far as is known: of one whose client has detached it isn't."""
        return self.process is not None and self.code is None

    @property
    def pid(self) -> int:
        """Its process id; 0 before its start."""
        return self.process.pid if self.process is not None else 0

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.code is None

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Give it input."""
        await self.stdin.write(data)

    async def end_input(self) -> None:
        """Close its stdin."""
        self.stdin.end()


@dataclass(slots=True, eq=False)
class Container(Configured):
    """Times are seconds since the epoch, 0 for never. `config` and `host` are what its inspect shows."""

    id: str
    name: str
    created: float
    image: Image
    config: dict[str, Any]
    host: dict[str, Any]
    networks: dict[str, Endpoint]
    """By the networks' names."""
    mounts: Sequence[Mount] = ()
    ports: Mapping[str, list[dict[str, str]] | None] = field(default_factory=lambda: _NO_PORTS)
    listening: dict[str, list[socket]] | None = None
    """What really listens at its published ports, by their names as in `ports`; None if its program doesn't listen."""
    running: bool = False
    paused: bool = False
    restarting: bool = False
    oom_killed: bool = False
    exit_code: int = 0
    error: str = ""
    started: float = 0.0
    finished: float = 0.0
    pid: int = 0
    sandbox: str = ""
    """The id of the network namespace of its last run."""
    restarts: int = 0
    backoff: float = 0.0
    """Seconds before the last restart; 0 if it was long ago."""
    manually_stopped: bool = False
    stoppers: int = 0
    """Calls of `stop` that wait for its end, after which they have something to tell."""
    health: Health | None = None
    process: Process | None = None
    """What runs in it; None too for one that was seeded, which only sleeps."""
    execs: dict[str, Exec] = field(default_factory=dict[str, Exec])
    links: dict[str, Container] = field(default_factory=dict[str, "Container"])
    """The containers that it is linked to, by the names that it has for them."""
    linked_by: list[tuple[Container, str]] = field(default_factory=list[tuple["Container", str]])
    """The containers that are linked to it, each with its name for it."""
    life: trio.CancelScope | None = None
    """Around what goes on while it runs, or waits to be restarted."""
    summary: tuple[bytes, bytes] | None = None
    """Its part of a list, before and after the text of its age; None when it has changed."""
    status_text: bytes = b""
    """That text, true until `fresh_until`."""
    fresh_until: float = 0.0
    _output: Output | None = None
    _stdin: Pipe | None = None
    _files: Files | None = None
    _exited: trio.Event | None = None
    _removed: trio.Event | None = None

    @property
    def output(self) -> Output:
        """What it has written."""
        if self._output is None:
            self._output = Output(LOG_BYTES)
        return self._output

    @property
    def stdin(self) -> Pipe:
        """The input of this run, or of the next one."""
        if self._stdin is None:
            self._stdin = Pipe()
        return self._stdin

    @property
    def files(self) -> Files:
        """Its file system."""
        if self._files is None:
            self._files = Files(self.image.root)
        return self._files

    @property
    def exited(self) -> trio.Event:
        """Set at the end of this run, or of the next one; each run has its own."""
        if self._exited is None:
            self._exited = trio.Event()
        return self._exited

    @property
    def removed(self) -> trio.Event:
        """Set when it is gone."""
        if self._removed is None:
            self._removed = trio.Event()
        return self._removed

    @property
    def status(self) -> str:
        """Its state in one word."""
        if self.running:
            return "paused" if self.paused else "restarting" if self.restarting else "running"
        return "exited" if self.started else "created"

    @property
    def command(self) -> list[str]:
        """The words of its command, at least one."""
        words: list[str] = [*list_of(self.config.get("Entrypoint")), *list_of(self.config.get("Cmd"))]
        return words[1:] if words[0] == "" and len(words) > 1 else words

    def signal(self, number: int) -> None:
        """Send a signal to what runs in it; returns at once."""
        if self.process is not None:
            self.process.signal(number)

    def end_run(self) -> None:
        """Tell who waits for the end of this run, or follows its output."""
        if self._output is not None:
            self._output.end_run()
        if self._stdin is not None:
            self._stdin.close()
            self._stdin = None
        if self._exited is not None:
            self._exited.set()
            self._exited = None

    def resize(self, rows: int, columns: int) -> None:
        """Take the size of its terminal, on which nothing depends here."""

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Give it input, for this run or the next one."""
        await self.stdin.write(data)

    async def end_input(self) -> None:
        """Close its stdin."""
        self.stdin.end()
