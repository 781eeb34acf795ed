"""Networks that span the nodes of a swarm, in place of those that one engine would have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from swarmlib import Unsupported

from ..dockerapi.nullable import dict_of
from .index import Index
from .placement.request import PlacementRequest
from .swarm_mode import SCOPE

_USUAL: Final = frozenset({"", "default", "bridge"})
"""The drivers that clients name if their users name none."""
_LOCAL: Final = ("ConfigFrom", "ConfigOnly", "Ingress")
"""Fields of networks that are meant to be what they are."""
_BRIDGES: Final = "com.docker.network.bridge."


def spanning(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of a network's creation, as that of an attachable overlay if it asks for no kind of network.

    Raises:
        Unsupported: it has options of bridges, which an overlay can't have.
    """
    asked = str(body.get("Driver") or "")
    if asked not in _USUAL or body.get("Scope") not in (None, "", SCOPE) or any(map(body.get, _LOCAL)):
        return body
    for name in dict_of(body.get("Options")):
        if name.startswith(_BRIDGES):
            raise Unsupported(f"an overlay network can't have Options.{name}, and swarm --overlay creates overlays")
    return {**body, "Driver": "overlay", "Attachable": True}


def may_spread(request: PlacementRequest, index: Index) -> bool:
    """Return whether a container need not be with the rest of its group: a network of its own spans the nodes."""
    used = [index.find(kind, ref) for kind, ref in request.beside if kind == "networks"]
    return any(item.shared for items in used for item in items)
