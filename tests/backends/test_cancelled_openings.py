"""Whoever gives up while a chain opens (a signal that comes during the start) does not wait for it."""

from itertools import count
from pathlib import Path

import pytest
import trio

from swarmlib import Chain
from swarmlib_backends.observe.observation import Observation

STAGES = [
    "dockerserver unix://{folder}/a.sock | simulator",
    "listen unix://{folder}/a.sock | simulator",
    "remote unix://{folder}/nobody.sock",
    "docker unix://{folder}/nobody.sock",
    "metrics unix://{folder}/a.sock | simulator",
    "web unix://{folder}/a.sock | simulator",
    "audit {folder}/log | simulator",
    "record {folder}/recording | simulator",
    "balance (simulator) (docker unix://{folder}/nobody.sock)",
    "tee (simulator) | simulator",
    "aggregate (simulator)",
    "exec",
]


class CancelAt(trio.abc.Instrument):
    """Cancels a scope when the tasks of this process have gone on a number of times."""

    def __init__(self, scope: trio.CancelScope, steps: int) -> None:
        self._scope = scope
        self._steps = steps

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._steps -= 1
        if self._steps == 0:
            self._scope.cancel()


async def opens_before(steps: int, chain: Chain) -> bool:
    """Open and close a chain, and cancel that at one step of it; gives whether it was open by then."""
    opened = False
    with trio.CancelScope() as scope:
        instrument = CancelAt(scope, steps)
        trio.lowlevel.add_instrument(instrument)
        try:
            async with chain.open(observer=Observation().root):
                opened = True
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return opened


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", STAGES, ids=lambda text: text.split()[0])
async def test_an_opening_that_is_cancelled_at_any_moment_ends(text: str, tmp_path: Path) -> None:
    for steps in count(1):
        folder = tmp_path / str(steps)
        folder.mkdir()
        if await opens_before(steps, Chain(text.format(folder=folder))):
            return
