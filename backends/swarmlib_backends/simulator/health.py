"""The health of containers: a probe runs in them again and again, on the engine's clock."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from swarmlib import SwarmError

from ..enginekit.health import KEPT, MOST_OUTPUT, Plan, Probe, after, timed_out
from .container import Container, Exec, Health
from .engine import Engine
from .processes import Processes


@dataclass(frozen=True)
class Prober:
    """Probes the containers of an engine, by processes in them."""

    engine: Engine
    processes: Processes

    async def run(self, container: Container, life: trio.CancelScope, plan: Plan) -> None:
        """Probe a container until its run ends."""
        with life:
            while True:
                status = container.health.status if container.health else ""
                await self.engine.clock.sleep(plan.pause(status, self.engine.clock.now() - container.started))
                if not container.paused and container.health is not None:
                    self._take(container, container.health, plan, await self._probe(container, plan))

    async def _probe(self, container: Container, plan: Plan) -> Probe:
        engine = self.engine
        began = engine.clock.now()
        config = {"Cmd": plan.command, "AttachStdout": True, "AttachStderr": True}
        each = Exec(engine.names.id(), container, config)
        engine.tell(container, f"exec_create: {each.shown}", execID=each.id)
        try:
            program = self.processes.begin_exec(each)
        except SwarmError as exc:
            return Probe(began, engine.clock.now(), -1, exc.message)
        with engine.clock.until(began + plan.timeout) as scope:
            await self.processes.run_exec(each, program)
        if scope.cancelled_caught:
            return Probe(began, engine.clock.now(), -1, timed_out(plan))
        output = b"".join(piece.data for piece in each.output.pieces())[:MOST_OUTPUT]
        return Probe(began, engine.clock.now(), each.code or 0, output.decode("utf-8", "replace"))

    def _take(self, container: Container, health: Health, plan: Plan, probe: Probe) -> None:
        health.log = [*health.log, probe][-KEPT:]
        before = health.status
        health.status, health.failing = after(health, plan, probe, container.started)
        if health.status != before:
            self.engine.changed(container)
            self.engine.tell(container, f"health_status: {health.status}")
