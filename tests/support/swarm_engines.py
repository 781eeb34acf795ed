"""Real engines on one network, as machines of a swarm: each in a network namespace of its own, all on one bridge."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.engines import Engine, docker, engine
from tests.support.namespaces import Host

_SUBNET = "10.78.0"
_BRIDGE = "bridge0"


class Machine:
    """One engine with its address on the network, and its hostname."""

    def __init__(self, engine: Engine, name: str, address: str) -> None:
        self.engine = engine
        self.name = name
        self.address = address
        self.host = engine.host

    def run(self, *args: str, **options: Any) -> str:
        """Run the docker CLI straight on this engine; return what it prints. Raises if it fails."""
        return docker(self.host, *args, check=True, **options).stdout.decode().strip()


class Machines:
    """Engines on one network. `sockets/HOSTNAME.sock` and `sockets/ADDRESS.sock` lead to each."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._switch = Host("")
        stack.callback(self._switch.end)
        self._switch.run("ip", "link", "add", _BRIDGE, "type", "bridge")
        self._switch.run("ip", "link", "set", _BRIDGE, "up")
        self.sockets = Path(tempfile.mkdtemp(prefix="sockets-", dir="/tmp"))
        stack.callback(shutil.rmtree, self.sockets)
        self.all: list[Machine] = []

    @property
    def manager(self) -> Machine:
        """The first, which begins the swarm."""
        return self.all[0]

    def join(self, machine: Machine, role: str = "worker") -> None:
        """Let an engine join the swarm; the first one begins it."""
        own = ("--advertise-addr", machine.address, "--listen-addr", machine.address)
        if machine is self.manager:
            machine.run("swarm", "init", *own)
            return
        token = self.manager.run("swarm", "join-token", "-q", role)
        machine.run("swarm", "join", "--token", token, *own, f"{self.manager.address}:2377")

    def add(self, name: str, label: str = "") -> Machine:
        """Start an engine, and connect it to the network."""
        setup = f"hostname {name}; export DOCKER_SERVICE_PREFER_OFFLINE_IMAGE=1;"
        extra = [f"--label={label}"] if label else []
        started = self._stack.enter_context(engine(extra, "-nmu", setup))
        machine = Machine(started, name, f"{_SUBNET}.{len(self.all) + 1}")
        self._stack.callback(started.kill)  # at the end, instead of waiting for an orderly goodbye
        self.all.append(machine)
        self._connect(machine)
        for link in (machine.name, machine.address):
            (self.sockets / f"{link}.sock").symlink_to(started.socket)
        return machine

    def _connect(self, machine: Machine) -> None:
        port = f"port{len(self.all)}"
        self._switch.run(
            "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(machine.engine.pid)
        )
        self._switch.run("ip", "link", "set", port, "master", _BRIDGE, "up")
        inside = ["nsenter", f"--net=/proc/{machine.engine.pid}/ns/net", "ip"]
        subprocess.run([*inside, "address", "add", f"{machine.address}/24", "dev", "eth0"], check=True)
        subprocess.run([*inside, "link", "set", "eth0", "up"], check=True)


@contextmanager
def swarm(*names: str) -> Iterator[Machines]:
    """Engines with these hostnames in one swarm, which the first manages; each has the label `name=HOSTNAME`."""
    with ExitStack() as stack:
        machines = Machines(stack)
        for name in names:
            machines.join(machines.add(name, f"name={name}"))
        yield machines
