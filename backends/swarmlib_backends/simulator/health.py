"""The health of containers: a probe runs in them again and again, on the engine's clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio

from swarmlib import SwarmError

from ..dockerapi.nullable import dict_of, list_of
from ..enginekit.health import Probe
from .container import Container, Exec, Health
from .engine import Engine
from .processes import Processes

_NANO: Final = 1e9
_SECONDS: Final = 30.0
"""The interval and the timeout of a probe that has none of its own."""
_RETRIES: Final = 3
_KEPT: Final = 5
_MAX_OUTPUT: Final = 4096


@dataclass(frozen=True)
class Plan:
    """What is probed, and how often; in seconds."""

    command: list[str]
    interval: float
    timeout: float
    start_period: float
    retries: int


@dataclass(frozen=True)
class Prober:
    """Probes the containers of an engine, by processes in them."""

    engine: Engine
    processes: Processes

    def probe_of(self, container: Container) -> Plan | None:
        """Return how a container is probed; None if it isn't."""
        asked = dict_of(container.config.get("Healthcheck"))
        kind, *words = list_of(asked.get("Test")) or ["NONE"]
        if kind == "NONE":
            return None
        return Plan(
            words or [""] if kind == "CMD" else ["/bin/sh", "-c", *words],
            _seconds(asked, "Interval"),
            _seconds(asked, "Timeout"),
            int(asked.get("StartPeriod") or 0) / _NANO,
            int(asked.get("Retries") or _RETRIES),
        )

    async def run(self, container: Container, life: trio.CancelScope, plan: Plan) -> None:
        """Probe a container until its run ends."""
        with life:
            while True:
                await self.engine.clock.sleep(plan.interval)
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
            return Probe(began, engine.clock.now(), -1, f"Health check exceeded timeout ({plan.timeout:g}s)")
        output = b"".join(piece.data for piece in each.output.pieces())[:_MAX_OUTPUT]
        return Probe(began, engine.clock.now(), each.code or 0, output.decode("utf-8", "replace"))

    def _take(self, container: Container, health: Health, plan: Plan, probe: Probe) -> None:
        health.log = [*health.log, probe][-_KEPT:]
        before = health.status
        if probe.exit_code == 0:
            health.status, health.failing = "healthy", 0
        elif before != "starting" or probe.start - container.started >= plan.start_period:
            health.failing += 1
            if health.failing >= plan.retries:
                health.status = "unhealthy"
        if health.status != before:
            self.engine.changed(container)
            self.engine.tell(container, f"health_status: {health.status}")


def _seconds(asked: dict[str, int], name: str) -> float:
    return int(asked.get(name) or 0) / _NANO or _SECONDS
