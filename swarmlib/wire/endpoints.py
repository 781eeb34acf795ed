"""The endpoints of message channels, on trio: calls that go out and come in, and this side's service."""

from __future__ import annotations

import math
from collections import deque
from typing import TypeAlias

import trio

from ..asking import dispatch
from ..errors import UNSENT, BadAnswer, SwarmError, TimedOut, Unavailable
from ..operation import Operation
from ..refusing import as_error, break_off, refuse
from ..reply import Ack, Error, Reply
from ..reply_channel import ReplySender, discard
from ..request import Request, Sender
from ..supervision import supervised
from .codec import Message
from .driver import Driver
from .endpoint import Endpoint, Step
from .events import Received
from .references import Ref, RefKind
from .remote_streams import RemoteReceiveStream, RemoteStream, StreamEndpoint, kind_of, pump
from .table import SERVICE
from .validation import check_reply, check_request

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
        if event.refs.stream is not None:
            _bring_stream(self.driver, event, event.refs.stream)
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


class Inlet(Endpoint):
    """This side's service, to which the peer sends requests. They don't wait for each other."""

    __slots__ = ("_caller", "_sender", "credited", "driver", "id")

    def __init__(self, driver: Driver, sender: Sender) -> None:
        self.driver = driver
        self.id = SERVICE
        self._sender = sender
        self._caller = driver.caller
        self.credited = trio.lowlevel.ParkingLot()
        driver.endpoints[SERVICE] = self

    def message(self, event: Received) -> Step:
        """See `Endpoint.message`."""
        refs = event.refs
        assert refs.reply is not None
        end = None if refs.stream is None else StreamEndpoint(self.driver, refs.stream.id)
        upload = None if end is None else RemoteReceiveStream(end)
        return self._call(event, upload, RemoteReply(self.driver, refs.reply.id, end))

    def room(self) -> None:
        """See `Endpoint.room`."""
        self.credited.unpark_all()

    def reset(self, error: SwarmError) -> None:
        """Tell those who wait to send that the session is over."""
        self.room()

    async def _call(self, event: Received, upload: trio.abc.ReceiveStream | None, reply: ReplySender) -> None:
        try:
            asked = self._checked(event.message)
            await self._dispatch(Request.of(asked, upload=upload, reply=reply))
        except SwarmError as exc:
            await break_off(reply, exc, begun=False)
        finally:
            self.driver.taken(event)

    def _checked(self, asked: Message) -> Operation:
        """Give what the peer asks, as a stage may see it. Raises what `check_request` does."""
        assert isinstance(asked, Operation)
        if self.driver.draining:
            raise Unavailable("this side is shutting down", details={UNSENT: True})
        check_request(asked, self.driver.most_parameters)
        if asked.meta.caller != self._caller:  # whoever the peer says that it is
            asked.meta = asked.meta.replace(caller=self._caller)
        return asked

    async def _dispatch(self, request: Request) -> None:
        reply = request.reply
        scope = self.driver.reader.scope_of(reply)
        limited = request.deadline != math.inf
        if limited:
            scope.deadline = request.deadline
        try:
            await dispatch(self._sender, request)
        except trio.Cancelled:
            if scope.cancel_called and not reply.gone:
                await refuse(
                    request, TimedOut(f"timed out: no answer to {request.verb} before its deadline", path=request.path)
                )
            raise
        finally:
            if limited:
                scope.deadline = math.inf


class RemoteReply(Endpoint, ReplySender):
    """Where the replies of a call of the peer's go, and the end of its channel. The call's upload ends with it."""

    def __init__(self, driver: Driver, id: int, upload: StreamEndpoint | None) -> None:
        super().__init__()
        self._driver = driver
        self._id = id
        self._upload = upload
        self._credited: trio.lowlevel.ParkingLot | None = None
        driver.endpoints[id] = self

    # As an endpoint: see `Endpoint`.

    def room(self) -> None:
        """See `Endpoint.room`."""
        if self._credited is not None:
            self._credited.unpark_all()

    def reset(self, error: SwarmError) -> None:
        """See `Endpoint.reset`."""
        self.room()
        self.leave()
        self._end_upload()

    def _end_upload(self) -> None:
        if self._upload is not None:
            self._upload.close()

    # As a sender of replies.

    async def _deliver(self, reply: Reply) -> None:
        driver, id = self._driver, self._id
        final = isinstance(reply, Ack | Error)
        if not final and not driver.writer.has_room(id):
            self._credited = self._credited or trio.lowlevel.ParkingLot()  # most never need one
            await driver.writer.room(id, self._credited)
        if not driver.channels.is_open(id):  # maybe only just: then the event of it still waits
            self.leave()
        if self.gone:
            raise trio.BrokenResourceError("the caller disconnected")
        try:
            _send_reply(driver, id, reply)
        except SwarmError as exc:
            if not final:
                raise
            self._answer_instead(reply.error if isinstance(reply, Error) else exc)

    def _answer_instead(self, error: SwarmError) -> None:
        """Tell what is wrong with a final reply that can't be carried, or of an error without its details."""
        plain = type(error)(error.message[:1000], backend=error.backend[:100])
        _send_reply(self._driver, self._id, Error(plain))
        self._end()

    async def _finish(self) -> None:
        self._end()

    def _end(self) -> None:
        """Send nothing more."""
        driver = self._driver
        if driver.endpoints.get(self._id) is self:
            driver.channels.end(self._id)
            driver.forget(self._id)
            self._end_upload()
            driver.hurry()


class RemoteSender(trio.abc.SendChannel[Request]):
    """A channel to the peer's service."""

    def __init__(self, inlet: Inlet) -> None:
        self._inlet = inlet
        self._driver = inlet.driver

    async def send(self, value: Request) -> None:
        """Send a request; waits while the peer is behind.

        Raises:
            Unavailable: the session has ended, or the peer wants no new calls. Its detail `UNSENT` says that the
                request surely was not taken.
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
    """Send a request, for which there is credit, and serve what it opens. Raises what `Channels.send` does."""
    kind = None if request.upload is None else RefKind.STREAM
    reply, upload, _ = driver.channels.send(SERVICE, request, trio.current_time(), kind)
    assert reply is not None
    Call(driver, reply.id, request)
    _give_stream(driver, request.upload, None if upload is None else upload.id)
    driver.hurry()


def _send_reply(driver: Driver, id: int, reply: Reply) -> None:
    """Send a reply, likewise."""
    stream = reply.stream if isinstance(reply, Ack) else None
    kind = None if stream is None else kind_of(stream)
    now = 0.0 if stream is None else trio.current_time()  # only a stream's window needs it
    refs = driver.channels.send(id, reply, now, kind)
    _give_stream(driver, stream, None if refs.stream is None else refs.stream.id)
    driver.wake()


def _give_stream(driver: Driver, stream: trio.abc.ReceiveStream | None, id: int | None) -> None:
    if stream is not None and id is not None:
        driver.nursery.start_soon(supervised, "an attached stream", pump, stream, StreamEndpoint(driver, id))


def _bring_stream(driver: Driver, event: Received, stream: Ref) -> None:
    """Put into an ack that came the stream that it refers to. At once: what comes there may be next."""
    ack = event.message
    if isinstance(ack, Ack):
        end = StreamEndpoint(driver, stream.id)
        ack.stream = RemoteStream(end) if stream.kind is RefKind.DUPLEX else RemoteReceiveStream(end)
