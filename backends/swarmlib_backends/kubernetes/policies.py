"""The NetworkPolicies of isolated containers, as the cluster takes them."""

from __future__ import annotations

from swarmlib import Conflict

from .api.client import Api
from .api.errors import reason_of
from .api.resources import NETWORK_POLICIES
from .pods import walls
from .pods.options import PodOptions
from .pods.record import Record


async def put_policy(api: Api, record: Record, options: PodOptions) -> None:
    """Write the policy of a container, before or after it has a Pod; nothing for one in the network of its node.

    Raises:
        SwarmError: the cluster's error, such as Denied.
    """
    if not walls.labels(record):
        return
    policy = walls.policy(record, options)
    try:
        await api.post(NETWORK_POLICIES.path(options.namespace), policy)
    except Conflict as exc:
        if reason_of(exc) != "AlreadyExists":
            raise
        await api.put(NETWORK_POLICIES.path(options.namespace, policy["metadata"]["name"]), policy)
