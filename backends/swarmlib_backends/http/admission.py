"""The checks that the head of a request must pass before anything acts on it: it is addressed to this server, was not
sent by a web page of another origin, and expects nothing strange.

A browser sends requests to any address for any page, and DNS rebinding (a name that its owner points to 127.0.0.1)
makes this server part of a page's own origin. A browser cannot be made to lie in Origin and Sec-Fetch-Site, to send a
JSON body to another origin without asking, or to name a host other than that of the page's address.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from swarmlib import Denied, Invalid

from .head import Head

_LOOKED_AT: Final = frozenset({b"host", b"origin", b"sec-fetch-site", b"expect"})
_AIODOCKERS: Final = b"http://localhost"
"""The Origin that aiodocker sends with every websocket. Only a page of the user's own machine could have it."""
_LONGEST_ADDRESS: Final = 64
"""The most characters of an IP address; longer texts are none, and are not remembered."""
_FOREIGN: Final = (b"cross-site", b"same-site")


def check_head(head: Head, hosts: Collection[str] | None) -> None:
    """Refuse a request that a web page of another origin sent, that is addressed to another server, or that expects
    something that this server does not do.

    hosts: the names of this server, besides IP addresses and localhost; None if any name is allowed, since no browser
        gets there by a name (a unix socket, TLS).

    Raises:
        Invalid: the request has no Host or several, or expects something other than 100-continue.
        Denied: the request comes from a web page, or its Host is not this server's.
    """
    found: dict[bytes, list[bytes]] = {}
    for name, value in head.headers:
        lower = name.lower()
        if lower in _LOOKED_AT:
            found.setdefault(lower, []).append(value)
    host = _host(found.get(b"host", []), head)
    if hosts is not None and host is not None:
        _check_host(host, hosts)
    if len(found) > 1:
        _check_page(found, host, websocket=(head.get(b"upgrade") or b"").lower() == b"websocket")
        _check_expectation(found.get(b"expect", [b""])[0])


def _host(values: list[bytes], head: Head) -> bytes | None:
    if len(values) > 1:
        raise Invalid("a request must have exactly one Host")  # RFC 9112, 3.2: two readers could each take another one
    if not values and head.chunks:
        raise Invalid("missing required Host header")
    if head.authority:
        return head.authority.encode("latin-1")  # RFC 9112, 3.2.2: it replaces the header
    return values[0] if values else None


def _check_host(host: bytes, hosts: Collection[str]) -> None:
    name = _without_port(host.decode("latin-1").strip().lower())
    if name == "localhost" or name in hosts or (len(name) <= _LONGEST_ADDRESS and _is_address(name)):
        return
    right = ", ".join(["an IP address", "localhost", *sorted(hosts)])
    raise Denied(f"this server is not {ascii(name)[1:-1]!r}: Host must be {right}, or a name given by --allow-host")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name = host.rpartition(":")[0] if host.count(":") == 1 else host
    return name.removesuffix(".")


@lru_cache(maxsize=128)
def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _check_page(found: dict[bytes, list[bytes]], host: bytes | None, *, websocket: bool) -> None:
    for origin in found.get(b"origin", []):
        if websocket and origin == _AIODOCKERS:
            continue
        if host is None or origin.lower().partition(b"://")[2] != host.lower():
            raise Denied("refused a request from a web page: its Origin is not this server")
    if any(site.strip().lower() in _FOREIGN for site in found.get(b"sec-fetch-site", [])):
        raise Denied("refused a request from a web page of another site (Sec-Fetch-Site)")


def _check_expectation(value: bytes) -> None:
    if value and not expects_invitation(value):
        raise Invalid("invalid Expect: expected 100-continue", details={"status": 417})  # RFC 9110, 10.1.1


def expects_invitation(value: bytes) -> bool:
    """Return whether a client with this Expect waits with its body until it is asked for it."""
    return b"100-continue" in value.lower().replace(b",", b" ").split()


def bearer(head: Head) -> bytes | None:
    """Return the bearer token that a request presents (RFC 6750, 2.1); None if it presents none.

    Raises:
        Invalid: it presents several, or an empty one.
    """
    found: list[bytes] = []
    for name, value in head.headers:
        if name.lower() == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer":
                found.append(token.strip())
    if found and (len(found) > 1 or not found[0]):
        raise Invalid("a request that presents a bearer token in Authorization must present exactly one")
    return found[0] if found else None
