"""Work that goes on when the client that asked for it has gone, as the stop of a container does on an engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import trio

from swarmlib import SwarmError, Unavailable
from swarmlib.supervision import supervised


@dataclass(frozen=True)
class Finisher:
    """Does such work in tasks of the nursery. `backend` names it in logs."""

    backend: str
    nursery: trio.Nursery

    async def finish(self, what: str, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Do `work(*args)`, and wait for its end. A caller that is cancelled leaves it going on.

        what: names it in the log, which tells a failure once the caller has gone.

        Raises:
            Unavailable: the backend closes before the end. Exception: what the work raises.
        """
        over, waited_for = trio.Event(), True
        failures: list[Exception] = [Unavailable(f"{what} was broken off: {self.backend} is closing")]

        async def run() -> None:
            try:
                await work(*args)
                failures.clear()
            except Exception as exc:  # whoever waits gets it, or else the log
                if not waited_for:
                    raise
                failures[:] = [exc]
            finally:
                over.set()

        self.nursery.start_soon(lambda: supervised(f"{self.backend}: {what}", run, expected=(SwarmError,)))
        try:
            await over.wait()
        finally:
            waited_for = False
        if failures:
            raise failures[0]
