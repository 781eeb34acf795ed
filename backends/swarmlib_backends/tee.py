"""`tee`: a copy of each request goes to a second chain, without any effect on the first."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from swarmlib import (
    Chain,
    Filter,
    Invalid,
    Reply,
    ReplyReceiver,
    Request,
    Sender,
    Stages,
    argument,
    ask,
    discard,
    option,
)
from swarmlib.reply import FINAL
from swarmlib.supervision import supervised

from .calls import relay_replies
from .patterns import fitting
from .queues import counted

COPY_SECONDS: Final = 60.0
"""Seconds that a copy may take to be answered before it is given up."""
_log = logging.getLogger(__name__)


@dataclass
class Tee(Filter):
    """Sends a copy of each request to a second chain, whose answers are discarded.

    The copies are sent in the order of the requests. A copy ends with its answer: a watch or stream that it gets is
    closed. The first chain sees nothing of the copies: no replies, no failures, no delays (while `--queue` copies are
    under way, requests are not copied). A request with an upload is not copied, since its bytes can be read only once.
    The first request that is not copied is logged, and at the end the number of all of them.

    tee (debug | docker unix:///shadow.sock) --filter 'ls*' --filter 'get*'
    """

    chain: Stages = argument("the second chain, in quotes or parentheses")
    filter: list[str] = option(
        "copy only requests whose 'verb path' matches, such as 'ls*'", default=[], metavar="PATTERN"
    )
    queue: int = option("maximum number of copies under way", default=1000)

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if self.queue < 1:
            raise Invalid(f"--queue must be 1 or more, not {self.queue}")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the second chain open."""
        self._fits = fitting(self.filter, otherwise=True)
        self._copied = Chain.read(self.chain)
        self._left_out = Counter[str]()
        self._under_way = 0
        self._copies, copies = trio.open_memory_channel[Request](self.queue)
        async with counted(self.name, lambda: self._under_way), trio.open_nursery() as nursery:
            await nursery.start(self._run, copies)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()
                if self._left_out:
                    _log.warning("tee: not copied: %s", ", ".join(f"{n} ({why})" for why, n in self._left_out.items()))

    async def send(self, request: Request) -> None:
        """Forward the request, after its copy."""
        if self._fits(request):
            self._copy(request)
        await self.next.send(request)

    def _copy(self, request: Request) -> None:
        if request.upload is not None:
            self._leave_out("it has an upload")
        elif self._under_way >= self.queue:
            self._leave_out("the second chain was too slow")
        else:
            try:
                self._copies.send_nowait(request)
                self._under_way += 1
            except trio.BrokenResourceError:
                self._leave_out("the second chain had failed")

    def _leave_out(self, why: str) -> None:
        self._left_out[why] += 1
        if self._left_out[why] == 1:
            _log.warning(
                "tee: a request was not copied to %s (%s); the number of such requests is logged at the end",
                self._copied.name,
                why,
            )

    async def _run(self, copies: trio.MemoryReceiveChannel[Request], *, task_status: trio.TaskStatus[None]) -> None:
        """Open the second chain, and send it the copies. If it can't be opened, raise its error; log later failures."""
        opened = False
        try:
            async with copies, self._copied.open() as sender, trio.open_nursery() as nursery:
                opened = True
                task_status.started()
                async for request in copies:
                    await self._send(request, sender, nursery)
        except Exception as exc:
            if not opened:
                raise
            _log.error("tee: %s failed and gets no more copies: %s", self._copied.name, exc)

    async def _send(self, request: Request, sender: Sender, nursery: trio.Nursery) -> None:
        deadline = trio.current_time() + COPY_SECONDS
        with trio.move_on_at(deadline):
            replies = await ask(sender, request.replace(deadline=deadline))
            nursery.start_soon(supervised, f"tee: a copy to {self._copied.name}", self._read, replies, deadline)
            return
        self._under_way -= 1

    async def _read(self, replies: ReplyReceiver, deadline: float) -> None:
        """Read the replies up to the answer, then cancel the copy."""
        try:
            with trio.move_on_at(deadline):
                await relay_replies(replies, _drop)
        finally:
            self._under_way -= 1


async def _drop(reply: Reply) -> bool:
    await discard(reply)
    return isinstance(reply, FINAL)
