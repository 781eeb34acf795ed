"""The session: two of them joined by a pipe that splits, merges and delays agree with a model of what was sent."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from swarmlib import Ack, Conflict, Error, Json, Log, Operation, Reply, Request, Set, SwarmError, Verb
from swarmlib.wire import states
from swarmlib.wire.codec import Message, encode, raw_value
from swarmlib.wire.errors import WireError
from swarmlib.wire.events import Agreed, Data, Ended, Event, GoingAway, Over, Received, Reset
from swarmlib.wire.frames import HEAD, MAGIC, VERSIONS, Type, bye, frame, hello
from swarmlib.wire.limits import Limits
from swarmlib.wire.references import OutOfBandValue, Ref, RefKind, Refs
from swarmlib.wire.session import Session
from swarmlib.wire.states import NEXT, Act, State
from swarmlib.wire.table import SERVICE

SMALL = Limits(
    frame=1024,
    value=20_000,
    values=30_000,
    channels=20,
    streams=20,
    credit=4,
    window=1024,
    window_max=8192,
    windows=9000,
)
DEFAULT = Limits()
WIRE = Path(states.__file__).parent
ON_TRIO = (
    *("connection", "driver", "incoming_calls", "outgoing_calls", "pump", "reader"),
    *("remote_streams", "stream_endpoint", "writer"),
)
KINDS = ["set", "log", "ack", "error", "end"]
CODECS = settings(max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def session(*, initiator: bool, limits: Limits = DEFAULT) -> Session:
    return Session(initiator=initiator, now=0.0, limits=limits)


def exchange(*sessions: Session, now: float = 0.0) -> list[list[Event]]:
    """Carry all bytes between two sessions until none are left; gives the events of each."""
    events: list[list[Event]] = [[], []]
    while any(each.waiting for each in sessions):
        for sender, receiver, found in ((0, 1, events[1]), (1, 0, events[0])):
            data = sessions[sender].take()
            if data:
                found += sessions[receiver].receive(data, now)
    return events


def agreed(limits: Limits = DEFAULT) -> tuple[Session, Session]:
    """Two sessions after their handshake."""
    pair = session(initiator=True, limits=limits), session(initiator=False, limits=limits)
    found = exchange(*pair)
    assert found == [[Agreed()], [Agreed()]]
    return pair


def request(**fields: Any) -> Request:
    return Request(Verb.LS, **fields)


@dataclass
class Flow:
    """What the model knows of one channel or stream, in one direction."""

    sent: list[Any] = field(default_factory=list[Any])
    came: list[Any] = field(default_factory=list[Any])
    ended: bool = False
    end_came: bool = False
    broken: bool = False
    """Whether either side has reset it: then less than all may come."""


class TwoSessions(RuleBasedStateMachine):
    """Side 0 and side 1, and what each was promised."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = [session(initiator=True, limits=SMALL), session(initiator=False, limits=SMALL)]
        self.pipes = [bytearray(), bytearray()]
        """Bytes on the way to each side."""
        self.agreed = [False, False]
        self.flows: dict[tuple[int, int], Flow] = {}
        """By the side that receives, and the channel's number."""
        self.calls: list[tuple[int, int, dict[str, bool]]] = []
        """The side that asked, the number, and what was answered."""
        self.uploads: dict[tuple[int, int], int] = {}
        """The stream that came with a call."""
        self.given: dict[tuple[int, int], list[int]] = {}
        """The streams that its replies gave."""
        self.streams: list[tuple[int, int]] = []
        """The side that sends, and the number."""
        self.untaken: list[tuple[int, Received]] = []
        self.unread: list[tuple[int, int, int]] = []
        self.now = 0.0
        self.serial = 0

    @initialize()
    def join(self) -> None:
        self.settle()
        assert self.agreed == [True, True]

    # The pipe.

    @rule(side=st.integers(0, 1), count=st.integers(1, 3000))
    def deliver(self, side: int, count: int) -> None:
        self.pipes[side] += self.sides[1 - side].take()
        data, self.pipes[side] = bytes(self.pipes[side][:count]), self.pipes[side][count:]
        if data:
            self.now += 0.001
            for event in self.sides[side].receive(data, self.now):
                self.see(side, event)

    def settle(self) -> None:
        """Deliver everything, and have it taken and read, until nothing is left to say."""
        while any(self.pipes) or any(side.waiting for side in self.sides) or self.untaken or self.unread:
            for side in (0, 1):
                self.deliver(side, 1 << 30)
            self.take_all()

    def see(self, side: int, event: Event) -> None:
        if isinstance(event, Agreed):
            self.agreed[side] = True
        elif isinstance(event, Received):
            self.flows[side, event.channel].came.append(shown(event.message))
            self.untaken.append((side, event))
            if event.last:
                self.flows[side, event.channel].end_came = True
        elif isinstance(event, Data):
            self.flows[side, event.channel].came += event.data
            self.unread.append((side, event.channel, len(event.data)))
        elif isinstance(event, Ended):
            self.flows[side, event.channel].end_came = True
        elif isinstance(event, Reset):
            for receiver in (0, 1):
                if (receiver, event.channel) in self.flows:
                    assert self.flows[receiver, event.channel].broken

    @rule()
    def take_all(self) -> None:
        for side, event in self.untaken:
            self.sides[side].channels.taken(event)
        for side, stream, count in self.unread:
            self.sides[side].channels.read(stream, count, self.now)
        self.untaken, self.unread = [], []

    # What the sides do.

    @rule(side=st.integers(0, 1), size=st.sampled_from([0, 10, 600, 5000, 19_000]), upload=st.booleans())
    def ask(self, side: int, size: int, upload: bool) -> None:
        channels = self.sides[side].channels
        if not channels.credit(SERVICE) or len(self.calls) > 10:
            return
        message = request(body=self.value(size))
        refs = channels.send(SERVICE, message, self.now, RefKind.STREAM if upload else None)
        assert refs.reply is not None
        self.flow(1 - side, SERVICE).sent.append(shown(message))
        if size > 500:
            self.flow(1 - side, SERVICE).broken = True  # its value may come later than the next request
        self.flow(side, refs.reply.id)
        self.calls.append((side, refs.reply.id, {}))
        self.uploads[side, refs.reply.id] = refs.stream.id if refs.stream is not None else 0
        if refs.stream is not None:
            self.open_stream(side, refs.stream)

    def open_stream(self, side: int, stream: Ref) -> None:
        for sender in (side, 1 - side) if stream.kind is RefKind.DUPLEX else (side,):
            self.flow(1 - sender, stream.id)
            self.streams.append((sender, stream.id))

    def flow(self, side: int, number: int) -> Flow:
        return self.flows.setdefault((side, number), Flow())

    def value(self, size: int) -> Json | None:
        self.serial += 1
        return Json(b"%06d" % self.serial + b"x" * size) if size else None

    @precondition(lambda self: self.calls)
    @rule(
        data=st.data(),
        size=st.sampled_from([0, 10, 600, 5000]),
        kind=st.sampled_from(KINDS),
        stream=st.sampled_from([None, RefKind.STREAM, RefKind.DUPLEX]),
    )
    def answer(self, data: st.DataObject, size: int, kind: str, stream: RefKind | None) -> None:
        asker, number, said = data.draw(st.sampled_from(self.calls))
        channels, flow = self.sides[1 - asker].channels, self.flows[asker, number]
        answered = said.get("ack") or said.get("error")
        if not channels.is_open(number) or said.get("error") or said.get("end"):
            return
        if answered and kind in ("ack", "error"):
            return
        if kind == "end":
            channels.end(number)
            flow.ended = True
        elif kind in ("ack", "error") or channels.credit(number):
            reply = self.reply(kind, size)
            refs = channels.send(number, reply, self.now, stream if kind == "ack" else None)
            flow.sent.append(shown(reply))
            if refs.stream is not None:
                self.given.setdefault((asker, number), []).append(refs.stream.id)
                self.open_stream(1 - asker, refs.stream)
        else:
            return
        said[kind] = True

    def reply(self, kind: str, size: int) -> Reply:
        value = self.value(size)
        match kind:
            case "error":
                return Error(Conflict("no" * (size or 1)))
            case "ack":
                return Ack(value)
            case "log":
                return Log(b"" if value is None else value.raw)
            case _:
                return Set(value)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.calls))
        self.calls.remove(call)
        asker, number, _ = call
        if self.sides[asker].channels.is_open(number):
            self.flows[asker, number].broken = True
            for side in (0, 1):  # if its value had not come, the request is for nobody, and what came with it neither
                self.flow(side, SERVICE).broken = True
                for stream in (self.uploads[asker, number], *self.given.get((asker, number), ())):
                    self.flow(side, stream).broken = True
        self.sides[asker].channels.reset(number)

    @precondition(lambda self: self.streams)
    @rule(data=st.data(), size=st.integers(1, 6000))
    def write(self, data: st.DataObject, size: int) -> None:
        sender, number = data.draw(st.sampled_from(self.streams))
        flow = self.flows[1 - sender, number]
        if not flow.ended and self.sides[sender].channels.is_open(number):
            self.serial += 1
            piece = bytes([self.serial % 256]) * size
            self.sides[sender].channels.write(number, piece)
            flow.sent += piece

    @precondition(lambda self: self.streams)
    @rule(data=st.data(), how=st.sampled_from(["end", "close", "reset"]))
    def finish(self, data: st.DataObject, how: str) -> None:
        sender, number = data.draw(st.sampled_from(self.streams))
        channels, flow = self.sides[sender].channels, self.flows[1 - sender, number]
        if not channels.is_open(number) or (flow.ended and how == "end"):
            return
        if how == "reset":
            flow.broken = True
        if how != "end" and (sender, number) in self.flows:
            self.flows[sender, number].broken = True  # it reads no more
        flow.ended = flow.ended or how != "reset"
        if how == "close":
            flow.ended = True
            flow.broken = flow.broken or (sender, number) in self.flows
            self.flows[1 - sender, number].broken = True
        getattr(channels, how)(number)

    def teardown(self) -> None:
        if not all(self.agreed):
            return
        self.settle()
        for flow in self.flows.values():
            if flow.broken:
                assert flow.came == flow.sent[: len(flow.came)] or set(flow.came) <= set(flow.sent)
            else:
                assert flow.came == flow.sent
                assert flow.end_came == flow.ended
            flow.broken = True
        for asker, number, _ in self.calls:
            self.sides[asker].channels.reset(number)
        for sender, number in self.streams:
            self.sides[sender].channels.reset(number)
        self.settle()
        for side in self.sides:
            assert side.channels.calls == 0
            assert side.channels.held == 0


