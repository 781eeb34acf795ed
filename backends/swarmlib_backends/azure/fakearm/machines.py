"""The machines behind the fake's virtual machines: whoever runs the fake may bring real ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Machine:
    """What there is to know about a virtual machine when its power goes on.

    public, private: its addresses; "" for none. Public ones are of this machine's loopback network (127.64.0.0/10),
    each virtual machine's its own: on Linux a server can listen on one, on its usual port, with nothing set up.
    custom_data: what cloud-init gets. keys: the ssh public keys of `admin`.
    """

    id: str
    name: str
    size: str
    public: str = ""
    private: str = ""
    admin: str = ""
    keys: tuple[str, ...] = ()
    custom_data: bytes = b""
    tags: dict[str, str] = field(default_factory=dict[str, str])


class Machines(ABC):
    """Starts and stops what a virtual machine runs. A machine that can't start fails the operation that wanted it."""

    @abstractmethod
    async def start(self, machine: Machine) -> None:
        """Power is on: boot it; done once it can be reached. Cancelled where the machine is deleted meanwhile."""

    @abstractmethod
    async def stop(self, machine: Machine) -> None:
        """Power is off, or the machine is gone; called for every one that was started, also one that failed to."""

    def console(self, machine: Machine) -> bytes:
        """What its serial console has shown, for boot diagnostics."""
        return f"{machine.name} login: ".encode()


class NoMachines(Machines):
    """Virtual machines with nothing behind them."""

    async def start(self, machine: Machine) -> None:
        """Nothing."""

    async def stop(self, machine: Machine) -> None:
        """Nothing."""
