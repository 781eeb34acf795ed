"""The protocol of one session: bytes in, events out; what to send is taken from it. No I/O; imports no trio.

This is the frame of it: the handshake, cutting bytes into frames, heartbeats, the end. What happens on channels is in
`channels` and `incoming`; when it may, in `states`. All times are the caller's, in seconds on a clock of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ..errors import SwarmError, Unavailable
from . import frames
from .channels import Channels
from .errors import WireError
from .events import Agreed, Event, GoingAway, Over
from .frames import HEAD, MAGIC, VERSIONS, Type
from .incoming import IncomingFrames
from .limits import Limits
from .outbox import Outbox
from .table import SERVICE

_DATA: Final = int(Type.DATA)
_FIRST: Final = (Type.HELLO, Type.BYE)
_TOKEN: Final = bytes(8)


class Session:
    """One side of a session.

    Give it what comes (`receive`) and the time (`tick`, at `next_tick`), send what it gives (`take`), and do what the
    events say.

    version, capabilities: what both sides speak and can, once `Agreed`.
    channels: what is open, and what this side may do with it.
    incoming: what frames of the peer do there.
    outbox: what waits to be sent. Its size tells those who send messages when to wait.
    draining: whether the peer wants no new calls.
    over: whether the session has ended, whichever side ended it.
    """

    def __init__(
        self, *, initiator: bool, now: float, limits: Limits, capabilities: frozenset[str] = frozenset()
    ) -> None:
        self.version = 0
        self.capabilities = capabilities
        self.outbox = Outbox()
        self.channels = Channels(initiator=initiator, limits=limits, outbox=self.outbox, measure=self._ask)
        self.incoming = IncomingFrames(self.channels, limits)
        self.draining = False
        self.next_tick = now + limits.handshake
        self._limits = limits
        self._initiator = initiator
        self.over = False
        self._greeted = False
        # What came, and is no whole frame yet:
        self._parts: list[bytes] = []
        self._have = 0
        self._need = 0
        # Heartbeats:
        self._now = self._heard = now
        self._asked: float | None = None
        self._pong = b""
        self._handlers = self._make_handlers()
        if initiator:
            self._say_hello()

    def _make_handlers(self) -> Mapping[int, Callable[[int, bytes], None]]:
        incoming = self.incoming
        return {
            int(Type.HELLO): self._on_hello,
            int(Type.MESSAGE): incoming.on_message,
            int(Type.LAST): incoming.on_last,
            int(Type.END): incoming.on_end,
            int(Type.RESET): incoming.on_reset,
            int(Type.CREDIT): incoming.on_credit,
            int(Type.PING): self._on_ping,
            int(Type.PONG): self._on_pong,
            int(Type.GOAWAY): self._on_goaway,
            int(Type.BYE): self._on_bye,
        }

    # The handshake.

    def _say_hello(self) -> None:
        self.outbox.put(MAGIC + frames.hello(VERSIONS, self._limits, self.capabilities))

    def _greet(self, data: bytes) -> bytes:
        """Check the peer's first bytes; return those behind its magic, or b"" while there are too few."""
        if not MAGIC.startswith(data[: len(MAGIC)]):
            self.over = True
            if not self._initiator:
                self.outbox.put(frames.refusal(data))
            raise WireError(f"the peer does not speak the swarmlib protocol: it sent {data[:40]!r}")
        if len(data) < len(MAGIC):
            self._wait_for(len(MAGIC), data)
            return b""
        self._greeted = True
        if not self._initiator:
            self._say_hello()
        return data[len(MAGIC) :]

    def _on_hello(self, _: int, payload: bytes) -> None:
        if self.version:
            raise WireError("unexpected second HELLO")
        versions, theirs, capabilities = frames.read_hello(payload)
        self.version = frames.common(VERSIONS, versions)
        self.capabilities &= capabilities
        self.channels.begin(theirs)
        self.channels.delivery.events.append(Agreed())
        self.next_tick = self._now + self._limits.heartbeat
        self._ask()

    # What comes.

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take what came from the peer; return what it means.

        Raises:
            WireError: the peer breaks the format or the rules. The session is over; what `take` gives tells the peer.
        """
        self._now = self._heard = self.incoming.now = now
        events: list[Event] = []
        self.channels.delivery.events = events
        try:
            if not self.over:
                self._read(data)
        except WireError as exc:
            self.finish(exc)
            raise
        finally:
            self.channels.delivery.events = []  # what came is its taker's alone, who must be able to drop it
        return events

    def _read(self, data: bytes) -> None:
        if self._have:
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._need:
                return
            data = b"".join(self._parts)
            self._parts, self._have = [], 0
        if not self._greeted:
            data = self._greet(data)
        if self._greeted:
            self._cut(data)

    def _wait_for(self, need: int, have: bytes) -> None:
        if have:
            self._parts, self._have, self._need = [have], len(have), need
            self.incoming.bulk = False

    def _cut(self, data: bytes) -> None:
        """Take the frames of which all has come, and of DATA what has come."""
        end, size, unpack, most = len(data), HEAD.size, HEAD.unpack_from, self._limits.frame
        handlers = self._handlers
        start = self.incoming.sunk(data, 0)
        while end - start >= size and not self.over:
            length, type, id = unpack(data, start)
            if length > most:
                raise WireError(f"the frame has {length} bytes: the maximum is {most} (limit frame)")
            if not self.version and type not in _FIRST:
                raise WireError(f"unexpected frame of type {type} before the HELLO")
            stop = start + size + length
            if type == _DATA:
                self.incoming.on_data(id, length)
                start = self.incoming.sunk(data, start + size)
            elif stop > end:
                self._wait_for(size + length, data[start:])
                return
            else:
                handler = handlers.get(type)
                if handler is not None:
                    handler(id, data[start + size : stop])
                elif type < frames.OPTIONAL:
                    raise WireError(f"unknown frame type {type}")
                start = stop
        self._wait_for(size, data[start:])

    # Heartbeats, and the end of the session.

    def tick(self, now: float) -> None:
        """Take note of the time; to be called at `next_tick`.

        Raises:
            Unavailable: the peer has been silent for too long. The session is over.
        """
        self._now = now
        limits = self._limits
        patience = limits.patience if self.version else limits.handshake
        dead = self._heard + patience
        if now >= dead:
            error = Unavailable(f"the peer has been silent for {patience:g} s")
            self.finish(error)
            raise error
        if self.version and now >= self._heard + limits.heartbeat:
            self._ask()
        since = self._heard if self.version and self._asked is None else now
        self.next_tick = min(since + limits.heartbeat, dead)

    def _ask(self) -> None:
        if self._asked is None:
            self._asked = self._now
            self.outbox.frame(Type.PING, SERVICE, _TOKEN)

    def _on_ping(self, _: int, payload: bytes) -> None:
        if len(payload) != len(_TOKEN):
            raise WireError(f"invalid PING: expected {len(_TOKEN)} bytes, got {len(payload)}")
        self._pong = payload  # one answer for all that came until it goes: who doesn't read can't pile them up

    def _on_pong(self, _: int, __: bytes) -> None:
        if self._asked is not None:
            self.channels.windows.measured(self._now - self._asked)
            self._asked = None

    def go_away(self) -> None:
        """Tell the peer to begin no new calls."""
        self.outbox.frame(Type.GOAWAY)

    def _on_goaway(self, _: int, __: bytes) -> None:
        self.draining = True
        self.channels.delivery.events.append(GoingAway())

    def finish(self, why: SwarmError | None = None) -> None:
        """End the session; the peer is told why (None: in good order). Twice is harmless."""
        if not self.over:
            self.over = True
            self.outbox.put(frames.bye(why))

    def _on_bye(self, _: int, payload: bytes) -> None:
        self.channels.delivery.events.append(Over(frames.read_bye(payload)))
        self.over = True

    @property
    def waiting(self) -> bool:
        """Whether `take` would give something."""
        return bool(self._pong or self.outbox)

    def take(self) -> bytes:
        """Take the bytes to send next; b"" while there are none."""
        return b"".join(self.take_pieces())

    def take_pieces(self) -> Sequence[bytes | memoryview]:
        """Take the bytes to send next, where they lie; they may be sent in one go."""
        if self._pong:
            self.outbox.frame(Type.PONG, SERVICE, self._pong)
            self._pong = b""
        self.channels.caused = 0
        pieces = self.outbox.take(self.channels.emptied)
        self.channels.pay()
        return pieces
