"""How a Pod is called, which names it resolves, and which ports its container listens on."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Final

from swarmlib import Unsupported

from ...dockerapi.nullable import dict_of, list_of
from ...dockerapi.status import refusal
from . import search
from .fields import refused
from .options import PodOptions
from .record import Record

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DOMAIN: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_PORT: Final = re.compile(r"(?P<number>[0-9]{1,5})(?:/(?P<protocol>tcp|udp|sctp))?")
_MOST_SERVERS: Final = 3
_MOST_SEARCHES: Final = 6
"""Kubernetes 1.20 allows no more, later versions 32."""
_EVERYWHERE: Final = "."
"""The search domain by which Docker's clients ask for none."""


def _check_mode(record: Record) -> None:
    """Raise `Unsupported` for the mode of a network that a Pod can't be in."""
    mode = str(record.host.get("NetworkMode") or "")
    if mode == "none":
        raise refused(("HostConfig.NetworkMode 'none'", "every Pod has a network"))
    if mode.startswith("container:"):
        raise refused((f"HostConfig.NetworkMode {mode!r:.80}", "Pods don't share networks; put both into one by name"))


def of_pod(record: Record, options: PodOptions) -> dict[str, Any]:
    """Return the fields of a Pod about names and networks.

    Raises:
        Unsupported: a Pod can't have what is asked for. SwarmError: a value is wrong.
    """
    _check_mode(record)
    on_node = record.host.get("NetworkMode") == "host"
    made: dict[str, Any] = {"hostNetwork": True} if on_node else {"hostname": _hostname(record)}
    if aliases := _host_aliases(list_of(record.host.get("ExtraHosts"))):
        made["hostAliases"] = aliases
    domains = search.domains(record, options)
    return made | _dns(record.host, domains, options, on_node=on_node)


def ports(record: Record) -> list[dict[str, Any]]:
    """Return the ports of a container.

    Raises:
        Invalid: a port is none.
    """
    asked = {**dict_of(record.config.get("ExposedPorts")), **dict_of(record.host.get("PortBindings"))}
    return [_port(text) for text in asked]


def _port(text: str) -> dict[str, Any]:
    found = _PORT.fullmatch(text)
    if found is None or not 0 < int(found["number"]) < 2**16:
        raise refusal(400, f'invalid port specification: "{text:.80}"')
    return {"containerPort": int(found["number"]), "protocol": (found["protocol"] or "tcp").upper()}


def _hostname(record: Record) -> str:
    hostname = str(record.config["Hostname"])
    if not _LABEL.fullmatch(hostname):
        raise refused((f"Hostname {hostname!r:.80}", "it has lower case letters, digits and '-', at most 63"))
    return hostname


def _dns(host: Mapping[str, Any], domains: list[str], options: PodOptions, *, on_node: bool) -> dict[str, Any]:
    servers, asked = list_of(host.get("Dns")), list_of(host.get("DnsSearch"))
    fixed = domains if options.tools == "never" else []  # or else the file of the tools has them
    searches = [*fixed, *(each for each in asked if each != _EVERYWHERE)]
    own = not domains and (servers or asked)
    for server in servers:
        _check_address(server, f"HostConfig.Dns {server!r:.80}")
    if len(servers) > _MOST_SERVERS:
        raise refused(("HostConfig.Dns", f"it can have {_MOST_SERVERS} servers"))
    if len(searches) > _MOST_SEARCHES:
        raise refused(("HostConfig.DnsSearch", f"it can have {_MOST_SEARCHES} search domains; each network is one"))
    given_options = [_option(each) for each in list_of(host.get("DnsOptions"))]
    given = (("nameservers", servers), ("searches", searches), ("options", given_options))
    config = {name: each for name, each in given if each}
    if own and servers:
        policy = "None"
    else:
        policy = "ClusterFirstWithHostNet" if on_node and domains else "Default" if on_node else "ClusterFirst"
    return {"dnsPolicy": policy} | ({"dnsConfig": config} if config else {})


def _option(text: str) -> dict[str, str]:
    name, colon, value = text.partition(":")
    return {"name": name} | ({"value": value} if colon else {})


def _host_aliases(entries: list[str]) -> list[dict[str, Any]]:
    found: dict[str, list[str]] = {}
    for entry in entries:
        name, separator, address = entry.partition("=" if "=" in entry else ":")
        place = f"HostConfig.ExtraHosts {entry!r:.80}"
        if not name or not separator:
            raise refusal(400, f'bad format for add-host: "{entry:.80}"')
        if address == "host-gateway":
            raise refused((place, "a Pod has no gateway to this machine; give an address"))
        _check_address(address.removeprefix("[").removesuffix("]"), place)
        if not _DOMAIN.fullmatch(name):
            raise refused((place, "a name has lower case letters, digits, '-' and '.'"))
        found.setdefault(address.removeprefix("[").removesuffix("]"), []).append(name)
    return [{"ip": address, "hostnames": hosts} for address, hosts in found.items()]


def _check_address(text: str, place: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise Unsupported(f"a Pod can't have {place}: it is no IP address") from None
