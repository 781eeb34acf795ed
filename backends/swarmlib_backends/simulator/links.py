"""Links between containers: the names that they give, and what a container is told of those that it is linked to.

On the default bridge a link is a name of the other container, lines in /etc/hosts and variables. In a network that was
made it is a name that the name service of the network gives to one container only.
"""

from __future__ import annotations

from swarmlib import NotFound

from ..dockerapi.nullable import list_of
from ..dockerapi.status import refusal
from ..enginekit import links
from ..enginekit.links import conflict, link_of
from .container import Container
from .context import Context


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
        bridge = other.networks.get("bridge")
        found |= links.variables(container.name, alias, other.config, bridge.address if bridge is not None else "")
    return found
