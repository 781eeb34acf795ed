"""Networks that are walls (`--isolate`): what a Pod lets in, by the networks that its container is connected to.

Each Pod has a label for each of its networks, and a NetworkPolicy of its own, which the record of its container owns.
The policy lets in the Pods that share a network with it, and everybody at the ports that are published.
"""

from __future__ import annotations

from typing import Any, Final

from . import names
from .connections import connections
from .options import PodOptions
from .publishing import published
from .record import Record

KIND: Final = "isolation"
"""The kind (`names.KIND`) of the NetworkPolicies."""
ISOLATED: Final = f"{names.PREFIX}isolated"
"""The label of a Pod that has a policy."""
_OF_NETWORK: Final = f"{names.PREFIX}n-"
_UNWALLED: Final = ("host", "none")


def labels(record: Record) -> dict[str, str]:
    """Return the labels by which the Pod of an isolated container says its networks; none for one in its node's."""
    joined = connections(record)
    if "host" in joined:
        return {}
    return {ISOLATED: "", **{_label(each): "" for each in joined if each not in _UNWALLED}}


def is_label(name: str) -> bool:
    """Return whether a label of a Pod is one of those that `labels` returns."""
    return name == ISOLATED or name.startswith(_OF_NETWORK)


def policy(record: Record, options: PodOptions) -> dict[str, Any]:
    """Return the NetworkPolicy of a container that has `labels`."""
    joined = [name for name in labels(record) if name != ISOLATED]
    neighbours = [{"podSelector": {"matchLabels": {each: ""}}} for each in joined]
    rules: list[dict[str, Any]] = [{"from": neighbours}] if neighbours else []  # an empty list would let in all
    if options.ports != "forward" and (ports := published(record)):
        rules.append({"ports": [{"port": number, "protocol": protocol.upper()} for number, protocol in ports]})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": names.record_name(record.id),
            "labels": names.own_labels(KIND, record.id),
            "ownerReferences": [names.owner_reference(names.record_name(record.id), record.uid)],
        },
        "spec": {
            "podSelector": {"matchLabels": {names.CONTAINER: names.short(record.id)}},
            "policyTypes": ["Ingress"],
            "ingress": rules,
        },
    }


def _label(network: str) -> str:
    return f"{names.PREFIX}{names.network_name(network)}"
