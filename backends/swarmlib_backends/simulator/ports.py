"""The ports of the host: which containers have published them."""

from __future__ import annotations

from typing import Final

from ..dockerapi.nulls import fields, items
from ..dockerapi.status import refusal
from .container import Container
from .names import Names

_FIRST_FREE_PORT: Final = 49153


class HostPorts:
    """The ports of one engine's host."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._taken: dict[tuple[str, int], Container] = {}
        """By protocol and number, who has them."""

    def bind(self, container: Container) -> None:
        """Publish the ports of a container that is about to run.

        Raises:
            SwarmError: another has one of them.
        """
        bindings = fields(container.host["PortBindings"])
        ports: dict[str, list[dict[str, str]] | None] = {}
        for port in sorted(fields(container.config.get("ExposedPorts"))):
            port = port if "/" in port else f"{port}/tcp"
            bound = items(bindings.get(port) or bindings.get(port.removesuffix("/tcp")))
            if not bound and container.host["PublishAllPorts"]:
                bound = [{"HostIp": "", "HostPort": ""}]
            ports[port] = [each for given in bound for each in self._bind_one(container, port, given)] or None
        container.ports = ports

    def _bind_one(self, container: Container, port: str, given: dict[str, str]) -> list[dict[str, str]]:
        protocol, address = port.partition("/")[2], given["HostIp"] or "0.0.0.0"
        asked = given["HostPort"].partition("/")[0].partition("-")[0]
        number = int(asked or 0) or self._free_port(protocol)
        if (protocol, number) in self._taken:
            endpoint = f"{container.name} ({self._names.id()})"
            text = f"driver failed programming external connectivity on endpoint {endpoint}"
            raise refusal(500, f"{text}: Bind for {address}:{number} failed: port is already allocated")
        self._taken[protocol, number] = container
        both = [address] if given["HostIp"] else [address, "::"]
        return [{"HostIp": each, "HostPort": str(number)} for each in both]

    def _free_port(self, protocol: str) -> int:
        number = _FIRST_FREE_PORT
        while (protocol, number) in self._taken:
            number += 1
        return number

    def release(self, container: Container) -> None:
        """Take back what a container has published."""
        if any(each is container for each in self._taken.values()):
            self._taken = {key: each for key, each in self._taken.items() if each is not container}
        container.ports = {}
