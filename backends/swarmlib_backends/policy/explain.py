"""What the rules of a file decide about given calls, without an engine: those of a command, or of a recording."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from swarmlib import Chain, Denied, Filter, Invalid, Request, SwarmError

from ..dockerapi import table
from ..dockerapi.canonical import canonical
from ..recording import Recording, What, request_in
from . import document
from .document import Document, Verdict

_ANSWER_SECONDS: Final = 10


@dataclass(frozen=True)
class Judged:
    """One call, and what a policy says about it.

    Attributes:
        operation: its name in the routing table; "" if no rule has been asked.
        about: the object that it is about.
        changes: in words, what the rule that allows it changes.
        resolved: whether that rule asks the engine about objects or folders first, and may still deny it.
    """

    operation: str
    about: str
    verdict: Verdict
    changes: Sequence[str] = ()
    resolved: bool = False

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
        return " ".join(filter(None, (f"{said} ", self.operation, self.about))) + reason + advice + changes

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
    except OSError as exc:
        raise Invalid(f"{path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise Invalid(f"{path}: {exc}") from exc


def judge(policy: Document, request: Request, *, upload: bool) -> Judged:
    """Judge one request as the stage does; what can't be read is denied."""
    row = table.row_of(request.verb, request.path, upload=upload)
    changes = list[str]()
    resolved = False
    try:
        request = canonical(request)
        verdict = policy.judge(row, request)
        changes.extend(verdict.changes_of(request))
        if verdict.rule is not None and not verdict.reason:
            resolved = verdict.rule.acts_on(row, verdict.demands)
    except SwarmError as exc:
        verdict = Verdict(False, reason=exc.message)
    return Judged(row.name, "/".join(request.path), verdict, changes, resolved)


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
    caller: str
    """Who sends the requests; "" if that is who really sends them."""

    async def send(self, request: Request) -> None:
        if self.caller:
            request = request.replace(meta=request.meta.replace(caller=self.caller))
        judged = judge(self.policy, request, upload=request.upload is not None)
        self.tell(judged)
        if not judged.verdict.allowed:
            raise Denied(judged.verdict.reason)
        await self.next.send(judged.verdict.changed or request)


@asynccontextmanager
async def _simulated(policy: Document, tell: Callable[[Judged], None], caller: str) -> AsyncGenerator[str]:
    """Serve a simulated engine behind the rules; yield the path of its socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/docker.sock"
        async with Chain(f"dockerserver unix://{path}", _Explaining(policy, tell, caller), "simulator").open():
            yield path


async def explain(
    policy: Document,
    command: Sequence[str],
    tell: Callable[[Judged], None],
    caller: str = "",
    *,
    output: int | None = None,
) -> int:
    """Run a command, such as `docker run …`, in front of the rules and a simulated engine; return its exit code.

    tell: gets the verdict about each of its calls.
    caller: whose calls they are, in the form of `Meta.caller`; by default this process's user.
    output: where the command writes to, as `subprocess` has it; by default where this process does.
    """
    async with _simulated(policy, tell, caller) as path:
        environment = {**os.environ, "DOCKER_HOST": f"unix://{path}"}
        done = await trio.run_process(
            list(command), env=environment, check=False, stdin=None, stdout=output, stderr=output
        )
        return done.returncode


async def explain_bytes(policy: Document, data: bytes, caller: str = "") -> list[Judged]:
    """Return the verdicts about the HTTP requests in `data`, read as `dockerserver` reads them.

    What it refuses before any rule is asked is denied too. Raises trio.TooSlowError if there is no answer in seconds.
    """
    told: list[Judged] = []
    async with _simulated(policy, told.append, caller) as path, await trio.open_unix_socket(path) as stream:
        with trio.fail_after(_ANSWER_SECONDS):
            await stream.send_all(data)
            await stream.send_eof()
            answer = b"".join([bytes(piece) async for piece in stream])
    return told or [_refused(data, answer)]


def _refused(data: bytes, answer: bytes) -> Judged:
    """Return the verdict about a request that no rule has been asked about, as its answer says."""
    head, _, body = answer.partition(b"\r\n\r\n")
    words = (body.strip() or head.partition(b"\r\n")[0]).decode("utf-8", "replace")
    line = data.partition(b"\r\n")[0].decode("latin-1")
    return Judged("", ascii(line)[1:-1][:80], Verdict(False, reason=f"it is refused before any rule is asked: {words}"))
