"""When the engine of a machine is ready: a new machine installs Docker first, and one that is started boots."""

from __future__ import annotations

from typing import Final

import trio

from swarmlib import Client, SwarmError, TimedOut, Verb

READY_SECONDS: Final = 600.0
"""How long a machine may take from its start until its engine answers."""
_PAUSE: Final = 0.5


async def until_answers(engine: Client, machine: str) -> None:
    """Wait until an engine answers.

    Raises:
        TimedOut: it does not answer within `READY_SECONDS`; the message names the last failure.
    """
    failure: SwarmError | None = None
    with trio.move_on_after(READY_SECONDS):
        while True:
            try:
                await engine.call(Verb.GET, ("ping",))
            except SwarmError as exc:
                failure = exc
                await trio.sleep(_PAUSE)
            else:
                return
    why = failure.message if failure else "it said nothing"
    raise TimedOut(f"{machine}: its engine did not answer within {READY_SECONDS:g} s: {why}")