def shown(message: Message) -> Any:
    return (message.verb if isinstance(message, Operation) else message.kind, raw_value(message))


TwoSessions.TestCase.settings = CODECS
TestTwoSessions = TwoSessions.TestCase


# The handshake.


def test_a_byte_at_a_time_means_the_same() -> None:
    ours, theirs = session(initiator=True), session(initiator=False)
    found: list[Event] = []
    for byte in ours.take():
        found += theirs.receive(bytes([byte]), 0.0)
    assert found == [Agreed()]


def test_the_acceptor_says_nothing_before_it_knows_who_calls() -> None:
    assert not session(initiator=False).waiting


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"\x16\x03\x01\x02\x00", b"This is a swarmlib wire"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", b"This is a swarmlib wire"),
    ],
)
def test_who_speaks_something_else_is_told_so(said: bytes, answer: bytes) -> None:
    side = session(initiator=False)
    with pytest.raises(WireError, match="does not speak the swarmlib protocol"):
        side.receive(said, 0.0)
    assert side.take().startswith(answer)


@pytest.mark.parametrize("versions", [(1, 1), (3, 9), (0x7FFF, 0x7FFF)])
def test_a_peer_without_a_common_version_is_refused_and_told(versions: tuple[int, int]) -> None:
    side = session(initiator=False)
    with pytest.raises(WireError, match="no common version of the protocol: this side supports 2 to 2, the peer"):
        side.receive(MAGIC + hello(versions, Limits(), frozenset()), 0.0)
    peer = session(initiator=True)
    with pytest.raises(WireError, match="no common version"):  # its BYE says the same to a peer that gets that far
        peer.receive(MAGIC + hello(versions, Limits(), frozenset()), 0.0)
    assert bye(WireError("")).hex()[10:20] in side.take().hex()


