"""The ports of the host: which containers have published them."""

from __future__ import annotations

import re
from typing import Final

from swarmlib import SwarmError

from ..dockerapi.nulls import fields, items
from ..dockerapi.status import refusal
from .container import Container
from .names import Names

LAST_PORT: Final = 65535
_FIRST_FREE_PORT: Final = 49153
_PROTOCOLS: Final = frozenset({"tcp", "udp", "sctp"})
_NO_PROTOCOL: Final = "0"
"""What an engine calls every other one, with which nothing can be published."""
_ANY: Final = {"HostIp": "", "HostPort": ""}


class HostPorts:
    """The ports of one engine's host."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._taken: dict[tuple[str, int], Container] = {}
        """By protocol and number, who has them."""

    def bind(self, container: Container) -> None:
        """Publish the ports of a container that is about to run.

        Raises:
            SwarmError: another has one of them, or one is none that can be published.
        """
        bindings = fields(container.host["PortBindings"])
        ports: dict[str, list[dict[str, str]] | None] = {}
        for exposed in sorted(fields(container.config.get("ExposedPorts"))):
            asked = items(bindings.get(exposed)) or ([_ANY] if container.host["PublishAllPorts"] else [])
            port = _named(exposed)
            bound = [each for given in asked for each in self._bind_one(container, port, given)]
            ports[port] = [*items(ports.get(port)), *bound] or None  # 80 and 80/tcp are one
        container.ports = ports

    def _bind_one(self, container: Container, port: str, given: dict[str, str]) -> list[dict[str, str]]:
        protocol, address = port.partition("/")[2], given["HostIp"] or "0.0.0.0"
        if protocol == _NO_PROTOCOL:
            raise self._failed(container, f"invalid transport protocol: {protocol}")
        asked = given["HostPort"].partition("/")[0].partition("-")[0]
        number = int(asked or 0) or self._free_port(protocol)
        if (protocol, number) in self._taken:
            raise self._failed(container, f"Bind for {address}:{number} failed: port is already allocated")
        self._taken[protocol, number] = container
        both = [address] if given["HostIp"] else [address, "::"]
        return [{"HostIp": each, "HostPort": str(number)} for each in both]

    def _free_port(self, protocol: str) -> int:
        number = _FIRST_FREE_PORT
        while (protocol, number) in self._taken:
            number += 1
        return number

    def _failed(self, container: Container, why: str) -> SwarmError:
        endpoint = f"{container.name} ({self._names.id()})"
        return refusal(500, f"driver failed programming external connectivity on endpoint {endpoint}: {why}")

    def release(self, container: Container) -> None:
        """Take back what a container has published."""
        if any(each is container for each in self._taken.values()):
            self._taken = {key: each for key, each in self._taken.items() if each is not container}
        container.ports = {}


def _named(exposed: str) -> str:
    """A port as an inspection names it: `80/tcp` for 080/TCP. An engine takes whatever is exposed, and says 0 for the
    number or the protocol that it can't read.
    """
    number, _, rest = exposed.partition("/")
    if not number:
        return f"0/{_NO_PROTOCOL}"
    protocol = rest.partition("/")[0].lower() or "tcp"
    digits = re.fullmatch("0*([0-9]{1,5})", number)
    inside = int(digits[1]) if digits and int(digits[1]) <= LAST_PORT else 0
    return f"{inside}/{protocol if protocol in _PROTOCOLS else _NO_PROTOCOL}"
