"""SPDY/3.1 without I/O: real transcripts, both ends against each other, and hostile peers."""

import struct
import zlib
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib.errors import BadAnswer
from swarmlib_backends.http.websocket import Owed
from swarmlib_backends.kubernetes.streams.events import Accepted, Data, Ended, Event, Opened, Reset
from swarmlib_backends.kubernetes.streams.spdy import MAX_CONTROL, MAX_STREAMS, Spdy
from swarmlib_backends.kubernetes.streams.spdy_dictionary import DICTIONARY
from swarmlib_backends.kubernetes.streams.spdy_headers import MAX_BLOCK, HeaderReader, HeaderWriter
from tests.backends.kubernetes.streams.recorded import Recorded, recorded

TRANSCRIPTS = [each for each in recorded() if each.dialect == "SPDY"]
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9


def frame(kind: int, body: bytes, *, flags: int = 0, version: int = 3) -> bytes:
    """A control frame."""
    return struct.pack(">HHI", 0x8000 | version, kind, flags << 24 | len(body)) + body


def data_frame(stream: int, data: bytes, *, flags: int = 0) -> bytes:
    return struct.pack(">II", stream, flags << 24 | len(data)) + data


def syn_stream(stream: int, writer: HeaderWriter) -> bytes:
    return frame(SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + writer.block({}))


def client_with(streams: int) -> Spdy:
    client = Spdy(client=True)
    for _ in range(streams):
        client.open({"streamtype": "data"})
    return client


def joined(events: list[Event]) -> list[Event]:
    """The events with the pieces of each channel's data put together."""
    merged: list[Event] = []
    for event in events:
        match merged[-1:], event:
            case [Data(channel, before)], Data(same, data) if channel == same:
                merged[-1] = Data(channel, before + data)
            case _:
                merged.append(event)
    return merged


