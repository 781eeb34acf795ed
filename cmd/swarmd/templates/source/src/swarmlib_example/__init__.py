"""The backend `example`: restarts workloads that have ended."""

import logging
from dataclasses import dataclass

import trio
from swarmlib import Client, Invalid, Source, SwarmError, option
from swarmlib.quantities import Duration

__all__ = ["Example"]

_log = logging.getLogger("swarmlib.example")


@dataclass
class Example(Source):
    """Restarts workloads that have ended."""

    interval: Duration = option("time between two checks", default=5.0)

    def check_options(self) -> None:
        """Check what the options' types do not say."""
        if self.interval <= 0:
            raise Invalid(f"invalid interval {self.interval:g}: expected more than 0 seconds")

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Check the workloads at each interval until the chain closes."""
        task_status.started()
        swarm = Client(self.next)
        while True:
            try:
                await self._restart(swarm)
            except SwarmError as exc:
                _log.warning("example: %s", exc)  # the next stage may be down for a while
            await trio.sleep(self.interval)

    async def _restart(self, swarm: Client) -> None:
        for workload in await swarm.ls(all="1"):
            if workload["State"] == "exited":
                await swarm.start("containers", workload["Id"])
