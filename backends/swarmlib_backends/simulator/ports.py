"""The ports of the host: which containers have published them.

Only what runs a program that listens really has them, and only where this machine alone reaches them.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Final

from swarmlib import SwarmError

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal
from .addresses import LAST_PORT, address_in
from .container import Container
from .engine import Engine

_FIRST_FREE_PORT: Final = 49153
_PROTOCOLS: Final = frozenset({"tcp", "udp", "sctp"})
_NO_PROTOCOL: Final = "0"
"""What an engine calls every other one, with which nothing can be published."""
_ON_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_NO_IPV6: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_ANY: Final = {"HostIp": "", "HostPort": ""}


class HostPorts:
    """The ports of one engine's host."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._taken: dict[tuple[str, int], Container] = {}
        """By protocol and number, who has them."""

    def bind(self, container: Container) -> None:
        """Publish the ports of a container that is about to run.

        Raises:
            SwarmError: another has one of them, or one is none that can be published.
        """
        bindings = dict_of(container.host["PortBindings"])
        ports: dict[str, list[dict[str, str]] | None] = {}
        container.listening = {} if self._engine.listens(container) else None
        for exposed in sorted(dict_of(container.config.get("ExposedPorts"))):
            asked = list_of(bindings.get(exposed)) or ([_ANY] if container.host["PublishAllPorts"] else [])
            port = _named(exposed)
            bound = [each for given in asked for each in self._bind_one(container, port, given)]
            ports[port] = [*list_of(ports.get(port)), *bound] or None  # 80 and 80/tcp are one
        container.ports = ports

    def _bind_one(self, container: Container, port: str, given: dict[str, str]) -> list[dict[str, str]]:
        protocol, address = port.partition("/")[2], given["HostIp"] or "0.0.0.0"
        if protocol == _NO_PROTOCOL:
            raise self._failed(container, f"invalid transport protocol: {protocol}")
        addresses = [address] if given["HostIp"] else [address, "::"]
        asked = int(given["HostPort"].partition("/")[0].partition("-")[0] or 0)
        if (protocol, asked) in self._taken:
            raise self._failed(container, f"Bind for {address}:{asked} failed: port is already allocated")
        for number in [asked] if asked else self._free(protocol):
            try:
                _listen(container, port, addresses, number)
            except OSError as exc:
                if asked or exc.errno != errno.EADDRINUSE:
                    where = f"tcp6 [{address}]" if ":" in address else f"tcp4 {address}"
                    problem = f"listen {where}:{number}: bind: {str(exc.strerror).lower()}"
                    raise self._failed(container, f"Error starting userland proxy: {problem}") from exc
            else:
                self._taken[protocol, number] = container
                return [{"HostIp": each, "HostPort": str(number)} for each in addresses]
        raise self._failed(container, "all ports are allocated")

    def _free(self, protocol: str) -> Iterator[int]:
        return (number for number in range(_FIRST_FREE_PORT, LAST_PORT + 1) if (protocol, number) not in self._taken)

    def _failed(self, container: Container, why: str) -> SwarmError:
        endpoint = f"{container.name} ({self._engine.names.id()})"
        return refusal(500, f"driver failed programming external connectivity on endpoint {endpoint}: {why}")

    def release(self, container: Container) -> None:
        """Take back what a container has published."""
        if any(each is container for each in self._taken.values()):
            self._taken = {key: each for key, each in self._taken.items() if each is not container}
        container.ports = {}
        for sockets in (container.listening or {}).values():
            for each in sockets:
                each.close()
        container.listening = None


def _listen(container: Container, port: str, addresses: list[str], number: int) -> None:
    """Listen for a container whose program does. Raises OSError where that can't be."""
    if container.listening is not None and port.endswith("/tcp"):
        container.listening.setdefault(port, []).extend(_listening(addresses, number))


def _named(exposed: str) -> str:
    """Return a port as an inspection names it: `80/tcp` for 080/TCP.

    An engine takes whatever is exposed, and says 0 for the number or the protocol that it can't read.
    """
    number, _, rest = exposed.partition("/")
    if not number:
        return f"0/{_NO_PROTOCOL}"
    protocol = rest.partition("/")[0].lower() or "tcp"
    digits = re.fullmatch("0*([0-9]{1,5})", number)
    inside = int(digits[1]) if digits and int(digits[1]) <= LAST_PORT else 0
    return f"{inside}/{protocol if protocol in _PROTOCOLS else _NO_PROTOCOL}"


def _listening(addresses: Iterable[str], port: int) -> list[socket.socket]:
    """Return sockets that listen at a port of each address, of all IPv6 addresses only where this machine has IPv6.

    They are on this machine's loopback for what listens on all addresses of a simulated host.

    Raises:
        OSError: an address can't be had: the port is in use, say, or other machines would reach it.
    """
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        for address in addresses:
            try:
                sockets.append(stack.enter_context(_listening_at(_ON_LOOPBACK.get(address, address), port)))
            except OSError as exc:
                if address != "::" or exc.errno not in _NO_IPV6:
                    raise
        stack.pop_all()
        return sockets


def _listening_at(host: str, port: int) -> socket.socket:
    address = address_in(host)
    if address is None or not address.is_loopback:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return socket.create_server((host, port), family=family)
