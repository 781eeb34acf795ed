"""The published ports of containers, as records ask for them and tell them."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ...dockerapi.nullable import dict_of, list_of
from ...dockerapi.status import refusal
from .fields import refused
from .options import Publishing
from .record import Record

PortMap: TypeAlias = dict[str, Any]
"""Published ports as an inspection shows them: `{"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}`.

In a record, an empty address stands for that of the Pod, or of its node, which are known only while the Pod runs.
"""
_LOOPBACK: Final = "127.0.0.1"
_ANY: Final = ("", "0.0.0.0", "::")
_LAST: Final = 2**16 - 1
_EXPOSED: Final = re.compile(r"(?P<number>[0-9]{1,5})(?:/(?P<protocol>tcp|udp|sctp))?")
_RANGE: Final = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?")


@dataclass(frozen=True)
class Binding:
    """A publication: the container's port, and the address and ports of which one is wanted for it.

    The address "" is whatever is usual. The port 0 is any that is free.
    """

    port: int
    protocol: str
    host: str
    first: int
    last: int

    @property
    def name(self) -> str:
        """The container's port as Docker names it, such as 80/tcp."""
        return f"{self.port}/{self.protocol}"

    @property
    def listening_host(self) -> str:
        """The address at which a gateway listens."""
        return self.host or _LOOPBACK


def bindings(record: Record, how: Publishing) -> list[Binding]:
    """Return what a container wants to be published.

    how: how its ports are reached.

    Raises:
        SwarmError: a port or an address is none. Unsupported: a port can't be published in this way.
    """
    found = _wanted(record)
    for binding in found:
        _check(binding, how)
    return found


def published(record: Record) -> list[tuple[int, str]]:
    """Return the ports of a container that it wants to be published, and their protocols. Raises as `bindings`."""
    return [*dict.fromkeys((each.port, each.protocol) for each in _wanted(record))]


def _wanted(record: Record) -> list[Binding]:
    given, every = dict_of(record.host.get("PortBindings")), bool(record.host.get("PublishAllPorts"))
    exposed = dict_of(record.config.get("ExposedPorts"))
    found = list[Binding]()
    for name in dict.fromkeys((*given, *(exposed if every else ()))):
        each = list_of(given.get(name)) or ([{}] if every or name in given else [])
        found += [_binding(name, dict_of(wanted)) for wanted in each]
    return found


def _check(wanted: Binding, how: Publishing) -> None:
    if why := _why_not(wanted, how):
        raise refused((f"HostConfig.PortBindings {wanted.name!r:.40}", why))


def _why_not(wanted: Binding, how: Publishing) -> str:
    """Return why a port can't be published in a way; "" if it can."""
    if how == "forward":
        return "" if wanted.protocol == "tcp" else "only TCP ports can be forwarded; see --ports"
    if wanted.host not in _ANY:
        return f"with --ports {how}, no address can be chosen: it is the {how}'s own"
    if how == "pod" and not (wanted.first == wanted.last and wanted.first in (0, wanted.port)):
        return "with --ports pod, a port is the Pod's own, and has no other number"
    if how == "node" and wanted.first != wanted.last:
        return "with --ports node, one port of the nodes can be asked for, or any, but no range"
    return ""


def _binding(name: str, wanted: Mapping[str, Any]) -> Binding:
    port, protocol = _exposed(name)
    text = str(wanted.get("HostPort") or "0")
    match = _RANGE.fullmatch(text.partition("/")[0])  # a protocol behind it is not looked at, as by an engine
    first, last = (int(match["first"]), int(match["last"] or match["first"])) if match else (1, 0)
    if not first <= last <= _LAST:
        raise refusal(400, f"invalid port specification: {text!r:.40}")
    host = str(wanted.get("HostIp") or "")
    if host and not _is_address(host):
        raise refusal(400, f"invalid IP address: {host:.80}")
    return Binding(port, protocol, host, first, last)


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


def shown(record: Record, address: str = "") -> PortMap:
    """Return the ports of a running container as an inspection shows them: the exposed and the published ones.

    address: at which its ports are, where the record does not say it.
    """
    published = {
        name: [{**each, "HostIp": each.get("HostIp") or address} for each in map(dict_of, list_of(places))]
        for name, places in record.ports.items()
    }
    return dict.fromkeys(dict_of(record.config.get("ExposedPorts"))) | published


def listed(record: Record, address: str = "") -> list[dict[str, Any]]:
    """Return the ports of a running container as lists show them. `address` is as in `shown`.

    Raises:
        SwarmError: the record has a port that is none.
    """
    found = list[dict[str, Any]]()
    for name, places in shown(record, address).items():
        port, protocol = _exposed(name)
        known = {"PrivatePort": port, "Type": protocol}
        given = [_binding(name, dict_of(each)) for each in list_of(places)]
        found += [{"IP": each.host, **known, "PublicPort": each.first} for each in given] or [known]
    return found


def check(record: Record) -> None:
    """Refuse a record of ports that can't be shown, or be published as it says. Raises `SwarmError`."""
    listed(record)
    if record.via == "forward":
        for binding in written(record):
            _check(binding, "forward")


def written(record: Record) -> Iterator[Binding]:
    """Return the ports that a container was given when it was started."""
    for name, places in record.ports.items():
        for each in list_of(places):
            yield _binding(name, each)