def test_a_newer_peer_that_still_speaks_ours_is_understood() -> None:
    side = session(initiator=False)
    assert side.receive(MAGIC + hello((1, 9), Limits(), frozenset({"files", "teleport"})), 0.0) == [Agreed()]
    assert side.version == VERSIONS[1]
    assert side.capabilities == frozenset()


def test_frames_of_optional_types_are_passed_over() -> None:
    ours, _ = agreed()
    assert ours.receive(HEAD.pack(3, 0x80, 77) + b"abc" + HEAD.pack(0, 0xFF, 0), 0.0) == []


# What breaks the rules ends the session, and the peer is told why.


LS = Request(Verb.LS)
STREAM_4 = Ref(RefKind.STREAM, 4)


def reply(id: int, sent: Reply, **refs: Any) -> bytes:
    """A MESSAGE frame with a reply; references are as in `Refs`."""
    return frame(Type.MESSAGE, id, encode(sent, Refs(**refs), now=0.0))


def asked(channel: int = 2, sent: Request = LS, **refs: Any) -> bytes:
    """A MESSAGE frame with a request whose replies go to a channel."""
    return frame(Type.MESSAGE, 0, encode(sent, Refs(Ref(RefKind.CHANNEL, channel), **refs), now=0.0))


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (HEAD.pack(2 * 1024 * 1024 + 1, Type.MESSAGE, 0), "limit frame"),
        (HEAD.pack(0xFFFFFFFF, Type.DATA, 0), "limit frame"),
        (frame(Type.HELLO), "invalid HELLO: expected a msgpack object|unexpected second HELLO"),
        (HEAD.pack(0, 0x7F, 0), "unknown frame type 127"),
        (HEAD.pack(0, 0, 0), "unknown frame type 0"),
        (reply(99, Ack()), "99, which was never opened"),
        (reply(98, Ack()), "98, which was never opened"),
        (reply(0, Ack()), "invalid request: expected an array of 8 fields, got an array of 4"),
        (frame(Type.MESSAGE, 0, encode(LS, now=0.0)), "its field reply is missing"),
        (frame(Type.MESSAGE, 0, b"\xc1"), "invalid msgpack"),
        (frame(Type.MESSAGE, 0, asked()[HEAD.size :] + b"\x00"), "1 bytes after the end"),
        (frame(Type.LAST, 0, asked()[HEAD.size :]), "unexpected END of channel 0"),
        (frame(Type.END, 0), "unexpected END of 0"),
        (frame(Type.RESET, 0), "unexpected RESET of channel 0"),
        (frame(Type.DATA, 0, b"x"), "DATA on 0"),
        (frame(Type.DATA, 0), "DATA without bytes"),
        (frame(Type.CREDIT, 0, number(1)), "exceeds the maximum"),
        (frame(Type.CREDIT, 0, b"1"), "invalid number: expected 8 bytes, got 1"),
        (frame(Type.PING, 0, b"1"), "invalid PING: expected 8 bytes, got 1"),
        (frame(Type.BYE, 0, b"\x01"), "invalid BYE: expected an array"),
        (asked(1), "invalid number 1: the peer's next number is"),
        (asked(0), "invalid number 0: the peer's next number is"),
        (asked(2) + asked(2), "invalid number 2: the peer's next number is 4"),
        (asked(2, stream=Ref(RefKind.STREAM, 2)), "invalid number 2: the peer's next number is 4"),
        (asked(2) + reply(2, Set()), "unexpected message on"),
        (
            asked(2) + frame(Type.MESSAGE, 2, asked(4)[HEAD.size :]),
            "invalid reply: expected an array of 4 fields, got an array of 8",
        ),
        (asked(2) + frame(Type.END, 2), "on which the peer may not send"),
        (asked(2) + frame(Type.DATA, 2, b"x"), "DATA on 2"),
        (asked(2) + frame(Type.CREDIT, 2, number(1)), "exceeds the maximum"),
        (asked(2, stream=STREAM_4) + reply(4, Ack()), "unexpected message on"),
        (asked(2, stream=STREAM_4) + frame(Type.CREDIT, 4, number(1)), "exceeds the maximum"),
        (asked(2, stream=STREAM_4) + frame(Type.DATA, 4, bytes(60_000)) * 3, "exceed the window of 11072"),
        (asked(2, stream=STREAM_4) + frame(Type.END, 4) * 2 + frame(Type.DATA, 6, b"x"), "6, which was never opened"),
        (asked(2, value=OutOfBandValue(4, 64 * 1024 * 1024 + 1)), "limit value"),
        (asked(2, value=OutOfBandValue(4, 9)) + frame(Type.DATA, 4, bytes(10)), "exceed the window of 9"),
        (asked(2, value=OutOfBandValue(4, 9)) + frame(Type.END, 4), "unexpected END of 4, whose length is known"),
        (b"".join(map(asked, range(2, 516, 2))), "limit credit"),
    ],
)
def test_what_breaks_the_rules_ends_the_session_and_the_peer_is_told(data: bytes, told: str) -> None:
    ours, theirs = agreed()
    with pytest.raises(WireError, match=told) as caught:
        ours.receive(data, 0.0)
    (over,) = theirs.receive(ours.take(), 0.0)
    assert isinstance(over, Over)
    assert isinstance(over.why, WireError)
    assert str(caught.value)[:1000] in str(over.why)
    assert ours.receive(data, 0.0) == []  # and that was all


