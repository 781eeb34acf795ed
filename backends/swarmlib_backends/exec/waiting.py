"""How a client waits for the end of a workload."""

from __future__ import annotations

from swarmlib import Invalid, Reply

from .workload import Workload


async def send_end(workload: Workload, condition: str, ret: Reply) -> None:
    """Send the exit code of a workload when the condition (`not-running`, `next-exit` or `removed`) holds.

    Raises:
        Invalid: there is no such condition.
    """
    if condition not in ("", "not-running", "next-exit", "removed"):
        raise Invalid(f"invalid condition: {condition!r}; there are not-running, next-exit, removed")
    if condition == "removed":
        end = workload.removed
    elif condition == "next-exit" or workload.running:
        end = workload.exit_event
    else:
        end = None
    await ret.ack()
    if end is not None:
        await end.wait()
    await ret.set({"StatusCode": workload.exit_code})
