"""What a client follows of a workload: its stdio, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarmlib import Invalid, Reply

from ..dockerapi.streams import Stdio, chosen_streams
from ..dockerapi.values import is_true
from .workload import Workload


def stdio(workload: Workload, args: Mapping[str, Any]) -> Stdio:
    """A client's stream to a workload, with the streams that its parameters name."""
    config = workload.config
    follower = workload.output.follow(from_start=is_true(args.get("logs")))
    stdin = is_true(args.get("stdin")) and bool(config.get("OpenStdin"))
    return Stdio(workload, follower, chosen_streams(args), stdin=stdin, once=bool(config.get("StdinOnce")))


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