def test_the_reply_contract_is_kept_by_the_session() -> None:
    ack, error, value = Ack(), Error(Conflict("no")), Set()
    cases: list[tuple[list[Reply], str]] = [
        ([ack, ack], "`ack` after the final reply"),
        ([ack, error, value], "`set` after the final reply"),  # the error says that what had begun broke off
        ([ack, error, error], "`error` after the final reply"),
        ([error, value], "`set` after the final reply"),
        ([error, Log(b"")], "`log` after the final reply"),
        ([value] * 257, "limit credit"),
        ([Log(b"")] * 257, "limit credit"),
    ]
    for replies, told in cases:
        ours, _ = agreed()
        refs = ours.channels.send(SERVICE, request(), 0.0)
        assert refs.reply is not None
        with pytest.raises(WireError, match=told):
            ours.receive(b"".join(reply(refs.reply.id, each) for each in replies), 0.0)


def test_the_bounds_that_the_peer_told_are_kept_before_anything_is_sent() -> None:
    ours, _ = agreed(Limits(frame=1024, value=2000, values=2000, channels=2, streams=1))
    send = ours.channels.send
    send(SERVICE, Request(Verb.LS, body=Json(b"1" * 2000)), 0.0)
    for sent, told in [
        (Request(Verb.LS, body=Json(b"1" * 2001)), "the value has 2001 bytes: the peer accepts 2000"),
        (Request(Verb.LS, ("a" * 1100,)), "this ls has [0-9]+ bytes without its value: the peer accepts 1024"),
        (Request(Verb.LS, body=Json(b"1" * 600)), "too many streams: the peer accepts 1"),
    ]:
        with pytest.raises(SwarmError, match=told):
            send(SERVICE, sent, 0.0)
    send(SERVICE, request(), 0.0)
    with pytest.raises(SwarmError, match="too many channels: the peer accepts 2") as caught:
        send(SERVICE, request(), 0.0)
    assert caught.value.details == {"unsent": True}


