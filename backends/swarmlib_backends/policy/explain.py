"""What the rules of a file decide about given calls, without an engine: those of a command, or of a recording."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import trio

from swarmlib import Chain, Denied, Filter, Invalid, Request, SwarmError

from ..dockerapi import table
from ..dockerapi.canonical import canonical
from ..recording import Recording, What, request_in
from . import document
from .document import Document, Verdict


@dataclass(frozen=True)
class Judged:
    """One call, what a policy says about it, and in words what the rule that allows it changes."""

    operation: str
    about: str
    verdict: Verdict
    changes: Sequence[str] = ()

    @property
    def rule(self) -> str:
        """The name of the rule that decided; "" if there was none."""
        return self.verdict.rule.name if self.verdict.rule else ""

    @property
    def line(self) -> str:
        """It as a line for people."""
        said = "allowed" if self.verdict.allowed else "denied "
        reason = f": {self.verdict.reason}" if self.verdict.reason else f" by rule {self.rule!r}"
        advice = f"\n         it would be allowed by: {self.verdict.advice}" if self.verdict.advice else ""
        changes = "".join(f"\n         changed: {each}" for each in self.changes)
        return f"{said}  {self.operation} {self.about}".rstrip() + reason + advice + changes

    def as_data(self) -> dict[str, object]:
        """Return it as JSON for programs."""
        verdict = self.verdict
        found = {"allowed": verdict.allowed, "rule": self.rule, "reason": verdict.reason, "advice": verdict.advice}
        return {"operation": self.operation, "object": self.about, **found, "changes": list(self.changes)}


def read(path: Path) -> Document:
    """Read a file of rules.

    Raises:
        Invalid: it can't be read, or has a mistake.
    """
    try:
        return document.parse(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as exc:
        raise Invalid(f"{path}: {exc}") from exc


def judge(policy: Document, request: Request, *, upload: bool) -> Judged:
    """Judge one request as the stage does; what can't be read is denied."""
    row = table.row_of(request.verb, request.path, upload=upload)
    changes = list[str]()
    try:
        request = canonical(request)
        verdict = policy.judge(row, request)
        changes.extend(verdict.changes_of(request))
    except SwarmError as exc:
        verdict = Verdict(False, reason=exc.message)
    return Judged(row.name, "/".join(request.path), verdict, changes)


def replay(policy: Document, recording: Path) -> Iterator[Judged]:
    """Judge each request of a recording. Raises Invalid if the file is not one."""
    with closing(Recording(str(recording))) as recorded:
        for event in recorded.events():
            if event.what is What.ASK:
                request, upload = request_in(recorded.data(event))
                yield judge(policy, request, upload=upload)


@dataclass
class _Explaining(Filter):
    """Judges each request, tells the verdict, and forwards what is allowed."""

    policy: Document
    tell: Callable[[Judged], None]

    async def send(self, request: Request) -> None:
        judged = judge(self.policy, request, upload=request.upload is not None)
        self.tell(judged)
        if not judged.verdict.allowed:
            raise Denied(judged.verdict.reason)
        await self.next.send(judged.verdict.changed or request)


def explain(policy: Document, command: Sequence[str], tell: Callable[[Judged], None]) -> int:
    """Run a command, such as `docker run …`, in front of the rules and a simulated engine; return its exit code."""
    return trio.run(_explain, policy, command, tell)


async def _explain(policy: Document, command: Sequence[str], tell: Callable[[Judged], None]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix://{folder}/docker.sock"
        chain = Chain(f"dockerserver {address}", _Explaining(policy, tell), "simulator")
        async with chain.open():
            environment = {**os.environ, "DOCKER_HOST": address}
            done = await trio.run_process(list(command), env=environment, check=False, stdin=None)
            return done.returncode
