"""The ends of message channels, on trio: calls that go out and come in, services and objects on either side."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import trio

from ..channel import Reply, Sender
from ..errors import UNSENT, BadAnswer, SwarmError, TimedOut, Unavailable
from ..message import CALLER, FINAL, Message, Verb
from ..request import dispatch
from ..service import as_error, break_off, refuse
from ..supervision import supervised
from .channels import SERVICE
from .codec import NO_REFS, RefKind, Refs
from .driver import Driver, Step
from .events import Received
from .streams import RemoteReceiveStream, RemoteStream, StreamEnd, pump
from .validation import check_reply, check_request

_Item: TypeAlias = Received | SwarmError | None
"""A message; why there will be no more; or their end in good order."""


class _InOrder:
    """An end that takes messages: one after another, each in the task that brings it unless another is still at it."""

    __slots__ = ("_busy", "_waiting", "driver", "id")

    def __init__(self, driver: Driver, id: int) -> None:
        self.driver = driver
        self.id = id
        self._busy = False
        self._waiting: deque[_Item] | None = None
        driver.ends[id] = self

    def message(self, event: Received) -> Step:
        """See `End.message`."""
        bring(self.driver, event)
        if event.last:
            self.driver.forget(self.id)
        return self._take(event)

    def ended(self) -> Step:
        """See `End.ended`."""
        return self._take(None)

    def reset(self, error: SwarmError) -> Step:
        """See `End.reset`."""
        return self._take(error)

    def data(self, data: bytes) -> None:
        """Never: the session takes no bytes on a channel of messages."""
        raise AssertionError(data)

    def room(self) -> None:
        """See `End.room`."""

    def _take(self, item: _Item) -> Step:
        if self._busy:
            self._waiting = self._waiting or deque()
            self._waiting.append(item)
            return None
        self._busy = True
        return self._work(item)

    async def _work(self, item: _Item) -> None:
        await self._handle(item)
        while self._waiting:
            await self._handle(self._waiting.popleft())
        self._busy = False

    @abstractmethod
    async def _handle(self, item: _Item) -> None:
        """Do what there is to do about it. Raises nothing."""


class Call(_InOrder):
    """A call that this side made: its replies go to `ret`."""

    __slots__ = ("_ret",)

    def __init__(self, driver: Driver, id: int, ret: Reply) -> None:
        super().__init__(driver, id)
        self._ret = ret
        ret.on_gone(self._gone)

    def _gone(self) -> None:
        driver = self.driver
        if driver.ends.get(self.id) is self:
            driver.channels.reset(self.id)
            driver.forget(self.id)
            driver.wake()

    async def _handle(self, item: _Item) -> None:
        try:
            if item is None:
                await self._ret.aclose()
            elif isinstance(item, SwarmError):
                await break_off(self._ret, item, begun=True)  # the peer had not said that this was the end
            else:
                await self._reply(item)
        except Exception as exc:  # noqa: BLE001 - a stage's tap may raise anything; the caller is answered
            await refuse(Message(Verb.ERROR, ret=self._ret), as_error(exc, "", Message(Verb.ERROR, ret=self._ret)))
            self._gone()

    async def _reply(self, event: Received) -> None:
        reply = event.message
        try:
            check_reply(reply, self.driver.most_args)
            await self._ret.send(reply)
        except (trio.BrokenResourceError, trio.ClosedResourceError, BadAnswer) as exc:
            if reply.att is not None:
                await trio.aclose_forcefully(reply.att)
            if isinstance(exc, BadAnswer):  # else the caller went away, and `_gone` has told the peer
                exc.backend = self.driver.peer
                raise
        finally:
            self.driver.taken(event)
        if event.last:
            await self._ret.aclose()


class Inlet(_InOrder):
    """A service or an object of this side, that the peer may send to. Its requests don't wait for each other."""

    __slots__ = ("_caller", "_sender", "credited")

    def __init__(self, driver: Driver, id: int, sender: Sender) -> None:
        super().__init__(driver, id)
        self._sender = sender
        self._caller = driver.caller
        self.credited = trio.lowlevel.ParkingLot()

    def message(self, event: Received) -> Step:
        """See `End.message`."""
        if event.refs.ret is None:
            return super().message(event)
        bring(self.driver, event)
        if event.last:
            self.driver.forget(self.id)
        return self._call(event)

    def room(self) -> None:
        """See `End.room`."""
        self.credited.unpark_all()

    def _check(self, message: Message) -> None:
        """Name the caller, whoever the peer says that it is. Raises what `check_request` does."""
        if CALLER in message.args:
            message.args = {name: value for name, value in message.args.items() if name != CALLER}
        check_request(message, self.driver.most_args)
        if self._caller:
            message.args = {**message.args, CALLER: self._caller}

    async def _call(self, event: Received) -> None:
        message, driver = event.message, self.driver
        try:
            if self.id == SERVICE and driver.draining:
                await refuse(message, Unavailable("this side is shutting down", details={UNSENT: True}))
            else:
                self._check(message)
                await self._dispatch(message)
        except SwarmError as exc:
            await refuse(message, exc)
        finally:
            driver.taken(event)
            if event.last:
                await self._sender.aclose()

    async def _dispatch(self, message: Message) -> None:
        ret, scope = message.ret, self.driver.reading
        assert ret is not None
        assert scope is not None
        self.driver.call = ret
        limited = message.deadline != math.inf
        if limited:
            scope.deadline = message.deadline
        try:
            await dispatch(self._sender, message, ret)
        except trio.Cancelled:
            if scope.cancel_called and not ret.gone:
                await refuse(message, TimedOut(f"no answer to {message.verb} within its deadline", path=message.path))
            raise
        finally:
            if limited:
                scope.deadline = math.inf

    async def _handle(self, item: _Item) -> None:
        if isinstance(item, Received):
            message = item.message
            try:
                self._check(message)
                await self._sender.send(message)
            except Exception as exc:  # noqa: BLE001 - nobody waits for it: the log is the only place left
                as_error(exc, "", message)
            self.driver.taken(item)
        if item is None or (isinstance(item, Received) and item.last):
            await self._sender.aclose()


