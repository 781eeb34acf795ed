"""What swarmlib's script of health checks does (`pods/health.sh`), in a Pod of the fake cluster: see there."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace

import trio

from ...enginekit.pipe import Pipe
from ...simulator.files import file
from ...simulator.process import Run, Sink


async def check_health(run: Run, words: list[str]) -> int:
    """Check the health of a container, and tell of it, until the input ends. words: what the script is given."""
    folder, main, poll, interval, early, period, timeout, retries, *command = words
    checks = _Checks(run, folder, main, poll, interval, early, period, timeout, retries, command)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checks.follow, nursery)
        async for _ in run.stdin:
            pass
        nursery.cancel_scope.cancel()
    return 0


@dataclass(eq=False)
class _Checks:
    """One command's part of the checks."""

    run: Run
    folder: str
    main: str
    poll: str
    interval: str
    early: str
    period: str
    timeout: str
    retries: str
    command: list[str]
    status: str = "starting"
    failing: int = 0
    log: tuple[str, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether the container's process runs; the Pod's first one does."""
        return self.main == "1" or any(str(each.pid) == self.main and each.code is None for each in self.run.beside())

    def _read(self, name: str) -> str:
        node = self.run.files.get(f"{self.folder}/{name}")
        return node.data.decode().strip() if node else ""

    def _write(self, name: str, text: str) -> None:
        self.run.files.put(f"{self.folder}/{name}", file(f"{text}\n".encode(), self.run.process.clock.now()))

    async def follow(self, nursery: trio.Nursery) -> None:
        """Tell each new state."""
        seen = ""
        while not self.alive:
            self.main = self._read("pid")
            await self.run.sleep(0.05)
        while self.alive:
            if not self._read(f"health.{self.main}"):
                self._write(f"health.{self.main}", "held")
                nursery.start_soon(self._probe)
            now, _, state = self._read("health").partition("\n")
            if now != seen and now.split(" ")[0] == self.main:
                seen = now
                await self.run.say(f"{state}\n")
            await self.run.sleep(float(self.poll))

    async def _probe(self) -> None:
        clock = self.run.process.clock
        began, number = clock.now(), 0
        try:
            while self.alive:
                number += 1
                self._write("health", f"{self.main} {number}\n{' '.join((self.status, str(self.failing), *self.log))}")
                early = self.status == "starting" and clock.now() - began < int(self.period) / 100
                await self.run.sleep(float(self.early if early else self.interval))
                await self._check(began)
        finally:
            self.run.files.remove(f"{self.folder}/health.{self.main}")

    async def _check(self, began: float) -> None:
        clock, output, stdin = self.run.process.clock, bytearray(), Pipe()
        stdin.end()
        at = clock.now()

        async def write(data: bytes) -> None:
            output.extend(data)
            await trio.lowlevel.checkpoint()

        program, code = self.run.program(self.command[0]), "127"
        with clock.until(at + int(self.timeout) / 100) as late:
            if program is not None:
                given = replace(self.run, args=self.command, stdin=stdin, stdout=Sink(write), stderr=Sink(write))
                code = str(await program(given))
        code = "late" if late.cancelled_caught else code
        if code == "0":
            self.status, self.failing = "healthy", 0
        elif self.status != "starting" or at - began >= int(self.period) / 100:
            self.failing += 1
            self.status = "unhealthy" if self.failing >= int(self.retries) else self.status
        text = base64.b64encode(bytes(output)).decode()
        self.log = (*self.log, f"{int(at * 100)}:{int(clock.now() * 100)}:{code}:{text}")[-5:]
