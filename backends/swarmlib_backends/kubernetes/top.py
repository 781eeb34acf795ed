"""The processes of containers in a cluster, as the tools in the Pod list them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from swarmlib import BadAnswer, Request, Unsupported

from ..dockerapi.operations import ContainerTop
from ..enginekit.events import Events
from ..enginekit.operations import answers, ref_of
from ..enginekit.refusals import check_not_restarting, check_running
from . import tools
from .cluster import Cluster
from .pods.shim import BUSYBOX

_TITLES: Final = ("UID", "PID", "PPID", "TTY", "CMD")
"""What an engine's `ps -ef` shows, as far as the tools know it."""
_PS: Final = (BUSYBOX, "ps", "-o", "user,pid,ppid,tty,args")
_PAUSE: Final = "1"
"""The first process of a Pod, which is none of the container's."""


@dataclass(frozen=True)
class Top:
    """Answers what is asked of the processes in containers."""

    cluster: Cluster
    events: Events

    @answers("ContainerTop")
    async def _top(self, request: Request) -> dict[str, Any]:
        container = self.cluster.mirror.containers.find(ref_of(request))
        if ContainerTop.of(request).ps_args != "-ef":
            raise Unsupported("top takes no ps options in a cluster")
        check_running(container)
        check_not_restarting(container)
        output = await tools.check_run(self.cluster, container, _PS, "top")
        rows = [line.split(None, 4) for line in output.decode("utf-8", "replace").splitlines()[1:]]
        if any(len(row) != len(_TITLES) for row in rows):
            raise BadAnswer(f"the processes of {container.name} can't be read: {output!r:.200}")
        self.events.tell_container(container, "top")
        found = [row for row in rows if row[1] != _PAUSE and not row[4].startswith(f"{BUSYBOX} ")]  # not our own
        return {"Titles": list(_TITLES), "Processes": found}
