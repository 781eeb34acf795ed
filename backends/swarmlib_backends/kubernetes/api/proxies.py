"""The proxy that the environment names for a server, by the rules of Go's programs, and so of kubectl."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

_LOCAL = "localhost"


def proxy_of(server: str, environ: Mapping[str, str]) -> str:
    """Return the URL of the proxy in HTTPS_PROXY or HTTP_PROXY, or "" if there is none, or NO_PROXY excepts the server.

    A server on this machine is never reached by a proxy.
    """
    parts = urlsplit(server)
    host, port = parts.hostname or "", str(parts.port or (443 if parts.scheme == "https" else 80))
    proxy = _variable(f"{parts.scheme}_proxy", environ)
    if not proxy or _is_local(host) or any(_excepts(each.strip(), host, port) for each in _exceptions(environ)):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _variable(name: str, environ: Mapping[str, str]) -> str:
    return environ.get(name.upper()) or environ.get(name, "")


def _exceptions(environ: Mapping[str, str]) -> list[str]:
    return _variable("no_proxy", environ).lower().split(",")


def _is_local(host: str) -> bool:
    address = _address(host)
    return host == _LOCAL or (address is not None and address.is_loopback)


def _excepts(rule: str, host: str, port: str) -> bool:
    """Return whether a rule of NO_PROXY is for a host: `*`, an address, a network, a name, each perhaps with a port."""
    if rule == "*":
        return True
    if (address := _address(host)) and "/" in rule:
        return _in_network(rule, address)
    name, colon, only = rule.rpartition(":") if rule.count(":") == 1 or "]:" in rule else (rule, "", "")
    if not name or (colon and only != port):
        return False
    if address:
        return _address(name.strip("[]")) == address
    name = name.removeprefix("*")
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _in_network(rule: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False