class _Far:
    """An end that sends messages: whether the other side still takes them."""

    __slots__ = ("_callbacks", "_credited", "driver", "gone", "id")

    def __init__(self, driver: Driver, id: int) -> None:
        self.driver = driver
        self.id = id
        self.gone: SwarmError | None = None
        self._credited: trio.lowlevel.ParkingLot | None = None
        self._callbacks: list[Callable[[], object]] = []
        driver.ends[id] = self

    def message(self, event: Received) -> Step:
        """Never: the session takes no messages where this side sends them."""
        raise AssertionError(event)

    def data(self, data: bytes) -> None:
        """Never, likewise."""
        raise AssertionError(data)

    def ended(self) -> Step:
        """Never, likewise."""
        raise AssertionError

    @property
    def credited(self) -> trio.lowlevel.ParkingLot:
        """Where those wait who want to send."""
        if self._credited is None:  # most never need one
            self._credited = trio.lowlevel.ParkingLot()
        return self._credited

    def room(self) -> None:
        """See `End.room`."""
        if self._credited is not None:
            self._credited.unpark_all()

    def reset(self, error: SwarmError) -> None:
        """See `End.reset`."""
        self.gone = error
        self.room()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_gone(self, callback: Callable[[], object]) -> None:
        """See `Reply.on_gone`."""
        if self.gone is not None:
            callback()
        else:
            self._callbacks.append(callback)

    def end(self) -> None:
        """Send nothing more."""
        driver = self.driver
        if driver.ends.get(self.id) is self:
            driver.channels.end(self.id)
            driver.forget(self.id)
            driver.hurry()

    def release(self) -> None:
        """Nobody holds this any more: the other side may forget it too, and need not close what is behind it."""
        driver = self.driver
        if driver.ends.get(self.id) is self:
            driver.channels.reset(self.id)
            driver.forget(self.id)
            driver.wake()


