"""Links between containers, as creations and connections ask for them, and what they tell a container by variables."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal

_NOT_TOLD: Final = ("HOME", "PATH")
"""Variables of a linked container that every one has."""


def link_of(text: str) -> tuple[str, str]:
    """Return the container and the alias of `container:alias`, or of `/container:/parent/alias` as in inspections.

    Raises:
        SwarmError: it is no link.
    """
    name, *rest = text.split(":")
    if not text or len(rest) > 1:
        raise refusal(500, f"bad format for links: {text}" if text else "empty string specified for links")
    if not rest:
        return text, text
    return (name[1:], posixpath.basename(rest[0])) if name.startswith("/") else (name, rest[0])


def conflict(what: str) -> Exception:
    """Return what is said of links where there can't be any."""
    text = f"conflicting options: {what} can't be used with links. This would result in undefined behavior"
    return refusal(400, text)


def variables(parent: str, alias: str, config: Mapping[str, Any], address: str) -> dict[str, str]:
    """Return the variables that a link on the default bridge makes.

    parent: the name of the container that has the link. config, address: the other one's; "" if it has none there.
    """
    prefix = alias.upper().replace("-", "_")
    found = _of_ports(prefix, address, dict_of(config.get("ExposedPorts"))) if address else {}
    found[f"{prefix}_NAME"] = f"/{parent}/{alias}"
    entries = (entry.partition("=") for entry in list_of(config.get("Env")))
    return found | {
        f"{prefix}_ENV_{name}": value for name, is_set, value in entries if is_set and name not in _NOT_TOLD
    }


def _of_ports(prefix: str, address: str, exposed: Mapping[str, Any]) -> dict[str, str]:
    ports = sorted(_numbered(exposed), key=lambda port: (port[0], port[1] != "tcp", port[1]))
    found: dict[str, str] = {}
    for number, protocol in ports:
        url, name = f"{protocol}://{address}:{number}", f"{prefix}_PORT_{number}_{protocol.upper()}"
        found.setdefault(f"{prefix}_PORT", url)
        found |= {name: url, f"{name}_ADDR": address, f"{name}_PORT": str(number), f"{name}_PROTO": protocol}
    for (first, protocol), (last, other) in _ranges(ports):
        start, end = (f"{prefix}_PORT_{first}_{each.upper()}" for each in (protocol, other))
        found |= {f"{start}_START": f"{protocol}://{address}:{first}", f"{start}_PORT_START": str(first)}
        found |= {f"{end}_END": f"{other}://{address}:{last}", f"{end}_PORT_END": str(last)}
    return found


def _ranges(ports: Sequence[tuple[int, str]]) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
    """Yield the first and the last of each three or more ports in a row, whose protocols an engine does not look at.

    Source: moby's daemon/links/links.go, `nextContiguous`.
    """
    at = 0
    while at < len(ports):
        steps = enumerate(ports[at:])
        end = next((at + n for n, (number, _) in steps if number > ports[at][0] + n), len(ports)) - 1
        if end > at + 1:
            yield ports[at], ports[end]
            at = end
        at += 1


def _numbered(exposed: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    for port in exposed:
        number, _, protocol = port.partition("/")
        if number.isascii() and number.isdigit():
            yield int(number), protocol or "tcp"
