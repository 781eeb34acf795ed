"""How a client waits for the end of a workload."""

from __future__ import annotations

from swarmlib import ReplySender

from .workload import Workload


async def send_end(workload: Workload, condition: str, reply: ReplySender) -> None:
    """Send the exit code of a workload when the condition (`next-exit`, `removed`; any other is `not-running`, as an
    engine reads it) holds.
    """
    if condition == "removed":
        end = workload.removed
    elif condition == "next-exit" or workload.running:
        end = workload.exit_event
    else:
        end = None
    await reply.ack()
    if end is not None:
        await end.wait()
    await reply.set({"StatusCode": workload.exit_code})