class RemoteReply(Reply):
    """The reply channel of a call of the peer's. Only the message holds it: when it is dropped, the peer is told."""

    def __init__(self, end: _Far) -> None:
        super().__init__()
        self._end = end

    @property
    def gone(self) -> bool:
        """See `Reply.gone`."""
        return self._end.gone is not None

    def on_gone(self, callback: Callable[[], object]) -> None:
        """See `Reply.on_gone`."""
        self._end.on_gone(callback)

    async def _deliver(self, reply: Message) -> None:
        end = self._end
        if reply.verb not in FINAL and not end.driver.has_room(end.id):
            await end.driver.room(end.id, end.credited)
        if not end.driver.channels.is_open(end.id):  # maybe only just: then the event of it still waits
            end.gone = end.gone or Unavailable("the caller went away")
        if end.gone is not None:
            raise trio.BrokenResourceError("the caller went away")
        try:
            send(end.driver, end.id, reply)
        except SwarmError as exc:
            if reply.verb not in FINAL:
                raise
            self._answer_instead(exc if reply.verb is Verb.ACK else reply.error)

    def _answer_instead(self, error: SwarmError) -> None:
        """The final reply can't be carried: what is wrong with it, or the error without its details, must do."""
        plain = type(error)(error.message[:1000], backend=error.backend[:100])
        send(self._end.driver, self._end.id, Message(Verb.ERROR, value=plain))
        self._end.end()

    async def _finish(self) -> None:
        self._end.end()

    def __del__(self) -> None:
        end: _Far | None = getattr(self, "_end", None)
        if end is not None and end.gone is None and end.driver.ends.get(end.id) is end:
            if not self.answered:
                self._answer_instead(Unavailable("a stage dropped the request without an answer"))
            end.end()


class RemoteSender(trio.abc.SendChannel[Message]):
    """A channel to the peer's service, or to an object of the peer's."""

    def __init__(self, end: _Far | Inlet) -> None:
        self._end = end
        self._driver = end.driver

    async def send(self, value: Message) -> None:
        """Send a message; waits while the peer is behind.

        Raises:
            Unavailable: the session has ended, the peer wants no new calls, or the object is gone. The detail `UNSENT`
                says that the message surely was not taken.
            Invalid, TooLarge: it can't be carried.
        """
        end, driver = self._end, self._driver
        self._check(value)
        if not driver.has_room(end.id):
            await driver.room(end.id, end.credited)
            self._check(value)
        send(driver, end.id, value)

    def _check(self, value: Message) -> None:
        end, driver = self._end, self._driver
        why = driver.why or (end.gone if isinstance(end, _Far) else None)
        if why is None and end.id == SERVICE and driver.session.draining and value.ret is not None:
            why = Unavailable("the peer is shutting down")
        if why is not None:
            raise Unavailable(f"not sent: {why}", details={UNSENT: True})

    async def aclose(self) -> None:
        """Nothing more will be sent to the object. The service stays open: it is the connection's."""
        if isinstance(self._end, _Far):
            self._end.gone = self._end.gone or Unavailable("this side has closed the channel")
            self._end.end()
        await trio.lowlevel.checkpoint()

    def __del__(self) -> None:
        end: _Far | Inlet | None = getattr(self, "_end", None)
        if isinstance(end, _Far):
            end.release()


def send(driver: Driver, id: int, message: Message) -> None:
    """Send a message on a channel that has credit, and serve what it gives out. Raises what `Channels.send` does."""
    att = message.att
    kind = None if att is None else _kind(att)
    refs = driver.channels.send(id, message, trio.current_time(), kind)
    if refs is not NO_REFS:
        _give(driver, message, refs)
    if message.ret is not None:
        driver.hurry()
    else:
        driver.wake()


def _kind(att: trio.abc.ReceiveStream) -> RefKind:
    return RefKind.DUPLEX if isinstance(att, trio.abc.HalfCloseableStream) else RefKind.STREAM


def _give(driver: Driver, message: Message, refs: Refs) -> None:
    ret, channel, att, _ = refs
    if ret is not None and message.ret is not None:
        Call(driver, ret.id, message.ret)
    if channel is not None and message.channel is not None:
        Inlet(driver, channel.id, message.channel)
    if att is not None and message.att is not None:
        driver.nursery.start_soon(supervised, "an attachment", pump, message.att, StreamEnd(driver, att.id))


def bring(driver: Driver, event: Received) -> None:
    """Put into a message that came what it refers to. At once: what comes there may be next."""
    message = event.message
    ret, channel, att, _ = event.refs
    if ret is not None:
        message.ret = RemoteReply(_Far(driver, ret.id))
    if channel is not None:
        message.channel = RemoteSender(_Far(driver, channel.id))
    if att is not None:
        message.att = _brought_stream(driver, att.kind, att.id)


def _brought_stream(driver: Driver, kind: RefKind, id: int) -> trio.abc.ReceiveStream:
    end = StreamEnd(driver, id)
    return RemoteStream(end) if kind is RefKind.DUPLEX else RemoteReceiveStream(end)
