"""`timeout`: a call that waits too long for an answer fails, and all work for it is cancelled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import trio

from swarmlib import Handler, Invalid, Reply, ReplySender, Request, Server, TimedOut, ask, option
from swarmlib.quantities import Duration, seconds

from .calls import forward, relay_replies
from .patterns import Rule
from .stream_wrappers import StreamWrapper


@dataclass
class Timeout(Server):
    """Answers `timeout` if a call makes no progress for too long, and cancels it.

    The timer runs until the answer. Any sign of progress restarts it, such as a line of a pull's progress or a piece of
    an upload that is read. It does not run while the caller is slow to read, nor once a watch or a stream has begun.
    Calls that are silent for long (a stop with a long grace period, a commit) need a rule with a longer time.

    timeout --after 10s --rule 'spawn images=5m' --rule 'stop *=60s'
    """

    position = "between"

    after: Duration = option("how long to wait for an answer", default=30.0)
    rule: list[Rule] = option(
        "time for calls whose 'verb path' matches; the first matching rule applies",
        default=[],
        metavar="PATTERN=DURATION",
    )

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        self._limits = [(rule.fits, _positive(_read(rule))) for rule in self.rule]
        _positive(self.after)

    def choose(self, request: Request) -> Handler | None:
        """Take every call."""
        return self._call

    async def _call(self, request: Request) -> None:
        after = next((limit for fits, limit in self._limits if fits(request)), self.after)
        with trio.CancelScope() as scope:
            patience = _Patience(scope, after, request.reply)
            if request.upload is not None:
                request = request.replace(upload=_Upload(request.upload, patience).alike)
            patience.begin()
            await relay_replies(await ask(self.next, request), patience.forward)  # as they come: each is a sign of life
        if scope.cancelled_caught:
            what = f"{request.verb} {'/'.join(request.path)}".rstrip()
            raise TimedOut(f"{what}: timed out: nothing came within {after:g} s", backend=self.name)


class _Patience:
    def __init__(self, scope: trio.CancelScope, seconds: float, to: ReplySender) -> None:
        self._scope = scope
        self._seconds = seconds
        self._to = to

    def begin(self) -> None:
        self._scope.deadline = trio.current_time() + self._seconds

    def end(self) -> None:
        self._scope.deadline = math.inf

    async def forward(self, reply: Reply) -> None:
        """Forward a reply, and restart the time."""
        self.end()
        await forward(reply, self._to)
        if not self._to.answered:
            self.begin()


class _Upload(StreamWrapper):
    """The caller's upload: the time spent waiting for the caller's next piece does not count."""

    def __init__(self, inner: trio.abc.ReceiveStream, patience: _Patience) -> None:
        super().__init__(inner)
        self._patience = patience

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        self._patience.end()
        data = await super().receive_some(max_bytes)
        self._patience.begin()
        return data


def _read(rule: Rule) -> float:
    try:
        return seconds(rule.value)
    except ValueError as exc:
        raise Invalid(f"--rule {rule}: {exc}") from exc


def _positive(seconds: float) -> float:
    if not seconds > 0:
        raise Invalid(f"the time must be more than 0 seconds, not {seconds:g}")
    return seconds
