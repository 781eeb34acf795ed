"""The runs of a container in its Pod: the commands that begin and follow them there (`runs.sh`), and their answers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from swarmlib import BadAnswer

from .record import Record
from .shim import BUSYBOX, FOLDER
from .status import moment

_RUNS: Final = (BUSYBOX, "sh", f"{FOLDER}/runs")
_OOM: Final = "oom"


def mark(run: int) -> bytes:
    """Return what ends each stream of a run of a container that is kept, alone in a last line or at the end of it."""
    return b"\x1eswarm-end %d\x1e" % run


def begin(record: Record) -> tuple[str, ...]:
    """Return the command that lets the run of a record begin, and ends when it has; harmless if it has begun before."""
    return (*_RUNS, "begin", *_beginning(record))


def end(record: Record) -> tuple[str, ...]:
    """Return the command that does the same, and tells the end of the run of a container that is kept."""
    return (*_RUNS, "end", *_beginning(record))


def _beginning(record: Record) -> tuple[str, ...]:
    linked = shlex.join(f"{name}={value}" for name, value in record.linked.items())
    return (str(record.run), linked) if linked else (str(record.run),)


def attached(word: str) -> tuple[str, ...]:
    """Return the command that writes a line when the gate expects `word` in its input, and ends when it has come."""
    return (*_RUNS, "attached", word)


@dataclass(frozen=True)
class End:
    """The end of a run: its number, its exit code, whether memory was lacking, when, and what the shim has reported."""

    run: int
    code: int
    oom_killed: bool
    at: float
    report: str

    @property
    def terminated(self) -> Mapping[str, Any]:
        """The state in which a cluster has a container that has ended so."""
        reason = "OOMKilled" if self.oom_killed else "Completed" if not self.code else "Error"
        return {"exitCode": self.code, "message": self.report, "reason": reason}


GOES_ON: Final = b"goes on\n"
"""What the command of `end` tells first, if the run has not ended."""


def read_end(output: bytes) -> End:
    """Return what the command of `end` has told. Raises `BadAnswer` if it is something else."""
    output = output.removeprefix(GOES_ON)
    told, _, rest = output.decode("utf-8", "replace").partition("\n")
    time, _, report = rest.partition("\n")
    match told.split(), time.split(" "):
        case [run, code, *oom], [day, hour, "+0000"] if _is_count(run) and _is_count(code) and oom in ([], [_OOM]):
            return End(int(run), int(code), bool(oom), moment(f"{day}T{hour}Z"), report)
        case _:
            raise BadAnswer(f"the Pod did not say how its container has ended: {output!r:.200}")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
