"""The calls that the peer makes, on trio: its requests to this side's service, and the replies that they get."""

from __future__ import annotations

import math

import trio

from ..asking import dispatch
from ..errors import UNSENT, SwarmError, TimedOut, Unavailable
from ..operation import Operation
from ..refusing import break_off, refuse
from ..reply import Ack, Error, Reply
from ..reply_channel import ReplySender
from ..request import Request, Sender
from .codec import Message
from .driver import Driver
from .endpoint import Endpoint, Step
from .events import Received
from .pump import kind_of, send_stream
from .remote_streams import RemoteReceiveStream
from .stream_endpoint import StreamEndpoint
from .table import SERVICE
from .validation import check_request


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
        """Return what the peer asks, as a stage may see it. Raises as `check_request`."""
        assert isinstance(asked, Operation)
        if self.driver.draining:
            raise Unavailable("this side is shutting down", details={UNSENT: True})
        check_request(asked, self.driver.most_parameters)
        if asked.meta.caller != self._caller:  # the transport says who it is, not the peer
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
    """Sends the replies of a call that the peer makes; also their channel's endpoint. The upload ends with the call."""

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


def _send_reply(driver: Driver, id: int, reply: Reply) -> None:
    """Send a reply, and serve the stream that it opens. Raises as `Channels.send`."""
    stream = reply.stream if isinstance(reply, Ack) else None
    kind = None if stream is None else kind_of(stream)
    now = 0.0 if stream is None else trio.current_time()  # only a stream's window needs it
    refs = driver.channels.send(id, reply, now, kind)
    send_stream(driver, stream, None if refs.stream is None else refs.stream.id)
    driver.wake()
