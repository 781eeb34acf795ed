"""Where containers were: what is made anew from a container's inspection goes back to that container's engine.

Tools that update containers (Watchtower, Portainer, Compose) inspect one, remove or rename it, and make it anew under
its name, with what the inspection says. A body made so tells its origin in several ways, which `told` reads; which
containers and Compose projects have left their engines is remembered here, in memory alone.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..dockerapi.nulls import fields, items

if TYPE_CHECKING:
    from .index import Index, Item
    from .members import Member

REPLACES: Final = "com.docker.compose.replace"
"""The label by which Compose says which container a new one stands in for."""
_REMEMBERED: Final = 10_000
"""Names, projects and beginnings of ids that are remembered."""
_SHORT: Final = 12
_SHORT_ID: Final = re.compile(f"[0-9a-f]{{{_SHORT}}}")

Ref: TypeAlias = tuple[str, str]
"""`nodes` and an engine's name, `networks` or `containers` and an id, `names` and a container's name, or `groups` and
what its parts belong with.
"""


class Departed:
    """The engines that containers were on which have been removed or renamed, and groups whose parts have left."""

    def __init__(self) -> None:
        self._members: OrderedDict[Ref, Member] = OrderedDict()

    def note_names(self, item: Item) -> None:
        """Remember where a container was that is losing its names."""
        for name in item.names:
            self._note(("names", name), item.member)
        self._note(("containers", item.id[:_SHORT]), item.member)

    def note_group(self, item: Item) -> None:
        """Remember where an object was that is leaving its group."""
        self._note(("groups", item.group), item.member)

    def _note(self, ref: Ref, member: Member) -> None:
        self._members[ref] = member
        self._members.move_to_end(ref)
        if len(self._members) > _REMEMBERED:
            self._members.popitem(last=False)

    def holders(self, kind: str, ref: str) -> set[Member]:
        """The engine that last had the container or group; empty where that is forgotten."""
        member = self._members.get((kind, ref[:_SHORT] if kind == "containers" else ref))
        return set() if member is None else {member}


def told(name: str, body: Mapping[str, Any], node: str) -> Iterator[Ref]:
    """What a create says of where its container was; what says it most plainly comes first.

    body: in canonical form. node: what it says of its engine by a label.
    """
    described: Any = body.get("Node")
    labels = fields(body.get("Labels"))
    endpoints = fields(fields(body.get("NetworkingConfig")).get("EndpointsConfig"))
    if named := node or str((fields(described).get("Name") if isinstance(described, dict) else described) or ""):
        yield "nodes", named
    yield from (("networks", str(id)) for each in endpoints.values() if (id := fields(each).get("NetworkID")))
    if replaced := labels.get(REPLACES):
        yield "containers", str(replaced)
    if _SHORT_ID.fullmatch(hostname := str(body.get("Hostname") or "")):  # an engine's default: its id's beginning
        yield "containers", hostname
    if name:
        yield "names", name


def home(refs: Sequence[Ref], members: Sequence[Member], index: Index) -> Member | None:
    """The engine that refs speak of, by the first of them that means exactly one; None where none does."""
    for kind, ref in refs:
        found = _holders(kind, ref, members, index)
        if len(found) == 1:
            return found.pop()
    return None


def _holders(kind: str, ref: str, members: Sequence[Member], index: Index) -> set[Member]:
    if kind == "nodes":
        return {member for member in members if member.name == ref}
    found = {item.member for item in index.find(kind, ref)}
    return found or index.departed.holders(kind, ref) & set(members)


def of_host(host: Mapping[str, Any]) -> str:
    """The first thing in a `HostConfig` that is the engine's machine's own: a path or a device; "" for none."""
    for each in items(host.get("Binds")):
        if is_path(source := str(each).partition(":")[0]):
            return source
    for mount in map(fields, items(host.get("Mounts"))):
        if mount.get("Type") == "bind":
            return str(mount.get("Source"))
    for device in map(fields, items(host.get("Devices"))):
        return str(device.get("PathOnHost"))
    return "devices" if items(host.get("DeviceRequests")) else ""


def is_path(source: str) -> bool:
    """Whether a bind's source is a path of the host, and not a volume's name."""
    return source[:1] in ("/", "~", ".")
