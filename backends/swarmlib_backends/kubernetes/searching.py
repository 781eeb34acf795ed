"""Containers that come into a network while they run, or leave one: they search other names from then on."""

from __future__ import annotations

from . import tools
from .cluster import Cluster
from .container import PodContainer
from .pods import search, status


async def follow(cluster: Cluster, container: PodContainer) -> None:
    """Have a container search the names of the networks that it is in now, if its Pod can be told.

    A container without a Pod will, once it has one; so does one whose Pod is about to run, which is waited for.

    Raises:
        SwarmError: the container can't be told.
    """
    await container.until(lambda each: each.pod is None or status.is_usable(each.pod) or status.is_over(each.pod))
    if container.removed.is_set() or container.pod is None or not search.can_change(container.pod):
        return
    words = search.command(search.domains(container.record, cluster.options))
    await tools.check_run(cluster, container, words, "a change of its networks")
