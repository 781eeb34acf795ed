"""The health checks of a container: the command that makes them in its Pod, and what that tells of them."""

from __future__ import annotations

import base64
import binascii
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from swarmlib import BadAnswer

from ...dockerapi.nullable import list_of
from ...enginekit.health import KEPT, MOST_OUTPUT, Plan, Probe, plan_of, timed_out
from . import shim
from .options import PodOptions
from .record import Health, Record

SCRIPT: Final = Path(__file__).with_name("health.sh").read_text("utf-8")
_MAIN: Final = "1"
"""The first process of the Pod, which ends with it: where the container's own is not known."""
_SLOWEST_POLL: Final = 1.0
_ENTRY: Final = re.compile(r"([0-9]{1,15}):([0-9]{1,15}):([0-9]{1,3}|late):([A-Za-z0-9+/=]*)")
_LINE: Final = re.compile(r"(starting|healthy|unhealthy) ([0-9]{1,9})((?: [^ ]+)*)")
_LATE: Final = -1
"""The exit code that an engine notes of a check that it could not run, or has ended."""


def plan(record: Record, options: PodOptions) -> Plan | None:
    """Return how a container is checked in a cluster; None if it isn't."""
    return plan_of(record.config) if options.tools != "never" else None


def initial(record: Record, options: PodOptions) -> Health | None:
    """Return the health of a container that is about to begin, with the last checks before; None if it has none."""
    return Health(log=record.health.log if record.health else ()) if plan(record, options) else None


def noted(record: Record, run: int, found: Health, started: float) -> Record:
    """Return the record of a container with another status, if a state that its Pod has told says a newer one.

    Another gateway may have written down what a later state says, which this one is about to hear.

    run: the run that it is of. started: when the cluster started it last, in seconds since the epoch.
    """
    known = record.health or Health()
    newer = found.latest > known.latest if found.log else known.latest < started
    if record.run != run or record.wanted != "running" or found.status == known.status or not newer:
        return record
    return replace(record, health=found)


def ended(record: Record, run: int, last: Health) -> Record:
    """Return the record of a container whose run has ended, with its last checks: nobody checks any more."""
    known = record.health
    if record.run != run or (known and known.status == "unhealthy" and known.latest >= last.latest):
        return record
    return replace(record, health=replace(last, status="unhealthy"))


def command(record: Record, plan: Plan, options: PodOptions) -> tuple[str, ...]:
    """Return the command that checks a container, and tells of the results line by line.

    Raises:
        Unsupported: the check and the environment can't be had together.
    """
    env = list_of(record.config.get("Env"))
    linked = [f"{name}={value}" for name, value in record.linked.items()]
    words = shim.exec_command(plan.command, env, linked, user="", folder="", options=options)
    by_shim = record.image is not None or record.body.get("Entrypoint")
    given = (
        shim.FOLDER,
        "" if by_shim else _MAIN,
        f"{min(plan.interval / 2, _SLOWEST_POLL):.2f}",
        f"{plan.interval:.3f}",
        f"{plan.start_interval:.3f}",
        _hundredths(plan.start_period),
        _hundredths(plan.timeout),
        str(plan.retries),
    )
    return (shim.BUSYBOX, "sh", "-c", SCRIPT, "sh", *given, *words)


def _hundredths(seconds: float) -> str:
    return str(math.ceil(seconds * 100))


def read(line: bytes, plan: Plan) -> Health:
    """Return what a line of the command tells. Raises `BadAnswer` if it tells nothing."""
    found = _LINE.fullmatch(line.decode("ascii", "replace"))
    entries = found[3].split() if found else []
    if found is None or len(entries) > KEPT:
        raise BadAnswer(f"the Pod gave a malformed state of health: {line!r:.200}")
    return Health(found[1], int(found[2]), tuple(_probe(each, plan) for each in entries))


def _probe(entry: str, plan: Plan) -> Probe:
    found = _ENTRY.fullmatch(entry)
    try:
        output = base64.b64decode(found[4], validate=True) if found else None
    except binascii.Error:
        output = None
    if found is None or output is None:
        raise BadAnswer(f"the Pod gave a malformed result of a health check: {entry!r:.200}")
    start, end = int(found[1]) / 100, int(found[2]) / 100
    if found[3] == "late":
        return Probe(start, end, _LATE, timed_out(plan))
    number, _, rest = output.partition(b"\n")
    if not number.isdigit():  # the shim could not run it, and says why
        return Probe(start, end, _LATE, output.decode("utf-8", "replace").strip())
    return Probe(start, end, int(found[3]), rest[:MOST_OUTPUT].decode("utf-8", "replace"))
