"""The replies of a call whose caller waits for the final one: they are collected where they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from .errors import BadAnswer
from .reply import Ack, Error, Log, Reply, Set, held
from .reply_channel import ReplySender, SendersTask, discard
from .request import Request
from .verbs import CONVERSATIONS, Verb

MAX_ANSWER: Final = 512 * 1024 * 1024
"""The most bytes that the replies of one answer may take: more than the largest value that a backend returns."""
_EACH: Final = 512
"""Roughly the bytes that a reply takes besides its value."""
_STREAMS: Final = CONVERSATIONS | {Verb.CONNECT, Verb.FILE}
"""The verbs whose answers may be streams, or go on after the `ack`."""


class Before:
    """The replies before the final one, whose memory is bounded."""

    def __init__(self) -> None:
        self.replies: list[Set | Log] = []
        self._size = 0

    def add(self, reply: Set | Log) -> None:
        """Add a reply. Raises BadAnswer if there are over MAX_ANSWER bytes of them."""
        self._size += _EACH + held(reply)
        if self._size > MAX_ANSWER:
            raise BadAnswer(f"the answer is longer than {MAX_ANSWER} bytes")
        self.replies.append(reply)


class Collector(ReplySender):
    """Collects the replies to a caller that does nothing else meanwhile, in whose task the request may be handled.

    A call with a stream may go on after its final reply, and so needs a task of its own.

    sender: the caller's task, and the scope in which it waits.
    """

    def __init__(self, request: Request, sender: SendersTask) -> None:
        super().__init__()
        self._sender = sender
        self._in_task = request.upload is None and request.verb not in _STREAMS
        self._before = Before()
        self.final: Ack | Error | None = None
        """The final reply; None if it has not come."""
        self._came: trio.Event | None = None

    @property
    def sender(self) -> SendersTask | None:
        """See `ReplySender.sender`."""
        return self._sender if self._in_task else None

    @property
    def before(self) -> Sequence[Set | Log]:
        """The replies before the final one."""
        return self._before.replies

    async def until_final(self) -> None:
        """Wait for the final reply, which may come from another task."""
        if self.final is None:
            self._came = trio.Event()
            await self._came.wait()

    async def drop(self) -> None:
        """Close the stream of an answer that came when the caller was cancelled, who has no answer then."""
        if isinstance(self.final, Ack) and self.final.stream is not None:
            await discard(self.final)
            self.final = None

    async def _deliver(self, reply: Reply) -> None:
        if self.gone:
            raise trio.BrokenResourceError("the caller disconnected")
        if isinstance(reply, Error):
            self._fail(reply)
        elif isinstance(reply, Ack):
            self._end(reply)
        else:
            try:
                self._before.add(reply)
            except BadAnswer as exc:
                self._fail(Error(exc))

    async def _finish(self) -> None:
        """Do nothing: the final reply has come."""

    def _fail(self, error: Error) -> None:
        """End the call, and what may still work for it: another task may have found that it has failed."""
        self._end(error)
        self.leave()
        self._sender.cancel()

    def _end(self, final: Ack | Error) -> None:
        self.final = final
        if self._came is not None:
            self._came.set()
