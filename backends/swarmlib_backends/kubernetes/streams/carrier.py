"""A connection to the cluster that carries several channels: a framing over a byte stream.

Nothing is read ahead. Who receives takes the bytes from the connection, so that a slow reader slows down the peer, and
that peer alone: each process and each forwarded connection has a connection of its own. What one read has brought of a
channel is one event, though: a kubelet sends frames of a few KiB, and each event costs its receiver a write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from swarmlib.errors import BadAnswer, TimedOut, Unavailable, ungrouped
from swarmlib.pieces import PIECE, Pace

from ...http.websocket import Closed, Owed
from .events import Accepted, Event, Framing, Multiplexing, Reset, joined

KEEPALIVE_SECONDS: Final = 20.0
"""After how long a silence a ping is sent: load balancers end silent connections after a minute, kubelets after 4 h."""
OPEN_SECONDS: Final = 30.0
"""How long the peer may take to accept channels; a kubelet itself waits for them no longer."""
GATHER_SECONDS: Final = 0.001
"""How long more may gather before the next read, where much comes in small reads: each takes about as long as a large
one does."""
_CLOSE_SECONDS: Final = 1.0
_RECEIVE: Final = 64 * 1024
_FEW: Final = _RECEIVE // 2
_MAX_FRAME: Final = PIECE
_MAX_OWED: Final = 8 * 1024
_MAX_EARLY: Final = 64


class Carrier:
    """A connection with channels. One task may receive, while any others send."""

    def __init__(self, stream: trio.abc.Stream, framing: Framing) -> None:
        self._stream = stream
        self._framing = framing
        self._events: deque[Event] = deque()
        self._lock = trio.Lock()
        self._cut = False
        self._owed = bytearray()
        self._owing = trio.Event()
        self._reads = 0
        self._reading = False
        self._pace = Pace()
        self._few = False
        self.ended: str | None = None
        """Why the connection has ended: a reason, "" if there is none; None while it is open."""

    async def receive(self) -> Event | None:
        """Return the next event; None when the connection has ended.

        Raises:
            BadAnswer: the peer broke the protocol.
            trio.ClosedResourceError: the connection was closed here.
        """
        while not self._events:
            if self.ended is not None:
                await trio.lowlevel.checkpoint()
                return None
            await self._read()
        return self._events.popleft()

    async def _read(self) -> None:
        for event in joined(self._framing.receive(await self._received())):
            match event:
                case Owed():
                    self._owe(event.data)
                case Closed():
                    self.ended = event.reason
                case _:
                    self._events.append(event)

    async def _received(self) -> bytes:
        """Return bytes of the connection; b"" at its end."""
        self._reads += 1
        self._reading = True
        try:
            if self._few and self._pace.busy:
                await trio.sleep(GATHER_SECONDS)
            data = await self._stream.receive_some(_RECEIVE)
        except trio.BrokenResourceError as exc:
            self.ended = str(exc) or "the connection broke"
            return b""
        except trio.ClosedResourceError:
            if self.ended is None:
                raise
            return b""
        finally:
            self._reading = False
        if not data:
            self.ended = ""
        self._pace.note(len(data))
        self._few = len(data) < _FEW
        return bytes(data)

    async def end_when_silent(self, seconds: float) -> None:
        """Wait until someone has waited for the peer for some time, at most twice that, and end the connection."""
        reads = -1
        while not (self._reading and self._reads == reads):
            reads = self._reads
            await trio.sleep(seconds)
        self.ended = ""
        await trio.aclose_forcefully(self._stream)

    def _owe(self, data: bytes) -> None:
        """Have something sent by the task that may wait for it: who receives must not wait for who sends."""
        self._owed += data
        if len(self._owed) > _MAX_OWED:
            raise BadAnswer("the cluster sends pings faster than it takes the answers")
        self._owing.set()

    async def send(self, channel: int, data: bytes | bytearray | memoryview) -> None:
        """Send bytes on a channel.

        Raises:
            trio.BrokenResourceError: the peer takes no more, or an earlier call was cancelled in the middle of a frame.
            trio.ClosedResourceError: the connection was closed here.
        """
        view = memoryview(data)
        for start in range(0, len(view), _MAX_FRAME):
            await self._send(self._framing.data(channel, view[start : start + _MAX_FRAME]))

    async def end(self, channel: int) -> None:
        """Send no more on a channel. Raises what `send` does, and Unsupported if the protocol can't say it."""
        await self._send(self._framing.end(channel))

    async def _send(self, frame: bytes) -> None:
        if self.ended is not None:
            raise trio.BrokenResourceError(self.ended or "the peer has ended the connection")
        await self.write(frame)

    async def write(self, frame: bytes) -> None:
        """Send a whole frame that the framing made. Raises what `send` does."""
        async with self._lock:
            if self._cut:
                raise trio.BrokenResourceError("the connection broke in the middle of a frame")
            self._cut = True  # unless all of the frame is sent: no other may follow a part of one
            await self._stream.send_all(frame)
            self._cut = False

    async def open(self, framing: Multiplexing, *channels: Mapping[str, str]) -> list[int]:
        """Open channels of a multiplexing framing, the carrier's own, and wait until all are accepted.

        Raises:
            Unavailable: the peer refuses one, or ends the connection.
            TimedOut: it has not accepted all within `OPEN_SECONDS`.
            BadAnswer: it broke the protocol.
        """
        opened = [framing.open(headers) for headers in channels]
        numbers = [number for number, _ in opened]
        with trio.move_on_after(OPEN_SECONDS):
            try:
                await self.write(b"".join(frame for _, frame in opened))
            except trio.BrokenResourceError as exc:
                raise Unavailable(f"the connection to the cluster broke: {exc}") from exc
            await self._accepted(set(numbers))
            return numbers
        raise TimedOut(f"timed out: the cluster did not accept a stream within {OPEN_SECONDS:g} s")

    async def _accepted(self, waiting: set[int]) -> None:
        early: list[Event] = []
        while waiting:
            event = await self.receive()
            if isinstance(event, Accepted):
                waiting.discard(event.channel)
            elif event is None or (isinstance(event, Reset) and event.channel in waiting):
                raise Unavailable(f"the cluster refused a stream: {self.ended or 'it gave no reason'}")
            elif len(early) == _MAX_EARLY:
                raise BadAnswer("the cluster uses streams before it has accepted them")
            else:
                early.append(event)
        self._events.extendleft(reversed(early))

    async def keep_alive(self) -> None:
        """Send what is owed, and pings while the peer is silent, until the connection ends.

        A peer that sends gets none. What it has not read when it closes the connection makes its kernel throw away the
        end of what it has sent.
        """
        try:
            while self.ended is None:
                reads = self._reads if self._reading else None
                with trio.move_on_after(KEEPALIVE_SECONDS):
                    await self._owing.wait()
                silent = self._reading and self._reads == reads
                frame = bytes(self._owed) or (self._framing.ping() if silent else b"")
                self._owed.clear()
                self._owing = trio.Event()
                if frame:
                    await self.write(frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # who receives learns of it

    async def close(self) -> None:
        """Say that the connection ends, if that is possible at once."""
        with (
            trio.move_on_after(_CLOSE_SECONDS, shield=True),
            suppress(trio.BrokenResourceError, trio.ClosedResourceError),
        ):
            await self.write(self._framing.close())


@asynccontextmanager
async def carrying(stream: trio.abc.Stream, framing: Framing) -> AsyncGenerator[Carrier]:
    """Carry channels over a stream, which the caller closes, and keep it alive."""
    carrier = Carrier(stream, framing)
    with ungrouped():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carrier.keep_alive)
            try:
                yield carrier
            finally:
                await carrier.close()
                nursery.cancel_scope.cancel()
