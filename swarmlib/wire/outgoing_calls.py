"""The calls that this side makes, on trio: requests to the peer's service, and the replies that come to them."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import trio

from ..errors import UNSENT, BadAnswer, SwarmError, Unavailable
from ..operation import Operation
from ..refusing import as_error, break_off
from ..reply import Ack
from ..reply_channel import discard
from ..request import Request
from .driver import Driver
from .endpoint import Endpoint, Step
from .events import Received
from .incoming_calls import Inlet
from .pump import send_stream
from .references import RefKind
from .remote_streams import remote_stream
from .table import SERVICE
from .validation import check_reply

_Item: TypeAlias = Received | SwarmError | None
"""A reply; why there will be no more; or their end in good order."""


class Call(Endpoint):
    """A call that this side made. Its replies are taken one after another, each in the task that brings it unless
    another is still at it.
    """

    __slots__ = ("_busy", "_request", "_waiting", "driver", "id")

    def __init__(self, driver: Driver, id: int, request: Request) -> None:
        self.driver = driver
        self.id = id
        self._request = request
        self._busy = False
        self._waiting: deque[_Item] | None = None
        driver.endpoints[id] = self
        request.reply.on_gone(self._gone)

    def message(self, event: Received) -> Step:
        """See `Endpoint.message`."""
        if event.refs.stream is not None and isinstance(event.message, Ack):
            event.message.stream = remote_stream(self.driver, event.refs.stream)
        if event.last:
            self.driver.forget(self.id)
        return self._take(event)

    def ended(self) -> Step:
        """See `Endpoint.ended`."""
        return self._take(None)

    def reset(self, error: SwarmError) -> Step:
        """See `Endpoint.reset`."""
        return self._take(error)

    def _take(self, item: _Item) -> Step:
        if self._busy:
            self._waiting = self._waiting or deque()
            self._waiting.append(item)
            return None
        self._busy = True
        return self._work(item)

    async def _work(self, item: _Item) -> None:
        """Give the caller an item, and those that come meanwhile."""
        while True:
            try:
                await (self._give(item) if isinstance(item, Received) else self._end(item))
            except Exception as exc:  # noqa: BLE001 - a stage's tap may raise anything; the caller is answered
                await break_off(self._request.reply, as_error(exc, "", self._request), begun=True)
                self._gone()
            if not self._waiting:
                break
            item = self._waiting.popleft()
        self._busy = False

    def _gone(self) -> None:
        driver = self.driver
        if driver.endpoints.get(self.id) is self:
            driver.channels.reset(self.id)
            driver.forget(self.id)
            driver.wake()

    async def _end(self, why: SwarmError | None) -> None:
        if why is None:
            await self._request.reply.aclose()
        else:
            await break_off(self._request.reply, why, begun=True)  # the peer had not said that this was the end

    async def _give(self, event: Received) -> None:
        reply, to = event.message, self._request.reply
        assert not isinstance(reply, Operation)
        try:
            check_reply(reply, self.driver.most_parameters)
            await to.send(reply)
        except (trio.BrokenResourceError, trio.ClosedResourceError, BadAnswer) as exc:
            await discard(reply)
            if isinstance(exc, BadAnswer):  # else the caller disconnected, and `_gone` has told the peer
                exc.backend = self.driver.peer
                raise
        finally:
            self.driver.taken(event)
        if event.last:
            await to.aclose()


class RemoteSender(trio.abc.SendChannel[Request]):
    """A channel to the peer's service."""

    def __init__(self, inlet: Inlet) -> None:
        self._inlet = inlet
        self._driver = inlet.driver

    async def send(self, value: Request) -> None:
        """Send a request; waits while the peer is behind.

        Raises:
            Unavailable: the session has ended, or the peer wants no new calls. Its detail `UNSENT` says that the
                request certainly was not taken.
            Invalid, TooLarge: it can't be carried.
        """
        driver = self._driver
        self._check()
        if not driver.writer.has_room(SERVICE):
            await driver.writer.room(SERVICE, self._inlet.credited)
            self._check()
        _send_request(driver, value)
        value.reply.pass_to(self)

    def _check(self) -> None:
        why = self._driver.why
        if why is None and self._driver.session.draining:
            why = Unavailable("the peer is shutting down")
        if why is not None:
            raise Unavailable(f"not sent: {why}", details={UNSENT: True})

    async def aclose(self) -> None:
        """Do nothing: the service stays open, for it is the connection's."""
        await trio.lowlevel.checkpoint()


def _send_request(driver: Driver, request: Request) -> None:
    """Send a request, for which there is credit, and serve what it opens. Raises as `Channels.send`."""
    kind = None if request.upload is None else RefKind.STREAM
    reply, upload, _ = driver.channels.send(SERVICE, request, trio.current_time(), kind)
    assert reply is not None
    Call(driver, reply.id, request)
    send_stream(driver, request.upload, None if upload is None else upload.id)
    driver.hurry()
