"""The published ports of containers, as records ask for them and tell them."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from swarmlib import Unsupported

from ...dockerapi.nullable import dict_of, list_of
from ...dockerapi.status import refusal
from .record import Record

PortMap: TypeAlias = dict[str, Any]
"""Published ports as an inspection shows them: `{"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}`."""
_DEFAULT: Final = "127.0.0.1"
_LAST: Final = 2**16 - 1
_EXPOSED: Final = re.compile(r"(?P<number>[0-9]{1,5})(?:/(?P<protocol>tcp|udp|sctp))?")
_RANGE: Final = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?")


@dataclass(frozen=True)
class Binding:
    """A publication: the container's port, and where the gateway listens for it; the port 0 is any that is free."""

    port: int
    host: str
    first: int
    last: int


def bindings(record: Record) -> list[Binding]:
    """Return what a container wants to be published.

    Raises:
        SwarmError: a port or an address is none. Unsupported: it can't be forwarded, as it is not TCP.
    """
    given, every = dict_of(record.host.get("PortBindings")), bool(record.host.get("PublishAllPorts"))
    exposed = dict_of(record.config.get("ExposedPorts"))
    found = list[Binding]()
    for name in dict.fromkeys((*given, *(exposed if every else ()))):
        each = list_of(given.get(name)) or ([{}] if every or name in given else [])
        found += [_binding(name, dict_of(wanted)) for wanted in each]
    return found


def _binding(name: str, wanted: Mapping[str, Any]) -> Binding:
    port, protocol = _exposed(name)
    if protocol != "tcp":
        raise Unsupported(f"a Pod can't have HostConfig.PortBindings {name!r:.40}: only TCP ports can be forwarded")
    text = str(wanted.get("HostPort") or "0")
    match = _RANGE.fullmatch(text)
    first, last = (int(match["first"]), int(match["last"] or match["first"])) if match else (1, 0)
    if not first <= last <= _LAST:
        raise refusal(400, f"invalid port specification: {text!r:.40}")
    host = str(wanted.get("HostIp") or _DEFAULT)
    if not _is_address(host):
        raise refusal(400, f"invalid IP address: {host:.80}")
    return Binding(port, host, first, last)


def _exposed(name: str) -> tuple[int, str]:
    match = _EXPOSED.fullmatch(name)
    if match is None or not 0 < int(match["number"]) <= _LAST:
        raise refusal(400, f'invalid port specification: "{name:.80}"')
    return int(match["number"]), match["protocol"] or "tcp"


def _is_address(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def shown(record: Record) -> PortMap:
    """Return the ports of a running container as an inspection shows them: the exposed and the published ones."""
    return dict.fromkeys(dict_of(record.config.get("ExposedPorts"))) | dict(record.ports)


def listed(record: Record) -> list[dict[str, Any]]:
    """Return the ports of a running container as lists show them.

    Raises:
        SwarmError: the record has a port that is none.
    """
    found = list[dict[str, Any]]()
    for name, places in shown(record).items():
        port, protocol = _exposed(name)
        known = {"PrivatePort": port, "Type": protocol}
        given = [_binding(name, dict_of(each)) for each in list_of(places)]
        found += [{"IP": each.host, **known, "PublicPort": each.first} for each in given] or [known]
    return found


def written(record: Record) -> Iterator[Binding]:
    """Return the ports that a container was given when it was started."""
    for name, places in record.ports.items():
        for each in list_of(places):
            yield _binding(name, each)
