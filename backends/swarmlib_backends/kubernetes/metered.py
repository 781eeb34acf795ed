"""What containers use, as the cluster's metrics server measures it: for Pods without swarmlib's tools.

A metrics server measures every 15 s or less often, and tells how fast processors were used in that time. Between two
looks at it, the use is taken to go on as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import trio

from swarmlib import BadAnswer, NotFound, Unsupported

from ..dockerapi.nullable import dict_of, list_of
from ..enginekit.stats import NANO, Sample
from .api.resources import POD_METRICS
from .cluster import Cluster, pod_name
from .container import PodContainer
from .pods import names

_SECONDS: Final = 15
"""How long a measurement counts."""
_QUANTITY: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)(n|u|m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_UNITS: Final = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


async def measure(
    cluster: Cluster, container: PodContainer, now: Callable[[], float], give: Callable[[Sample], None]
) -> None:
    """Give a sample of what a container uses each second, until cancelled.

    Raises:
        Unsupported: the cluster does not measure its Pod. SwarmError: the cluster's error.
    """
    limit = int(container.host.get("Memory") or 0)
    sample = Sample(cpus=1)
    while True:
        cpus, memory = await _measured(cluster, container)
        for _ in range(_SECONDS):
            since = now() - sample.at if sample.at else 0.0
            sample = replace(
                sample,
                at=now(),
                total=sample.total + round(cpus * since * NANO),
                machine=sample.machine + round(since * NANO),
                memory={"usage": memory, "stats": {}, **({"limit": limit} if limit else {})},
            )
            give(sample)
            await trio.sleep(1)


async def _measured(cluster: Cluster, container: PodContainer) -> tuple[float, int]:
    """Return how many processors a container has used, and how many bytes of memory."""
    try:
        found: Any = await cluster.api.get(POD_METRICS.path(cluster.namespace, pod_name(container)))
    except NotFound as exc:
        why = "--tools never leaves them to the cluster's metrics server, which has none of its Pod (yet)"
        raise Unsupported(f"there are no stats of {container.name}: {why}") from exc
    own = (each for each in list_of(dict_of(found).get("containers")) if each.get("name") == names.MAIN)
    used = dict_of(next(own, dict_of(None)).get("usage"))
    return _quantity(used, "cpu"), round(_quantity(used, "memory"))


def _quantity(used: Mapping[str, Any], name: str) -> float:
    found = _QUANTITY.fullmatch(str(used.get(name, "")))
    if found is None:
        raise BadAnswer(f"the cluster gave a malformed measurement of {name}: {used.get(name)!r:.40}")
    return float(found[1]) * _UNITS.get(found[2], 1)
