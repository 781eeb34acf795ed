"""The machines behind the fake's virtual machines: its user may provide real ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Final

HOST_KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeArmFakeArmFakeArmFakeArmFakeArmFakeArm0"
"""The ssh host key of machines with nothing behind them."""


@dataclass(frozen=True)
class Machine:
    """The description of a virtual machine that is switched on.

    public, private: its addresses; "" for none. Public ones belong to this machine's loopback network (127.64.0.0/10),
    a different one for each virtual machine: on Linux a server can listen on one, on its usual port, without any setup.
    outbound: whether it reaches the Internet. custom_data: the cloud-init data. keys: the ssh public keys of `admin`.
    """

    id: str
    name: str
    size: str
    public: str = ""
    private: str = ""
    outbound: bool = True
    admin: str = ""
    keys: tuple[str, ...] = ()
    custom_data: bytes = b""
    tags: dict[str, str] = field(default_factory=dict[str, str])


class Machines(ABC):
    """Starts and stops what a virtual machine runs. A machine that can't start fails the operation that wanted it."""

    @abstractmethod
    async def start(self, machine: Machine) -> None:
        """Boot a machine that was switched on; return once it can be reached. Cancelled if the machine is deleted."""

    @abstractmethod
    async def stop(self, machine: Machine) -> None:
        """Stop a machine that was switched off or deleted; called for every one that was started, even in vain."""

    async def run(self, machine: Machine, script: str) -> str:
        """Run a shell script as root, for a run command, and return its output; of itself, a machine has a host key."""
        return f"{HOST_KEY} root@{machine.name}\n" if "ssh_host_" in script else ""

    def console(self, machine: Machine) -> bytes:
        """Return the output of the machine's serial console, for boot diagnostics; cloud-init shows the host key."""
        return console(machine.name, HOST_KEY)


def console(name: str, *keys: str) -> bytes:
    """Return what a console shows at the end of a boot, with the host keys as cloud-init prints them."""
    lines = [f"{key} root@{name}" for key in keys]
    shown = ["-----BEGIN SSH HOST KEY KEYS-----", *lines, "-----END SSH HOST KEY KEYS-----", f"{name} login: "]
    return "\r\n".join(shown).encode()


class NoMachines(Machines):
    """Virtual machines with nothing behind them."""

    async def start(self, machine: Machine) -> None:
        """Do nothing."""

    async def stop(self, machine: Machine) -> None:
        """Do nothing."""
