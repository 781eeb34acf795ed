"""SPDY/3.1 without I/O, for both ends, as Kubernetes speaks it: exec, attach and port-forward run over it.

Windows are not kept. The library of Kubernetes' servers (moby/spdystream) neither sends WINDOW_UPDATE nor obeys it: a
receiver that is slow holds back the whole connection. So what one connection carries must belong together.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from swarmlib.errors import BadAnswer

from ...http.websocket import Owed
from .events import Accepted, Data, Ended, Event, Opened, Reset
from .spdy_headers import HeaderReader, HeaderWriter

MAX_CONTROL: Final = 65536
"""The most bytes that a control frame may have after its first eight. Kubernetes' own have less than 200."""
MAX_STREAMS: Final = 1024
"""The most streams of one connection that the peer may have open at a time."""

_HEAD: Final = 8
_CONTROL: Final = 0x8003_0000
_FIN: Final = 0x01
_LENGTH: Final = 0xFF_FFFF
_ID: Final = 0x7FFF_FFFF
_CANCEL: Final = 5
_WORDS: Final = struct.Struct(">II")


class _Type(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class Spdy:
    """One end of a connection: a `Framing` whose channels are SPDY's streams."""

    def __init__(self, *, client: bool) -> None:
        self._client = client
        self._frame = bytearray()  # of the frame that is arriving, except for the data of a data frame
        self._need = _HEAD
        self._data: tuple[int, int, bool] | None = None  # the stream of a data frame, its bytes to come, its FIN
        self._receiving: set[int] = set()
        self._next_id = 1 if client else 2
        self._last_id = 0 if client else -1  # the last one that the peer opened
        self._next_ping = 1 if client else 2
        self._reader, self._writer = HeaderReader(), HeaderWriter()

    # What is sent.

    def open(self, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Open a stream: return its number, and the frame that says so."""
        stream, self._next_id = self._next_id, self._next_id + 2
        self._receiving.add(stream)
        return stream, _control(_Type.SYN_STREAM, _WORDS.pack(stream, 0) + b"\0\0" + self._writer.block(headers))

    def accept(self, channel: int) -> bytes:
        """Return the frame that accepts a stream which the peer opened."""
        return _control(_Type.SYN_REPLY, channel.to_bytes(4, "big") + self._writer.block({}))

    def reset(self, channel: int) -> bytes:
        """Return the frame that ends a stream in both directions."""
        self._receiving.discard(channel)
        return _control(_Type.RST_STREAM, _WORDS.pack(channel, _CANCEL))

    def data(self, channel: int, data: bytes | memoryview) -> bytes:
        """Return the frame that carries bytes of a stream, at most 16 MiB."""
        return b"".join((_WORDS.pack(channel, len(data)), data))

    def end(self, channel: int) -> bytes:
        """Return the frame that ends a stream in this direction."""
        return _WORDS.pack(channel, _FIN << 24)

    def ping(self) -> bytes:
        """Return a frame that the peer answers."""
        number, self._next_ping = self._next_ping, (self._next_ping + 2) & _ID
        return _control(_Type.PING, number.to_bytes(4, "big"))

    def close(self) -> bytes:
        """Return the frame that says that no more streams will be accepted."""
        return _control(_Type.GOAWAY, _WORDS.pack(max(self._last_id, 0), 0))

    # What is received.

    def receive(self, data: bytes) -> list[Event]:
        """Take what the peer sent; see `Framing`."""
        events: list[Event] = []
        at = 0
        while at < len(data):
            if self._data:
                at = self._take_data(data, at, events)
            else:
                stop = at + self._need - len(self._frame)
                self._frame += data[at:stop]
                at = min(stop, len(data))
                if len(self._frame) == self._need:
                    self._complete(events)
        return events

    def _take_data(self, data: bytes, at: int, events: list[Event]) -> int:
        """Take what has arrived of a data frame's bytes, and return the place after it."""
        assert self._data
        stream, left, fin = self._data
        stop = min(len(data), at + left)
        if stream in self._receiving:  # else it has ended: nobody wants what was under way when it was reset here
            events.append(Data(stream, data if stop - at == len(data) else data[at:stop]))
        self._expect_data(stream, left - (stop - at), fin, events)
        return stop

    def _expect_data(self, stream: int, left: int, fin: bool, events: list[Event]) -> None:
        self._data = (stream, left, fin) if left else None
        if fin and not left:
            self._end(stream, events)

    def _end(self, stream: int, events: list[Event]) -> None:
        if stream in self._receiving:
            self._receiving.remove(stream)
            events.append(Ended(stream))

    def _complete(self, events: list[Event]) -> None:
        """Go on after the first eight bytes of a frame, or after the last of a control frame."""
        first, second = _WORDS.unpack_from(self._frame)
        length = second & _LENGTH
        if not first >> 31:
            self._frame.clear()
            self._known(first)
            self._expect_data(first, length, bool(second >> 24 & _FIN), events)
        elif length > MAX_CONTROL:
            raise BadAnswer(f"malformed SPDY frame: a control frame of {length} bytes; the maximum is {MAX_CONTROL}")
        elif len(self._frame) < _HEAD + length:
            self._need = _HEAD + length
        else:
            body = bytes(self._frame[_HEAD:])
            self._frame.clear()
            self._need = _HEAD
            if first & 0xFFFF_0000 != _CONTROL:
                raise BadAnswer("malformed SPDY frame: it is not of version 3")
            self._control(first & 0xFFFF, second >> 24, body, events)

    def _control(self, kind: int, flags: int, body: bytes, events: list[Event]) -> None:
        match kind:
            case _Type.SYN_STREAM:
                self._opened(flags, body, events)
            case _Type.SYN_REPLY | _Type.HEADERS:
                self._headers(kind, flags, body, events)
            case _Type.RST_STREAM:
                stream = self._known(_pair(kind, flags, body)[0])
                if stream in self._receiving:
                    self._receiving.remove(stream)
                    events.append(Reset(stream))
            case _Type.PING:
                _require(len(body) == 4 and not flags, kind)
                if (body[3] & 1) != (self._next_ping & 1):
                    events.append(Owed(_control(_Type.PING, body)))
            case _Type.GOAWAY | _Type.WINDOW_UPDATE:  # streams that are open go on after GOAWAY, and no other is opened
                _pair(kind, flags, body)
            case _Type.SETTINGS:
                _require(len(body) >= 4 and len(body) == 4 + 8 * int.from_bytes(body[:4], "big"), kind)
            case _:
                pass  # section 2.2.1: a control frame of an unknown type is ignored

    def _opened(self, flags: int, body: bytes, events: list[Event]) -> None:
        _require(len(body) >= 10, _Type.SYN_STREAM)
        stream, headers = _WORDS.unpack_from(body)[0] & _ID, self._reader.headers(body[10:])
        if self._client or not stream & 1 or stream <= self._last_id:
            raise BadAnswer(f"malformed SPDY frame: the peer may not open stream {stream}")
        if len(self._receiving) >= MAX_STREAMS:
            raise BadAnswer(f"the peer opened more than {MAX_STREAMS} SPDY streams")
        self._last_id = stream
        self._receiving.add(stream)
        events.append(Opened(stream, headers))
        if flags & _FIN:
            self._end(stream, events)

    def _headers(self, kind: int, flags: int, body: bytes, events: list[Event]) -> None:
        """Take SYN_REPLY and HEADERS, whose headers say nothing in Kubernetes."""
        _require(len(body) >= 4, kind)
        self._reader.headers(body[4:])
        stream = self._known(int.from_bytes(body[:4], "big") & _ID)
        if kind == _Type.SYN_REPLY and stream in self._receiving:
            events.append(Accepted(stream))
        if flags & _FIN:
            self._end(stream, events)

    def _known(self, stream: int) -> int:
        """Return the number of a stream that is or was open. Data may still come after it was reset here."""
        ours = bool(stream & 1) == self._client
        if not stream or stream > (self._next_id - 2 if ours else self._last_id):
            raise BadAnswer(f"malformed SPDY frame: there is no stream {stream}")
        return stream


def _control(kind: _Type, body: bytes) -> bytes:
    """Return a control frame without flags."""
    return _WORDS.pack(_CONTROL | kind, len(body)) + body


def _pair(kind: int, flags: int, body: bytes) -> tuple[int, int]:
    """Return the two words that are the body of several kinds of frames: a stream and a number."""
    _require(len(body) == _WORDS.size and not flags, kind)
    first, second = _WORDS.unpack(body)
    return first & _ID, second


def _require(condition: bool, kind: int) -> None:
    if not condition:
        raise BadAnswer(f"malformed SPDY frame: a {_Type(kind).name} frame with a wrong length or with flags")
