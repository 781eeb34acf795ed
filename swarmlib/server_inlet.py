"""The channel of a `Server`, which runs the handler of each request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import trio

from .errors import TimedOut, Unavailable, sole
from .refusing import as_error, closed, end_dropped, refuse
from .reply_channel import CLEANUP_SECONDS, ReplySender, SendersTask
from .request import Handler, Request, Sender
from .verbs import Verb

FORWARDED: Final[Any] = object()
"""What a handler returns that has forwarded its request."""


class ServerInlet(trio.abc.SendChannel[Request]):
    """Runs each handler in a task of `nursery`, or in the sender's own if that waits for the call (`SendersTask`).

    name: gives the stage's name. choose: gives the handler of a request, None to send it to `next`. max_calls: how many
    calls may be under way.
    """

    def __init__(
        self,
        name: Callable[[], str],
        choose: Callable[[Request], Handler | None],
        next: Sender,
        max_calls: int,
        nursery: trio.Nursery,
    ) -> None:
        self._name = name
        self._choose = choose
        self._next = next
        self._max_calls = max_calls
        self._nursery = nursery
        self._active = 0
        self._waiting = trio.lowlevel.ParkingLot()
        self._closed = False
        self._in_senders: dict[object, SendersTask] = {}
        """The senders in whose tasks calls run, by the calls' turns."""

    async def send(self, value: Request) -> None:
        """Have the request handled, or send it on."""
        handler = self._choose(value)
        if handler is None:
            await (refuse(value, closed(self._name())) if self._closed else self._next.send(value))
            return
        while self._active >= self._max_calls and not self._closed:
            await self._waiting.park()
        sender = value.reply.sender
        if sender is None or value.deadline < sender.deadline or trio.lowlevel.current_task() is not sender.task:
            await self.take_up(handler, value)
        elif self._closed:
            await refuse(value, closed(self._name()))
        else:
            await self._run_in_senders(handler, value, sender)

    async def take_up(self, handler: Handler, value: Request) -> None:
        """See `Server.take_up`."""
        if self._closed:
            await refuse(value, closed(self._name()))
            return
        self._nursery.start_soon(self._run, handler, value, self._turn(value.reply))

    def _turn(self, reply: ReplySender) -> object:
        turn = object()  # not this channel itself: a call that was returned may pass here a second time
        reply.pass_to(turn)
        self._active += 1
        return turn

    def _done(self) -> None:
        self._active -= 1
        if self._waiting:
            self._waiting.unpark()

    async def aclose(self) -> None:
        """Refuse what comes from now on, and end the calls that run in their senders' tasks."""
        self._closed = True
        self._waiting.unpark_all()
        for sender in self._in_senders.values():
            sender.cancel()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
            while self._in_senders:
                await self._waiting.park()

    async def _run_in_senders(self, handler: Handler, request: Request, sender: SendersTask) -> None:
        turn = self._turn(request.reply)
        self._in_senders[turn] = sender
        try:
            if not await self._handle(handler, request, turn):
                await request.reply.aclose()
        except BaseException:  # cancelled: with this stage or one behind it, unless the sender was, who is gone then
            if self._closed:
                await refuse(request, closed(self._name()))
            elif sender.is_cancelled:
                await refuse(request, Unavailable(f"a stage behind {self._name()} was closed during the call"))
            raise
        finally:
            del self._in_senders[turn]
            self._done()

    async def _run(self, handler: Handler, request: Request, turn: object) -> None:
        try:
            await self._run_in_scope(handler, request, turn)
        except Exception as exc:  # noqa: BLE001 - the call was cancelled, and failed while it ended: only it ends
            await refuse(request, as_error(exc, self._name(), request))
        finally:
            self._done()

    async def _run_in_scope(self, handler: Handler, request: Request, turn: object) -> None:
        reply = request.reply
        with trio.CancelScope(deadline=request.deadline) as scope:
            reply.on_gone(scope.cancel)
            try:
                if await self._handle(handler, request, turn):
                    return
            except BaseException:  # cancelled: with the stage, unless its caller or its deadline did it
                if not scope.cancel_called:
                    await refuse(request, closed(self._name()))
                raise
        if scope.cancelled_caught and not reply.gone:
            late = TimedOut(f"timed out: no answer to {request.verb} before its deadline", backend=self._name())
            await refuse(request, late)
        await reply.aclose()

    async def _handle(self, handler: Handler, request: Request, turn: object) -> bool:
        """Run a handler; return whether it has forwarded the request, whose end it does not know."""
        try:
            result = await handler(request)
            if result is FORWARDED:
                if request.reply.is_with(turn):
                    await end_dropped(request, self._name())
                return True
            if not request.reply.answered:
                await _answer(request, result)
        except* Exception as group:  # noqa: BLE001 - the contract: whatever happens, the caller is answered
            # What failed in some tasks of a handler while others were cancelled is no reason for the stage to fail.
            await refuse(request, as_error(cast("Exception", sole(group)), self._name(), request))
        return False


async def _answer(request: Request, result: Any) -> None:
    """Answer with what a handler has returned."""
    reply = request.reply
    if result is None or request.verb is Verb.SPAWN:
        await reply.ack(result)
    else:
        await reply.set(result)
        await reply.ack()
