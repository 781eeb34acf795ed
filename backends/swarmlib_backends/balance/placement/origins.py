"""The origins of containers: a container recreated from an inspection goes back to the engine of the original.

Tools that update containers (Watchtower, Portainer, Compose) inspect one, remove or rename it, and recreate it under
its name from the inspection. Such a body tells its origin in several ways, which `told` reads; the index (`Departed`)
remembers which containers and Compose projects have left their nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ...dockerapi.nullable import dict_of, list_of
from ..departed import Ref
from ..index import Index
from ..node import Node

REPLACES: Final = "com.docker.compose.replace"
"""The label by which Compose says which container a new one replaces."""
_SHORT_ID: Final = re.compile(r"[0-9a-f]{12}")


def told(name: str, body: Mapping[str, Any], node: str) -> Iterator[Ref]:
    """Yield the references in a create to where its container was, the most explicit one first.

    body: in canonical form. node: the engine that its label names.
    """
    described: Any = body.get("Node")
    labels = dict_of(body.get("Labels"))
    endpoints = dict_of(dict_of(body.get("NetworkingConfig")).get("EndpointsConfig"))
    if named := node or str((dict_of(described).get("Name") if isinstance(described, dict) else described) or ""):
        yield "nodes", named
    yield from (("networks", str(id)) for each in endpoints.values() if (id := dict_of(each).get("NetworkID")))
    if replaced := labels.get(REPLACES):
        yield "containers", str(replaced)
    if _SHORT_ID.fullmatch(hostname := str(body.get("Hostname") or "")):  # an engine's default: the beginning of the id
        yield "containers", hostname
    if name:
        yield "names", name


def home(refs: Sequence[Ref], nodes: Sequence[Node], index: Index) -> Node | None:
    """Return the node of the first ref that identifies exactly one node; None if none does."""
    for kind, ref in refs:
        found = _holders(kind, ref, nodes, index)
        if len(found) == 1:
            return found.pop()
    return None


def _holders(kind: str, ref: str, nodes: Sequence[Node], index: Index) -> set[Node]:
    if kind == "nodes":
        return {node for node in nodes if node.name == ref}
    found = {item.node for item in index.find(kind, ref)}
    return found or index.departed.holders(kind, ref) & set(nodes)


def of_host(host: Mapping[str, Any]) -> str:
    """Return the first path or device of the host in a `HostConfig`; "" for none."""
    for each in list_of(host.get("Binds")):
        if is_path(source := str(each).partition(":")[0]):
            return source
    for mount in map(dict_of, list_of(host.get("Mounts"))):
        if mount.get("Type") == "bind":
            return str(mount.get("Source"))
    for device in map(dict_of, list_of(host.get("Devices"))):
        return str(device.get("PathOnHost"))
    return "devices" if list_of(host.get("DeviceRequests")) else ""


def is_path(source: str) -> bool:
    """Return whether a bind's source is a path of the host, and not a volume's name."""
    return source[:1] in ("/", "~", ".")
