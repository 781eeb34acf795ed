"""Two network namespaces joined by a virtual cable (veth), which stand for two machines. They need root."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_HOLD = ["unshare", "-n", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"]
_CABLE = "cable"


class Host:
    """One of the two: what runs there has its network."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._process = subprocess.Popen(_HOLD, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"up\n"

    @property
    def pid(self) -> int:
        """The process that holds its network."""
        return self._process.pid

    @property
    def prefix(self) -> list[str]:
        """What makes a command one that runs there."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net"]

    def run(self, *command: str) -> None:
        """Run a command there to its end."""
        subprocess.run([*self.prefix, *command], check=True)

    def join(self, other: "Host") -> None:
        """Lay the cable."""
        peer = ("peer", "name", _CABLE, "netns", str(other.pid))
        self.run("ip", "link", "add", _CABLE, "type", "veth", *peer)
        for host in (self, other):
            host.run("ip", "address", "add", f"{host.address}/24", "dev", _CABLE)
            host.run("ip", "link", "set", _CABLE, "up")

    def unplug(self) -> None:
        """Pull the cable out: nothing goes through, and nobody is told."""
        self.run("ip", "link", "set", _CABLE, "down")

    def plug(self) -> None:
        """Put it back."""
        self.run("ip", "link", "set", _CABLE, "up")

    def slow_down(self, rate: str) -> None:
        """Send at `rate` (such as 20mbit) at most."""
        self.run(
            *["tc", "qdisc", "add", "dev", "cable", "root", "tbf", "burst", "32kbit", "latency", "50ms", "rate"], rate
        )

    def end(self) -> None:
        """End it, and with it the cable."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def two_hosts(addresses: Sequence[str] = ("10.77.0.1", "10.77.0.2")) -> Iterator[tuple[Host, Host]]:
    """The two, joined."""
    near, far = (Host(address) for address in addresses)
    try:
        near.join(far)
        yield near, far
    finally:
        near.end()
        far.end()