def fed(spdy: Spdy, data: bytes, cuts: list[int]) -> list[Event]:
    """What a connection says to bytes that arrive in pieces."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [event for start, stop in pairwise(places) for event in spdy.receive(data[start:stop])]


def test_the_dictionary_is_that_of_the_specification() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda each: each.name)
def test_a_server_understands_what_was_sent_to_a_real_one(transcript: Recorded) -> None:
    events = Spdy(client=False).receive(transcript.sent)
    opened = [event.headers["streamtype"] for event in events if isinstance(event, Opened)]
    assert "error" in opened
    assert len(set(opened)) == len(opened) >= 2


@given(st.sampled_from(TRANSCRIPTS), st.lists(st.integers(0, 10_000), max_size=20))
def test_a_real_server_s_bytes_mean_the_same_however_they_are_cut(transcript: Recorded, cuts: list[int]) -> None:
    whole = joined(client_with(5).receive(transcript.received))
    assert joined(fed(client_with(5), transcript.received, cuts)) == whole
    assert any(isinstance(event, Data) for event in whole)


def test_both_ends_understand_each_other() -> None:
    client, server = Spdy(client=True), Spdy(client=False)
    stream, opening = client.open({"streamtype": "stdin"})
    assert server.receive(opening) == [Opened(stream, {"streamtype": "stdin"})]
    assert client.receive(server.accept(stream)) == [Accepted(stream)]
    assert server.receive(client.data(stream, b"abc") + client.end(stream)) == [Data(stream, b"abc"), Ended(stream)]
    assert client.receive(server.data(stream, b"answer")) == [Data(stream, b"answer")]
    assert client.receive(server.reset(stream)) == [Reset(stream)]
    assert client.receive(server.close()) == []


@given(
    st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=300), st.booleans()), max_size=20),
    st.lists(st.integers(0, 10_000), max_size=20),
)
def test_what_is_sent_arrives(sent: list[tuple[int, bytes, bool]], cuts: list[int]) -> None:
    client, server = Spdy(client=True), Spdy(client=False)
    streams, raw, expected, over = [], b"", {}, set[int]()
    for number in range(4):
        stream, opening = client.open({"number": str(number)})
        streams.append(stream)
        expected[stream] = b""
        raw += opening
    for number, data, last in sent:
        stream = streams[number]
        if stream not in over:
            raw += client.data(stream, data) + (client.end(stream) if last else b"")
            expected[stream] += data
            over |= {stream} if last else set()
    events = fed(server, raw, cuts)
    got = {
        stream: b"".join(each.data for each in events if isinstance(each, Data) and each.channel == stream)
        for stream in streams
    }
    assert got == expected
    assert {event.channel for event in events if isinstance(event, Ended)} == over


def test_data_arrives_before_its_frame_is_complete_and_is_not_copied() -> None:
    client = client_with(1)
    head = data_frame(1, b"x" * 70_000)[:8]
    assert client.receive(head) == []
    piece = b"x" * 60_000
    [event] = client.receive(piece)
    assert isinstance(event, Data)
    assert event.data is piece


def test_a_ping_is_answered_and_an_answer_is_not() -> None:
    client, server = Spdy(client=True), Spdy(client=False)
    [owed] = server.receive(client.ping())
    assert isinstance(owed, Owed)
    assert client.receive(owed.data) == []
    assert client.receive(frame(PING, b"\0\0\0\2")) == [Owed(frame(PING, b"\0\0\0\2"))]


@pytest.mark.parametrize(
    "harmless",
    [
        frame(SETTINGS, struct.pack(">IIIII", 2, 4, 100, 7, 65536)),
        frame(WINDOW_UPDATE, struct.pack(">II", 1, 5)),
        frame(GOAWAY, struct.pack(">II", 1, 0)),
        frame(77, b"a frame of a type to come"),
        frame(HEADERS, struct.pack(">I", 1) + HeaderWriter().block({"a": "b"})),
        data_frame(1, b""),
    ],
    ids=["settings", "window", "goaway", "unknown", "headers", "empty"],
)
def test_frames_without_a_meaning_here_are_read_and_ignored(harmless: bytes) -> None:
    client = client_with(1)
    assert client.receive(harmless) == []
    assert client.receive(data_frame(1, b"then")) == [Data(1, b"then")]


def test_what_was_under_way_when_a_stream_was_reset_is_dropped() -> None:
    client = client_with(1)
    client.reset(1)
    assert client.receive(data_frame(1, b"late", flags=1) + frame(RST_STREAM, struct.pack(">II", 1, 5))) == []


def bomb() -> bytes:
    """A block of headers that is small, and large when it is decompressed."""
    return HeaderWriter().block({"a": "x" * (MAX_BLOCK + 1)})


def block(plain: bytes) -> bytes:
    compressor = zlib.compressobj(zdict=DICTIONARY)
    return compressor.compress(plain) + compressor.flush(zlib.Z_SYNC_FLUSH)


REPLY = struct.pack(">I", 1)


@pytest.mark.parametrize(
    ("hostile", "why"),
    [
        (frame(SYN_REPLY, REPLY + bomb()), "more than"),
        (frame(SYN_REPLY, REPLY + b"not zlib"), "decompressed"),
        (frame(SYN_REPLY, REPLY + zlib.compress(b"")), "decompressed|compression ends"),
        (frame(SYN_REPLY, REPLY + block(b"\xff\xff\xff\xff")), "too short"),
        (frame(SYN_REPLY, REPLY + block(struct.pack(">II", 1, 0xFFFFFFFF))), "longer than its block"),
        (frame(SYN_REPLY, REPLY + block(struct.pack(">I", 0) + b"more")), "bytes follow"),
        (frame(SYN_REPLY, REPLY + HeaderWriter().block({"Upper": "case"})), "lower case"),
        (frame(SYN_REPLY, b"\0\0"), "wrong length"),
        (frame(RST_STREAM, b"\0" * 7), "wrong length"),
        (frame(PING, b"\0\0\0\2", flags=1), "flags"),
        (frame(SETTINGS, struct.pack(">I", 1_000_000)), "wrong length"),
        (frame(WINDOW_UPDATE, b""), "wrong length"),
        (frame(GOAWAY, b"\0" * 9), "wrong length"),
        (frame(PING, b"\0\0\0\2", version=2), "version 3"),
        (struct.pack(">HHI", 0x8003, SYN_REPLY, MAX_CONTROL + 1), "the maximum is"),
        (data_frame(3, b"x"), "no stream 3"),
        (data_frame(0, b"x"), "no stream 0"),
        (data_frame(2, b"x"), "no stream 2"),
        (frame(RST_STREAM, struct.pack(">II", 5, 1)), "no stream 5"),
        (syn_stream(2, HeaderWriter()), "may not open"),
    ],
)
def test_a_malformed_frame_is_refused(hostile: bytes, why: str) -> None:
    with pytest.raises(BadAnswer, match=why):
        client_with(1).receive(hostile)


@pytest.mark.parametrize("stream", [0, 2, 3])
def test_a_client_opens_only_odd_streams_in_ascending_order(stream: int) -> None:
    server, writer = Spdy(client=False), HeaderWriter()
    assert server.receive(syn_stream(1, writer) + syn_stream(3, writer)) == [Opened(1, {}), Opened(3, {})]
    with pytest.raises(BadAnswer, match="may not open"):
        server.receive(syn_stream(stream, writer))


def test_the_streams_of_a_client_are_bounded() -> None:
    client, server = Spdy(client=True), Spdy(client=False)
    for _ in range(MAX_STREAMS):
        server.receive(client.open({})[1])
    with pytest.raises(BadAnswer, match=f"more than {MAX_STREAMS}"):
        server.receive(client.open({})[1])


@given(st.booleans(), st.lists(st.binary(max_size=100), max_size=20))
def test_garbage_does_nothing_but_raise_its_error(client: bool, pieces: list[bytes]) -> None:
    spdy = client_with(3) if client else Spdy(client=False)
    with suppress(BadAnswer):
        for piece in pieces:
            spdy.receive(piece)


@given(st.sampled_from(TRANSCRIPTS), st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_a_damaged_transcript_does_nothing_but_raise_its_error(transcript: Recorded, at: int, damage: bytes) -> None:
    raw = bytearray(transcript.received)
    raw[at % len(raw) : at % len(raw) + len(damage)] = damage
    with suppress(BadAnswer):
        client_with(5).receive(bytes(raw))


def test_headers_remember_earlier_blocks() -> None:
    writer, reader = HeaderWriter(), HeaderReader()
    for number in range(3):
        headers = {"streamtype": "data", "port": str(number), "empty": "", "latin": "ä"}
        assert reader.headers(writer.block(headers)) == headers
