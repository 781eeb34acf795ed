"""The test vectors that docs/wire.md speaks of: rebuilt byte for byte, read back, and refused where they must be."""

import json
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Ack, Conflict, Error, Json, Log, Meta, Reply, Request, Set, Verb
from swarmlib.trace_context import TraceContext
from swarmlib.wire import frames
from swarmlib.wire.codec import complete, encode, raw_value
from swarmlib.wire.errors import WireError
from swarmlib.wire.frames import MAGIC, NUMBER, VERSIONS, Type, frame
from swarmlib.wire.limits import Limits
from swarmlib.wire.references import NO_REFS, OutOfBandValue, Ref, RefKind, Refs
from swarmlib.wire.reply_codec import decode_reply
from swarmlib.wire.request_codec import decode_request
from swarmlib.wire.session import Session
from swarmlib.wire.table import SERVICE

FOLDER = Path(__file__).parent / "vectors"
REPLY_1 = Refs(Ref(RefKind.CHANNEL, 1))

REQUESTS: dict[str, tuple[Request, Refs]] = {
    "the least request": (Request(Verb.LS), REPLY_1),
    "a request with parameters and a deadline": (
        Request(Verb.LS, ("containers",), {"all": "1"}, deadline=2.5),
        REPLY_1,
    ),
    "a body keeps its bytes": (Request(Verb.SET, body=Json(b'{"Id" : "web"}')), REPLY_1),
    "a body that comes apart": (
        Request(Verb.SET, body=Json(b"{}")),
        REPLY_1._replace(value=OutOfBandValue(3, 50_000_000)),
    ),
    "a request with an upload": (Request(Verb.FILE), REPLY_1._replace(stream=Ref(RefKind.STREAM, 3))),
    "a request with all that is known about the call": (
        Request(
            Verb.SPAWN,
            ("images",),
            {"fromImage": "busybox"},
            meta=Meta("cert:alice", "1.41", (("x-registry-auth", "eyJ9"), ("content-type", "text/plain"))),
        ),
        REPLY_1,
    ),
    "a request of a trace": (
        Request(
            Verb.LS,
            meta=Meta(trace=TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", True, "a=b,c@d=e")),
        ),
        REPLY_1,
    ),
    "a path that is not UTF-8": (
        Request(Verb.FILE, ("containers", "web", "archive"), {"path": "/caf\udce9"}),
        REPLY_1,
    ),
}
REPLIES: dict[str, tuple[Reply, Refs]] = {
    "the least reply": (Ack(), NO_REFS),
    "an ack with a value": (Ack(Json(b'{"Id":"x"}')), NO_REFS),
    "an object": (Set(Json(b'{"Id" : "web"}')), NO_REFS),
    "an object that comes apart": (Set(Json(b"[]")), Refs(value=OutOfBandValue(2, 50_000_000))),
    "a line of a log": (Log(b"hello", {"stream": "stdout"}), NO_REFS),
    "an error": (
        Error(Conflict("in use", backend="docker", path=("containers", "web"), details={"status": 409, "body": b"{}"})),
        NO_REFS,
    ),
    "headers are pairs, which are tuples": (
        Ack(details={"headers": [(b"Content-Type", b"application/json")]}),
        NO_REFS,
    ),
    "an ack with a byte stream": (Ack(), Refs(stream=Ref(RefKind.STREAM, 2))),
    "an ack with a byte stream both ways": (Ack(), Refs(stream=Ref(RefKind.DUPLEX, 2))),
}


def conversation() -> dict[str, bytes]:
    """What two sides say to each other in a small session, in order."""
    sides = [Session(initiator=first, now=0.0, limits=Limits()) for first in (True, False)]
    said: dict[str, bytes] = {}

    def says(side: int, what: str) -> None:
        said[what] = sides[side].take()
        sides[1 - side].receive(said[what], 0.0)

    says(0, "1. the initiator: magic, HELLO")
    says(1, "2. the acceptor: magic, HELLO, PING")
    sides[0].channels.send(SERVICE, Request(Verb.LS, ("containers",)), 0.0)
    says(0, "3. the initiator: PING, a request with replies on channel 1, PONG")
    sides[1].channels.send(1, Set(Json(b"[]")), 0.0)
    sides[1].channels.send(1, Ack(), 0.0)
    sides[1].channels.end(1)
    says(1, "4. the acceptor: set, ack as LAST, PONG")
    refs = sides[0].channels.send(SERVICE, Request(Verb.FILE), 0.0, RefKind.STREAM)
    assert refs.stream is not None
    sides[0].channels.write(refs.stream.id, b"data")
    sides[0].channels.end(refs.stream.id)
    says(0, "5. the initiator: a request with replies on channel 3 and a stream 5, DATA, END")
    sides[1].channels.reset(refs.stream.id, "broken")
    says(1, "6. the acceptor: RESET of the stream")
    sides[0].channels.reset(3)
    sides[0].go_away()
    sides[0].finish()
    says(0, "7. the initiator: RESET of the call, GOAWAY, BYE")
    return said


LS = encode(Request(Verb.LS), REPLY_1, now=0.0)
ACK = encode(Ack(), now=0.0)
FRAMES: dict[str, bytes] = {
    "HELLO": MAGIC + frames.hello(VERSIONS, Limits(), frozenset()),
    "MESSAGE on the service": frame(Type.MESSAGE, 0, LS),
    "LAST on channel 1": frame(Type.LAST, 1, ACK),
    "DATA on stream 5": frame(Type.DATA, 5, b"hello"),
    "END of channel 5": frame(Type.END, 5),
    "RESET of channel 5": frame(Type.RESET, 5, b"broken"),
    "CREDIT of 128 on channel 0": frame(Type.CREDIT, 0, NUMBER.pack(128)),
    "PING": frame(Type.PING, 0, bytes(range(8))),
    "PONG": frame(Type.PONG, 0, bytes(range(8))),
    "GOAWAY": frame(Type.GOAWAY),
    "BYE in good order": frames.bye(None),
    "BYE with an error": frames.bye(WireError("a frame of the unknown type 127")),
}
REFUSED: dict[str, bytes] = {
    "trailing bytes after a request": LS + b"\x00",
    "trailing bytes after a reply": ACK + b"\x00",
    "a request that is cut off": LS[:-1],
    "a reply that is cut off": ACK[:-1],
    "seven fields": b"\x97" + LS[1:-1],
    "three fields": b"\x93" + ACK[1:-1],
    "an unknown verb": LS.replace(b"\xa2ls", b"\xa2lz"),
    "an unknown reply": ACK.replace(b"\xa3ack", b"\xa3oak"),
    "a request without a channel for its replies": encode(Request(Verb.LS), now=0.0),
    "an unknown extension type": LS.replace(b"\xd7\x01", b"\xd7\x63"),
    "a stream in the place of the channel for the replies": LS.replace(b"\xd7\x01", b"\xd7\x02"),
    "a stream that an object gives": encode(Ack(), Refs(stream=Ref(RefKind.STREAM, 2)), now=0.0).replace(
        b"\xa3ack", b"\xa3set"
    ),
    "a log without a line": ACK.replace(b"\xa3ack", b"\xa3log"),
    "text as bytes that are UTF-8": encode(Request(Verb.LS, params={"path": "\udce9"}), REPLY_1, now=0.0).replace(
        b"\xd4\x07\xe9", b"\xd4\x07a"
    ),
}


def built() -> dict[str, dict[str, bytes]]:
    """All vectors, by file and name."""
    return {
        "requests": {name: encode(request, refs, now=0.0) for name, (request, refs) in REQUESTS.items()},
        "replies": {name: encode(reply, refs, now=0.0) for name, (reply, refs) in REPLIES.items()},
        "frames": FRAMES,
        "refused": REFUSED,
        "conversation": conversation(),
    }


def read(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("name", ["requests", "replies", "frames", "refused", "conversation"])
def test_the_vectors_are_what_this_side_says_byte_for_byte(name: str) -> None:
    assert {each["meaning"]: each["hex"] for each in read(name)} == {
        meaning: data.hex() for meaning, data in built()[name].items()
    }


@pytest.mark.parametrize("vector", read("requests"), ids=lambda vector: vector["meaning"])
def test_the_vectors_of_requests_are_read_as_what_they_mean(vector: dict[str, Any]) -> None:
    request, refs = REQUESTS[vector["meaning"]]
    came, came_refs = decode_request(bytes.fromhex(vector["hex"]), now=0.0)
    assert came_refs == refs
    if refs.value is not None:
        assert came.body is None
        complete(came, raw_value(request) or b"")
    assert Request.of(came) == request


@pytest.mark.parametrize("vector", read("replies"), ids=lambda vector: vector["meaning"])
def test_the_vectors_of_replies_are_read_as_what_they_mean(vector: dict[str, Any]) -> None:
    reply, refs = REPLIES[vector["meaning"]]
    came, came_refs = decode_reply(bytes.fromhex(vector["hex"]))
    assert came_refs == refs
    if isinstance(reply, Error) and isinstance(came, Error):
        assert vars(came.error) == vars(reply.error)
        assert type(came.error) is type(reply.error)
        return
    if refs.value is not None:
        complete(came, raw_value(reply) or b"")
    assert came == reply


@pytest.mark.parametrize("vector", read("refused"), ids=lambda vector: vector["meaning"])
def test_the_vectors_that_are_neither_requests_nor_replies_are_refused(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    with pytest.raises(WireError):
        decode_request(data, now=0.0)
    with pytest.raises(WireError):
        decode_reply(data)
