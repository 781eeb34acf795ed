"""The objects of all tenants on an engine, listed."""

from __future__ import annotations

from collections.abc import Mapping

from swarmlib import Request, Sender, Verb
from swarmlib.asking import call

from ..dockerapi.filters import encode
from . import amounts
from .ledger import Ref
from .names import LABEL


async def owned(sender: Sender, label: str = LABEL) -> Mapping[Ref, str]:
    """List the objects of tenants, each with its tenant.

    label: the filter for those that have labels.

    Raises:
        SwarmError: the engine does not answer, or gives a malformed answer.
    """
    found: dict[Ref, str] = {}
    for kind in ("containers", "networks", "volumes"):
        params = {"filters": encode({"label": [label]})} | ({"all": "1"} if kind == "containers" else {})
        value = (await call(sender, Request(Verb.LS, (kind,), params))).value
        found.update({(kind, id): owner for id, owner in amounts.listed(kind, value) if owner is not None})
    value = (await call(sender, Request(Verb.LS, ("images",)))).value
    images = (*amounts.tags(value), *amounts.nameless(value))
    return {**found, **{("images", ref): owner for ref, owner in images}}
