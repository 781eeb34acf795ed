"""What machines cost while they are as they are: what runs, since when, and what is billed even when they are off.

Prices are not known here; Azure bills a machine by the second while it is allocated, and its disk and its static public
address for as long as they exist.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from .client import Arm
from .objects import Machine
from .resources import GATEWAYS
from .spec import MAX_HOURS, NETWORK, STARTED, part


def since(machine: Machine) -> str:
    """Return when swarmlib last started a machine that is on; "" if it is off, or was started by others."""
    return machine.tags.get(STARTED, "") if machine.running else ""


def billed(machine: Machine, addressed: Collection[str]) -> list[str]:
    """Return what is billed of a machine now; addressed: the interfaces with a public address, as `with_address`."""
    allocated = machine.power not in ("deallocated", "")
    has_address = any(id.lower() in addressed for id in machine.interfaces)
    return [*(["machine"] if allocated else []), "disk", *(["address"] if has_address else [])]


async def with_address(arm: Arm, group: str) -> set[str]:
    """Return the ids, in lower case, of what has a public address in a group: interfaces, and a NAT gateway."""
    found = await arm.listed_in(arm.network.public_ip_addresses, group)
    kinds = ("ipConfiguration", "natGateway")
    users = [str(part(each, "properties", kind).get("id", "")) for each in found for kind in kinds]
    return {user.lower().partition("/ipconfigurations/")[0] for user in users if user}


def has_gateway(addressed: Collection[str]) -> bool:
    """Return whether swarmlib's own network has a NAT gateway, which is billed until the last machine is removed."""
    return any(each.endswith(f"{GATEWAYS.lower()}/{NETWORK}") for each in addressed)


def status(machines: Iterable[Machine], addressed: Collection[str]) -> list[list[str]]:
    """Return the lines about machines for the `DriverStatus` of an info, which `docker info` prints."""
    lines = [[f"Machine {each.name}", _line(each, addressed)] for each in machines]
    text = "billed, with its address, until the last machine is removed"
    return [*lines, ["NAT gateway", text]] if has_gateway(addressed) else lines


def _line(machine: Machine, addressed: Collection[str]) -> str:
    began, hours = since(machine), machine.tags.get(MAX_HOURS)
    limit = f", for {hours} h at most" if hours else ""
    state = f"{machine.power or 'unknown'}{f' since {began}' if began else ''}{limit}"
    return f"{state}; {machine.size}; billed: {', '.join(billed(machine, addressed))}"
