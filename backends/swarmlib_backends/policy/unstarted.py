"""What becomes of a container whose start is denied: as with an engine that can't start it, one with `--rm` is removed.

`docker run --rm` waits for the removal, whatever becomes of the start, and hands Ctrl-C on to the container.
"""

from __future__ import annotations

import logging
from typing import Final

import trio

from swarmlib import CLEANUP_SECONDS, Request, Sender, SwarmError, Verb
from swarmlib.asking import call

from .inspected import described, inside

OPERATION: Final = "ContainerStart"
_log = logging.getLogger(__name__)


async def remove_unstarted(start: Request, engine: Sender, policy: Sender) -> None:
    """Remove the container of a start that is denied if it has `AutoRemove` and has never run.

    policy: judges the removal, which is the client's own call: a client that may not remove a container can't have it
        removed by a start either.
    """
    kind, id = start.path[:2]
    with trio.move_on_after(CLEANUP_SECONDS):  # it may be held for approval
        try:
            found = await described(kind, id, start, engine)
            if inside(found, "HostConfig", "AutoRemove") and inside(found, "State", "Status") == "created":
                removal = Request(Verb.RM, (kind, str(found["Id"])), {"v": "1"}, meta=start.meta.of_caller())
                await call(policy, removal)
        except SwarmError as exc:
            _log.info("policy: %s, whose start is denied, is not removed: %s", id, exc.message)