def test_a_peer_that_opens_more_than_it_was_told_ends_the_session() -> None:
    ours, _ = agreed(Limits(channels=2))
    ours.receive(asked(2) + asked(4), 0.0)
    with pytest.raises(WireError, match="limit channels"):
        ours.receive(asked(6), 0.0)


def test_the_backlog_is_bounded_and_what_is_taken_makes_room() -> None:
    ours, _ = agreed(Limits(backlog=1100))
    half = Request(Verb.LS, ("a" * 500,))
    (first, _) = ours.receive(asked(2, half) + asked(4, half), 0.0)
    assert isinstance(first, Received)
    ours.channels.taken(first)
    ours.receive(asked(6, half), 0.0)
    with pytest.raises(WireError, match="limit backlog"):
        ours.receive(asked(8, half), 0.0)


# The races.


def test_a_late_message_is_dropped_and_what_it_opened_is_reset() -> None:
    ours, theirs = agreed()
    refs = ours.channels.send(SERVICE, request(), 0.0)
    assert refs.reply is not None
    exchange(ours, theirs)
    ours.channels.reset(refs.reply.id)
    given = theirs.channels.send(refs.reply.id, Ack(), 0.0, RefKind.STREAM).stream
    assert given is not None
    theirs.channels.write(given.id, b"more")
    ours_saw, theirs_saw = exchange(ours, theirs)
    assert ours_saw == []
    assert theirs_saw == [Reset(refs.reply.id, ""), Reset(given.id, "")]
    assert theirs.channels.calls == ours.channels.calls == 0


