"""The start of a Pod's containers by the events of its kubelet, which come up to a second before the Pod's status.

A kubelet looks once a second at what runs, and then writes the status. What waits at the gate of a container begins as
soon as the container has started, so that the status of a short run tells its end when it would have told its start.
"""

from __future__ import annotations

import logging
from typing import Any

import trio

from swarmlib import Denied, SwarmError

from ..dockerapi.nullable import dict_of
from .api.resources import EVENTS
from .api.watch import watch
from .cluster import Cluster
from .container import PodContainer
from .pods import names, status

_log = logging.getLogger(__name__)


async def told(cluster: Cluster, container: PodContainer) -> None:
    """Return when events tell that Docker's container of a Pod has started, and the one for its stderr.

    This never returns where no events come: the account may not follow them, or the cluster drops them.
    """
    await container.until(lambda each: each.pod is not None)
    pod: dict[str, Any] = container.pod or {}
    needed = {_path(names.MAIN), *({_path(names.STDERR)} if status.has_stderr(pod) else ())}
    fields = f"involvedObject.uid={container.pod_uid},reason=Started"
    try:
        async with watch(cluster.api, EVENTS, cluster.namespace, fields=fields) as changes:
            async for change in changes:
                needed.discard(str(dict_of(change.object.get("involvedObject")).get("fieldPath")))
                if not needed:
                    return
    except SwarmError as exc:
        if not isinstance(exc, Denied):
            _log.warning("kubernetes: can't follow the events of %s: %s; its status is waited for", container.name, exc)
    await trio.sleep_forever()


def _path(name: str) -> str:
    return f"spec.containers{{{name}}}"
