"""WebSocket channels and tunnels without I/O: real transcripts, both ends against each other, and hostile peers."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.events import BytesMessage

from swarmlib.errors import BadAnswer, Unsupported
from swarmlib_backends.http.websocket import Closed, Owed, WebSocket
from swarmlib_backends.kubernetes.streams.channels import Channels, Tunnel
from swarmlib_backends.kubernetes.streams.events import Accepted, Data, Ended, Event, Opened
from tests.backends.kubernetes.streams.recorded import Recorded, recorded
from tests.backends.kubernetes.streams.test_spdy import joined

TRANSCRIPTS = [each for each in recorded() if each.dialect == "V4"]
BINARY, TEXT, CLOSE, PING, PONG = 2, 1, 8, 9, 10


def message(payload: bytes, opcode: int = BINARY) -> bytes:
    """A server's frame, shorter than 126 bytes."""
    return bytes((0x80 | opcode, len(payload))) + payload


def channels(*, client: bool = True, version: int = 5) -> Channels:
    return Channels(client=client, count=5, version=version)


@given(st.sampled_from(TRANSCRIPTS), st.lists(st.integers(0, 10_000), max_size=20))
def test_a_real_server_s_bytes_mean_the_same_however_they_are_cut(transcript: Recorded, cuts: list[int]) -> None:
    whole = joined(channels(version=4).receive(transcript.received))
    other, events = channels(version=4), list[Event]()
    at = 0
    for cut in sorted(cut % (len(transcript.received) + 1) for cut in cuts):
        events += other.receive(transcript.received[at:cut])
        at = cut
    assert joined(events + other.receive(transcript.received[at:])) == whole
    assert any(isinstance(event, Data) for event in whole)


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda each: each.name)
def test_a_server_understands_what_was_sent_to_a_real_one(transcript: Recorded) -> None:
    events = channels(client=False, version=4).receive(transcript.sent)
    assert isinstance(events[-1], Closed)


@given(st.integers(0, 4), st.binary(min_size=1, max_size=70_000))
def test_what_is_sent_arrives(channel: int, data: bytes) -> None:
    client, server = channels(), channels(client=False)
    assert joined(server.receive(client.data(channel, data))) == [Data(channel, data)]
    assert joined(client.receive(server.data(channel, data))) == [Data(channel, data)]


def test_a_channel_ends_in_one_direction() -> None:
    client, server = channels(), channels(client=False)
    end = client.end(0)
    [message_of_it] = WebSocket(client=False).receive(end)
    assert message_of_it == BytesMessage(b"\xff\x00")
    assert [event for byte in end for event in server.receive(bytes((byte,)))] == [Ended(0)]
    assert client.receive(message(b"\xff\x01")) == [Ended(1)]
    assert client.receive(server.data(2, b"more")) == [Data(2, b"more")]


def test_version_4_can_not_end_a_channel() -> None:
    with pytest.raises(Unsupported, match=r"v4\.channel"):
        channels(version=4).end(0)


def test_an_empty_message_and_an_empty_channel_say_nothing() -> None:
    assert channels().receive(message(b"") + message(b"\x01")) == []


def test_a_message_may_come_in_fragments() -> None:
    fragments = bytes((BINARY, 1)) + b"\x01" + bytes((0, 2)) + b"ab" + bytes((0x80, 1)) + b"c"
    assert joined(channels().receive(fragments)) == [Data(1, b"abc")]


def test_a_ping_is_answered_between_fragments() -> None:
    client = channels()
    [first, owed, rest] = client.receive(bytes((BINARY, 2)) + b"\x01a" + message(b"hi", PING) + bytes((0x80, 1)) + b"b")
    assert (first, rest) == (Data(1, b"a"), Data(1, b"b"))
    assert isinstance(owed, Owed)
    assert client.receive(message(b"", PONG)) == []


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", ""),
        (struct.pack(">H", 1000), ""),
        (struct.pack(">H", 1001) + b"going away", ""),
        (struct.pack(">H", 1011) + b"container gone", "container gone"),
        (struct.pack(">H", 1011), "WebSocket close code 1011"),
    ],
)
def test_a_close_frame_says_why(payload: bytes, reason: str) -> None:
    client = channels()
    assert client.receive(message(payload, CLOSE)) == [Closed(reason)]
    assert client.receive(b"what follows counts no more") == []
    assert (client.data(0, b"x"), client.ping()) == (b"", b"")
    assert client.close() != b""
    assert client.close() == b""


@pytest.mark.parametrize(
    "hostile",
    [
        message(b"\x05x"),  # a channel that is not there
        message(b"\xff"),  # no channel to end
        message(b"\xff\x05"),
        message(b"\xff\x01\x01"),
        message(b"\x01text", TEXT),
        bytes((0xC2, 0)),  # a reserved bit
        bytes((0x82, 0x81)) + b"maskx",  # masked by a server
        bytes((0x09, 0)),  # a ping in fragments
        message(b"\x01", CLOSE),  # half a code
        bytes((0x82, 127)) + struct.pack(">Q", 1 << 63),
        bytes((0x80, 1)) + b"x",  # goes on with nothing
        bytes((0x83, 0)),  # an unknown type
    ],
)
def test_a_malformed_message_is_refused(hostile: bytes) -> None:
    with pytest.raises(BadAnswer, match="malformed WebSocket"):
        channels().receive(hostile)


def test_version_4_has_no_channel_255() -> None:
    with pytest.raises(BadAnswer, match="no channel 255"):
        channels(version=4).receive(message(b"\xff\x01"))


@given(st.booleans(), st.integers(4, 5), st.lists(st.binary(max_size=100), max_size=20))
def test_garbage_does_nothing_but_raise_its_error(client: bool, version: int, pieces: list[bytes]) -> None:
    for framing in (channels(client=client, version=version), Tunnel(client=client)):
        with suppress(BadAnswer):
            for piece in pieces:
                framing.receive(piece)


def test_a_tunnel_carries_spdy() -> None:
    client, server = Tunnel(client=True), Tunnel(client=False)
    stream, opening = client.open({"streamtype": "data"})
    assert [event for byte in opening for event in server.receive(bytes((byte,)))] == [
        Opened(stream, {"streamtype": "data"})
    ]
    assert client.receive(server.accept(stream)) == [Accepted(stream)]
    sent = client.data(stream, b"abc") + client.end(stream)
    assert joined(server.receive(sent)) == [Data(stream, b"abc"), Ended(stream)]
    [owed] = server.receive(client.ping())
    assert isinstance(owed, Owed)
    assert client.receive(owed.data) == []
    assert server.receive(client.close()) == [Closed("")]