def test_both_sides_may_reset_at_once() -> None:
    ours, theirs = agreed()
    refs = ours.channels.send(SERVICE, request(), 0.0)
    assert refs.reply is not None
    exchange(ours, theirs)
    ours.channels.reset(refs.reply.id, "I left")
    theirs.channels.reset(refs.reply.id, "so did I")
    assert exchange(ours, theirs) == [[], []]


def test_what_was_sent_before_the_end_stands_when_the_stream_is_closed() -> None:
    ours, theirs = agreed()
    refs = theirs.channels.send(SERVICE, request(), 0.0)
    assert refs.reply is not None
    exchange(ours, theirs)
    given = ours.channels.send(refs.reply.id, Ack(), 0.0, RefKind.DUPLEX).stream
    assert given is not None
    ours.channels.write(given.id, b"last words")
    ours.channels.close(given.id)
    _, saw = exchange(ours, theirs)
    assert saw[1:] == [Data(given.id, b"last words"), Ended(given.id, last=False), Reset(given.id, "")]


def test_a_payload_stays_where_it_was_read_if_little_else_was() -> None:
    ours, theirs = agreed()
    refs = theirs.channels.send(SERVICE, request(), 0.0)
    assert refs.reply is not None
    exchange(ours, theirs)
    stream = ours.channels.send(refs.reply.id, Ack(), 0.0, RefKind.STREAM).stream
    assert stream is not None
    exchange(ours, theirs)
    kept: list[type] = []
    for sizes in ((5000,), (5000, 5000, 5000)):
        came = b""
        for size in sizes:
            ours.channels.write(stream.id, bytes(size))
            came += ours.take()
        events = [event for event in theirs.receive(came, 0.0) if isinstance(event, Data)]
        assert [event.data for event in events] == [bytes(size) for size in sizes]
        kept += [type(event.data) for event in events]
    # A view of one of three would keep three times the memory that its window allows.
    assert kept == [memoryview, bytes, bytes, bytes]


def test_the_end_goes_with_the_last_reply_in_one_frame() -> None:
    ours, theirs = agreed()
    refs = ours.channels.send(SERVICE, request(), 0.0)
    assert refs.reply is not None
    exchange(ours, theirs)
    theirs.channels.send(refs.reply.id, Ack(), 0.0)
    theirs.channels.end(refs.reply.id)
    (ack,) = ours.receive(theirs.take(), 0.0)
    assert isinstance(ack, Received)
    assert ack.last
    assert not ours.channels.is_open(refs.reply.id)


def test_replies_keep_their_order_behind_one_whose_value_comes_apart() -> None:
    ours, theirs = agreed(Limits(window=1024))
    refs = ours.channels.send(SERVICE, request(), 0.0)
    assert refs.reply is not None
    exchange(ours, theirs)
    theirs.channels.send(refs.reply.id, Set(Json(b"1" * 100_000)), 0.0)
    theirs.channels.send(refs.reply.id, Ack(), 0.0)
    theirs.channels.end(refs.reply.id)
    saw, _ = exchange(ours, theirs)
    assert [shown(event.message)[0] for event in saw if isinstance(event, Received)] == ["set", "ack"]


def test_a_small_call_does_not_wait_for_a_large_value_or_stream() -> None:
    ours, _ = agreed()
    big = request(body=Json(b"1" * 50_000_000))
    upload = ours.channels.send(SERVICE, big, 0.0, RefKind.STREAM).stream
    assert upload is not None
    ours.channels.write(upload.id, bytes(50_000_000))
    ours.take()
    ours.channels.send(SERVICE, request(path=("small",)), 0.0)
    batch = ours.take()
    assert b"small" in batch[:200]
    assert len(batch) < 300_000


def test_streams_take_turns() -> None:
    ours, theirs = agreed()
    ids = [ours.channels.send(SERVICE, Request(Verb.FILE), 0.0, RefKind.STREAM).stream for _ in range(3)]
    for each in ids:
        assert each is not None
        ours.channels.write(each.id, bytes(60_000))
    _, saw = exchange(ours, theirs)
    assert len({event.channel for event in saw if isinstance(event, Data)}) == 3


