"""What moves a session on trio: its tasks, which read, write and keep time, and the endpoints that they serve."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import trio

from ..errors import SwarmError, Unavailable
from ..net.sockets import lean
from ..supervision import supervised
from .endpoint import Endpoint, Step
from .errors import WireError
from .events import Agreed, Closed, Data, Ended, GoingAway, Over, Received, Reset, Room
from .limits import Limits
from .reader import Reader
from .session import Session
from .table import SERVICE
from .writer import Writer

_log = logging.getLogger(__name__)


class Driver:
    """One session, and the stream that it runs over.

    session: the protocol.
    endpoints: by the numbers of their channels.
    peer: who is on the other side, for errors and the log.
    most_parameters: parameters that a request of the peer's may have, and details that a reply may have.
    why: None until the session has ended; then `closed` is set, and `writer.closed` once the stream is closed too.
    idle: set when this side drains and nothing is open any more.
    draining: whether this side takes no new calls.
    """

    def __init__(
        self, stream: trio.abc.Stream, nursery: trio.Nursery, *, initiator: bool, limits: Limits, caller: str, peer: str
    ) -> None:
        self.nursery = nursery
        self.caller = caller
        self.peer = peer or caller or "the peer"
        self.most_parameters = limits.parameters
        self.session = Session(initiator=initiator, now=trio.current_time(), limits=limits)
        self.channels = self.session.channels
        self.endpoints: dict[int, Endpoint] = {}
        self.why: SwarmError | None = None
        self.agreed = trio.Event()
        self.closed = trio.Event()
        self.idle = trio.Event()
        self.draining = False
        stream = lean(stream) if isinstance(stream, trio.SocketStream) else stream
        self.writer = Writer(stream, self.session, limits, drained=self._on_drained, broken=self.end)
        self.reader = Reader(
            stream,
            self.session,
            self._make_handlers(),
            handled=self.writer.send_now,
            go_on=lambda: self._start(self.reader.run),
            ended=self.end,
        )
        self._handshake = limits.handshake

    def _make_handlers(self) -> Mapping[type[Any], Callable[[Any], Step]]:
        return {
            Received: self._on_received,
            Data: self._on_data,
            Ended: self._on_ended,
            Reset: self._on_reset,
            Closed: lambda event: self.forget(event.channel),
            Room: self._on_room,
            Agreed: lambda _: self.agreed.set(),
            GoingAway: lambda _: self._on_room(Room(SERVICE)),
            Over: lambda event: self.end(event.why),
        }

    # The tasks.

    async def start(self) -> None:
        """Start the session's tasks, and wait until both sides have agreed.

        Raises:
            WireError, Unavailable: see `open_connection`.
        """
        self._start(partial(self.writer.run, self.reader.read_all))
        self._start(self.reader.run)
        with trio.move_on_after(self._handshake):
            await self.agreed.wait()
        if not self.agreed.is_set():
            self.end(Unavailable(f"the peer sent no HELLO within {self._handshake:g} s"))
        if self.why is not None:
            raise self.why
        self._start(self.keep_time)

    def _start(self, run: Callable[[], Awaitable[None]]) -> None:
        """Start one of the session's tasks. Whatever it raises ends this session, and nothing else."""
        self.nursery.start_soon(supervised, self._named, self._watch_over, run)

    def _named(self) -> str:
        return f"the session with {self.peer}"

    async def _watch_over(self, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        except Exception as exc:
            self.end(Unavailable(f"the session failed: {type(exc).__name__}"))
            raise

    async def keep_time(self) -> None:
        """Tell the session the time whenever it is due, until it has ended: it finds out whether the peer is there."""
        while not self.session.over:
            await trio.sleep_until(self.session.next_tick)
            try:
                self.session.tick(trio.current_time())
            except Unavailable as exc:
                self.end(exc)
            self.wake()

    def wake(self) -> None:
        """Have what waits in the session sent, together with what else is ready soon."""
        if not self.reader.handling:  # it sends all that was answered when it is done
            self.writer.wake()

    def hurry(self) -> None:
        """Have what waits in the session sent: at once, if nothing else would go with it."""
        if not self.reader.handling:
            (self.writer.send_now if self.reader.alone else self.writer.wake)()

    # What comes.

    def _on_received(self, event: Received) -> Step:
        endpoint = self.endpoints.get(event.channel)
        if endpoint is not None:
            return endpoint.message(event)
        try:
            self.channels.abandon(event)  # it came before the peer knew that the channel is closed
        except WireError as exc:
            self.end(exc)
        return None

    def _on_data(self, event: Data) -> None:
        endpoint = self.endpoints.get(event.channel)
        if endpoint is not None:
            endpoint.data(event.data)

    def _on_ended(self, event: Ended) -> Step:
        endpoint = self.endpoints.get(event.channel)
        if event.last:
            self.forget(event.channel)
        return endpoint.ended() if endpoint is not None else None

    def _on_reset(self, event: Reset) -> Step:
        endpoint = self.endpoints.get(event.channel)
        self.forget(event.channel)
        return endpoint.reset(Unavailable(event.reason or "the peer closed it")) if endpoint is not None else None

    def _on_room(self, event: Room) -> None:
        endpoint = self.endpoints.get(event.channel)
        if endpoint is not None:
            endpoint.room()

    def _on_drained(self, id: int) -> None:
        self._on_room(Room(id))
        if not self.channels.is_open(id):
            self.reader.handle_behind(Closed(id))

    def taken(self, event: Received) -> None:
        """Note that a message that came has been taken by its receiver."""
        if self.channels.taken(event):
            self.writer.send_now()  # so that the peer goes on while this side is still at what came
        elif event.value is not None:
            self.wake()  # the room of its value may have been granted to another

    # The end.

    def forget(self, channel: int) -> None:
        """Forget an endpoint. When this side drains, and it was the last, that is the end of it."""
        self.endpoints.pop(channel, None)
        if self.draining and not self.channels.calls:
            self.idle.set()

    def end(self, why: SwarmError | None = None) -> None:
        """End the session, as `why` says; None: this side ends it, in good order. Twice is harmless."""
        if self.why is not None:
            return
        self.session.finish(why)
        self.why = why or Unavailable("this side ended the session")
        self.writer.finish()
        self.closed.set()
        self.agreed.set()  # those who wait for it look at `why` then
        self.idle.set()
        lost = self.why if isinstance(self.why, Unavailable) else Unavailable(f"the connection was lost: {self.why}")
        endpoints, self.endpoints = self.endpoints, {}
        for endpoint in endpoints.values():
            self._lose(endpoint, lost)

    def _lose(self, endpoint: Endpoint, why: SwarmError) -> None:
        """Tell one endpoint that the session is over. What its owner does about that must not keep it from the
        others.
        """
        try:
            step = endpoint.reset(why)
        except Exception:  # noqa: BLE001 - a stage's callback may raise anything
            _log.error("the clean-up of %s failed", self._named(), exc_info=True)
            return
        if step is not None:
            self.nursery.start_soon(supervised, self._named, _run, step)


async def _run(step: Coroutine[Any, Any, None]) -> None:
    await step
