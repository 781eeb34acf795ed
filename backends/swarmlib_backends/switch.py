"""A channel whose requests can be sent another way while calls are under way; a way knows when its last call has ended.

A call ends with its replies, and with the stream that it got: a log that is followed may last for days.
"""

from __future__ import annotations

from functools import partial

import trio

from swarmlib import Ack, Reply, ReplySender, Request, Sender, Tap

from .stream_wrappers import CountingWrapper


class Way:
    """Where requests are sent, and the calls that were sent there and have not ended."""

    def __init__(self, to: Sender) -> None:
        self.to = to
        self.calls = set[object]()
        self._closed = False
        self._ended = trio.Event()

    def end(self, call: object) -> None:
        """Take note that a call, or its stream, has ended. May be told twice."""
        self.calls.discard(call)
        if self._closed and not self.calls:
            self._ended.set()

    async def drained(self) -> None:
        """Wait until the last call has ended; no more may be sent this way."""
        self._closed = True
        if self.calls:
            await self._ended.wait()


class Switch(trio.abc.SendChannel[Request]):
    """The channel. It must not close where it leads to, which belongs to others."""

    def __init__(self, to: Sender) -> None:
        self._way = Way(to)

    def turn(self, to: Sender) -> Way:
        """Send all further requests to another channel, and return the former way."""
        former, self._way = self._way, Way(to)
        return former

    async def send(self, value: Request) -> None:
        """Send a request the present way."""
        way = self._way
        await way.to.send(value.replace(reply=_Counted(value.reply, way)))

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""


class _Counted(Tap):
    """The replies of a call, whose end is told to its way."""

    def __init__(self, inner: ReplySender, way: Way) -> None:
        super().__init__(inner)
        self._way = way
        way.calls.add(self)
        inner.on_gone(partial(way.end, self))

    def instead(self, reply: Reply) -> Reply:
        """See `Tap.instead`."""
        if isinstance(reply, Ack) and reply.stream is not None:
            return reply.replace(stream=_CountedStream(reply.stream, self._way).alike)
        return reply

    async def _finish(self) -> None:
        self._way.end(self)
        await super()._finish()


class _CountedStream(CountingWrapper):
    """The stream of a call, whose end is told to its way."""

    def __init__(self, inner: trio.abc.ReceiveStream, way: Way) -> None:
        super().__init__(inner)
        self._way = way
        way.calls.add(self)

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        self._way.end(self)
        await super().aclose()