def test_a_window_grows_while_half_of_it_is_read_within_a_round_trip_and_its_growth_is_returned() -> None:
    limits = Limits(window=64 * 1024, windows=512 * 1024, window_max=256 * 1024)
    ours, theirs = session(initiator=True, limits=limits), session(initiator=False, limits=limits)
    theirs.receive(ours.take(), 0.0)
    ours.receive(theirs.take(), 0.05)
    theirs.receive(ours.take(), 0.1)  # the answer to its PING
    upload = ours.channels.send(SERVICE, Request(Verb.FILE), 0.0, RefKind.STREAM).stream
    assert upload is not None
    ours.channels.write(upload.id, bytes(2_000_000))
    now = 0.0
    while ours.waiting:
        for event in theirs.receive(ours.take(), now):
            if isinstance(event, Data):
                theirs.channels.read(event.channel, len(event.data), now)
        ours.receive(theirs.take(), now)
        now += 0.05
    assert theirs.channels.windows.grown == 192 * 1024
    ours.channels.end(upload.id)
    exchange(ours, theirs)
    assert theirs.channels.windows.grown == 0


# Time.


def test_a_silent_peer_is_asked_and_then_taken_for_dead() -> None:
    limits = Limits(heartbeat=10.0, patience=30.0)
    ours, theirs = agreed(limits)
    ours.tick(10.0)
    assert ours.waiting
    exchange(ours, theirs, now=10.0)
    assert ours.next_tick <= 20.0
    ours.tick(20.0)
    ours.take()
    ours.tick(39.9)
    assert ours.next_tick == 40.0
    with pytest.raises(SwarmError, match="has been silent for 30 s"):
        ours.tick(40.0)


def test_pings_that_pile_up_get_one_answer() -> None:
    ours, _ = agreed()
    for count in range(1000):
        ours.receive(frame(Type.PING, 0, number(count)), 0.0)
    assert ours.take() == frame(Type.PONG, 0, number(999))


def test_resets_that_a_peer_causes_and_does_not_read_are_bounded() -> None:
    ours, _ = agreed()
    ours.receive(asked(2), 0.0)
    ours.channels.reset(2)
    refs = ours.channels.send(SERVICE, request(), 0.0)
    assert refs.reply is not None
    ours.channels.reset(refs.reply.id)
    with pytest.raises(WireError, match="does not read the answers"):
        ours.receive(reply(refs.reply.id, Set()) * 20_000, 0.0)


def test_an_end_in_good_order_is_told_and_so_is_going_away() -> None:
    ours, theirs = agreed()
    ours.go_away()
    ours.finish()
    ours.finish(Conflict("again"))
    _, saw = exchange(ours, theirs)
    assert saw[0] == GoingAway()
    assert isinstance(saw[1], Over)
    assert str(saw[1].why) == "the peer ended the session"
    assert theirs.draining


@pytest.mark.parametrize("source", sorted(set(WIRE.glob("*.py")) - {WIRE / f"{name}.py" for name in ON_TRIO}), ids=str)
def test_the_protocol_imports_no_trio(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        from_ours = isinstance(node, ast.ImportFrom) and node.level == 1
        assert "trio" not in names
        assert not (isinstance(node, ast.ImportFrom) and node.module == "trio")
        assert not (from_ours and getattr(node, "module", None) in ON_TRIO)


def test_the_table_of_states_is_closed_and_symmetric() -> None:
    for state in State:
        assert NEXT[state][Act.RESET] is State.CLOSED
        can_send, can_receive = bool(state & State.SENDING), bool(state & State.RECEIVING)
        assert NEXT[state][Act.SEND] == (state if can_send else None)
        assert NEXT[state][Act.RECEIVE] == (state if can_receive else None)
        assert NEXT[state][Act.SEND_END] == (State(state & ~State.SENDING) if can_send else None)
        assert NEXT[state][Act.RECEIVE_END] == (State(state & ~State.RECEIVING) if can_receive else None)


@given(st.binary(max_size=300), st.booleans(), st.booleans())
@settings(deadline=None)
def test_garbage_raises_nothing_but_the_wires_own_error(garbage: bytes, initiator: bool, begun: bool) -> None:
    side = agreed()[initiator] if begun else session(initiator=initiator)
    try:
        side.receive(garbage if begun else MAGIC + garbage, 0.0)
    except WireError:
        assert side.waiting
