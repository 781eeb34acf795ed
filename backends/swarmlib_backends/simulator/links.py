"""Links between containers: the names that they give, and what a container is told of those that it is linked to.

On the default bridge a link is a name of the other container, lines in /etc/hosts and variables. In a network that was
made it is a name that the name service of the network gives to one container only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Final

from swarmlib import NotFound

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal
from ..enginekit.links import link_of
from .container import Container
from .context import Context

_NOT_TOLD: Final = ("HOME", "PATH")
"""Variables of a linked container that every one has."""


def make_links(container: Container, context: Context) -> None:
    """Link a new container to those that it asks for; on a network that was made, `Links` of the host say nothing.

    Raises:
        SwarmError: there is no such container, or none of them can be linked to.
    """
    asked, mode = list_of(container.host["Links"]), container.host["NetworkMode"]
    container.host["Links"] = None  # an inspection shows those that there are
    if mode not in ("default", "bridge"):
        return
    for name, alias in map(link_of, asked):
        try:
            other = context.find(name)
        except NotFound as exc:
            raise refusal(400, f"could not get container for {name}: {exc.message}") from exc
        if other.host["NetworkMode"] == "host":
            raise conflict("host type networking")
        if alias not in container.links:
            container.links[alias] = other
            other.linked_by.append((container, alias))
            context.changed(other)


def conflict(what: str) -> Exception:
    """Return what is said of links where there can't be any."""
    text = f"conflicting options: {what} can't be used with links. This would result in undefined behavior"
    return refusal(400, text)


def unlink(container: Container, alias: str, context: Context) -> None:
    """Take back a name that a container gives another one."""
    other = container.links.pop(alias)
    other.linked_by.remove((container, alias))
    context.changed(other)


def names_of(container: Container) -> list[str]:
    """Return all names of a container, each with the slash before it."""
    return [f"/{container.name}", *sorted(f"/{parent.name}/{alias}" for parent, alias in container.linked_by)]


def shown(container: Container) -> list[str] | None:
    """Return the links of a container as its inspection has them."""
    return [f"/{other.name}:/{container.name}/{alias}" for alias, other in container.links.items()] or None


def check_links(container: Container) -> None:
    """Raise what is said at the start of a container that is linked to one which it can't reach."""
    for alias, other in container.links.items():
        if not other.running:
            raise refusal(500, f"Cannot link to a non running container: /{other.name} AS /{container.name}/{alias}")
        if "bridge" not in other.networks:
            raise refusal(500, f"container {other.id} not attached to default bridge network")


def host_lines(container: Container) -> list[str]:
    """Return the lines of /etc/hosts that links make."""
    return [
        f"{other.networks['bridge'].address}\t{' '.join(dict.fromkeys((alias, other.config['Hostname'], other.name)))}"
        for alias, other in container.links.items()
        if "bridge" in other.networks
    ]


def variables(container: Container) -> dict[str, str]:
    """Return the variables that links make."""
    found: dict[str, str] = {}
    for alias, other in container.links.items():
        prefix = alias.upper().replace("-", "_")
        if (bridge := other.networks.get("bridge")) is not None:
            found |= _of_ports(prefix, bridge.address, dict_of(other.config.get("ExposedPorts")))
        found[f"{prefix}_NAME"] = f"/{container.name}/{alias}"
        entries = (entry.partition("=") for entry in list_of(other.config.get("Env")))
        found |= {f"{prefix}_ENV_{name}": value for name, is_set, value in entries if is_set and name not in _NOT_TOLD}
    return found


def _of_ports(prefix: str, address: str, exposed: Mapping[str, Any]) -> dict[str, str]:
    ports = sorted(_numbered(exposed), key=lambda port: (port[1] != "tcp", port[0], port[1]))
    found: dict[str, str] = {}
    for number, protocol in ports:
        url, name = f"{protocol}://{address}:{number}", f"{prefix}_PORT_{number}_{protocol.upper()}"
        found.setdefault(f"{prefix}_PORT", url)
        found |= {name: url, f"{name}_ADDR": address, f"{name}_PORT": str(number), f"{name}_PROTO": protocol}
    for _, group in groupby(enumerate(ports), key=lambda each: (each[1][1], each[1][0] - each[0])):
        (first, protocol), *_, (last, _) = [port for _, port in group] * 2
        if first != last:
            name, url = f"{prefix}_PORT_{first}_{protocol.upper()}", f"{protocol}://{address}"
            found |= {f"{name}_START": f"{url}:{first}", f"{name}_PORT_START": str(first)}
            found |= {f"{name}_END": f"{url}:{last}", f"{name}_PORT_END": str(last)}
    return found


def _numbered(exposed: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    for port in exposed:
        number, _, protocol = port.partition("/")
        if number.isascii() and number.isdigit():
            yield int(number), protocol or "tcp"
