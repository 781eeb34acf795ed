"""The test vectors that docs/wire.md speaks of: rebuilt byte for byte, read back, and refused where they must be."""

import json
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Conflict, Json, Message, Verb, open_reply
from swarmlib.wire import frames
from swarmlib.wire.channels import SERVICE
from swarmlib.wire.codec import Apart, Kind, Ref, RefKind, Refs, WireError, decode, encode
from swarmlib.wire.frames import MAGIC, NUMBER, Type, frame
from swarmlib.wire.limits import Limits
from swarmlib.wire.session import Session

FOLDER = Path(__file__).parent / "vectors"
CHANNEL_1 = Ref(RefKind.CHANNEL, 1)

MESSAGES: dict[str, tuple[Message, Refs]] = {
    "the least request": (Message(Verb.LS), Refs()),
    "a request with replies and a deadline": (
        Message(Verb.LS, ("containers",), {"all": "1"}, deadline=2.5),
        Refs(ret=CHANNEL_1),
    ),
    "a JSON value keeps its bytes": (Message(Verb.SET, value=Json(b'{"Id" : "web"}')), Refs()),
    "a line of a log": (Message(Verb.LOG, args={"stream": "stdout"}, value=b"hello"), Refs()),
    "an error": (
        Message(
            Verb.ERROR,
            ("containers", "web"),
            value=Conflict(
                "in use", backend="docker", path=("containers", "web"), details={"status": 409, "body": b"{}"}
            ),
        ),
        Refs(),
    ),
    "headers are pairs, which are tuples": (
        Message(Verb.ACK, args={"headers": [(b"Content-Type", b"application/json")]}),
        Refs(),
    ),
    "an ack with a channel": (Message(Verb.ACK, value=Json(b'{"Id":"x"}')), Refs(channel=Ref(RefKind.CHANNEL, 2))),
    "an ack with a byte stream both ways": (Message(Verb.ACK), Refs(att=Ref(RefKind.DUPLEX, 2))),
    "a request with a byte stream": (Message(Verb.FILE), Refs(ret=CHANNEL_1, att=Ref(RefKind.STREAM, 3))),
    "a path that is not UTF-8": (Message(Verb.FILE, ("containers", "web", "archive"), {"path": "/caf\udce9"}), Refs()),
    "a value that comes apart": (Message(Verb.SET), Refs(value=Apart(2, 50_000_000, Kind.JSON))),
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
    sides[0].channels.send(SERVICE, Message(Verb.LS, ("containers",), ret=open_reply()[0]), 0.0)
    says(0, "3. the initiator: PING, a request with replies on channel 1, PONG")
    sides[1].channels.send(1, Message(Verb.SET, value=Json(b"[]")), 0.0)
    sides[1].channels.send(1, Message(Verb.ACK), 0.0)
    sides[1].channels.end(1)
    says(1, "4. the acceptor: set, ack as LAST, PONG")
    refs = sides[0].channels.send(SERVICE, Message(Verb.FILE, ret=open_reply()[0]), 0.0, RefKind.DUPLEX)
    assert refs.att is not None
    sides[0].channels.write(refs.att.id, b"data")
    sides[0].channels.end(refs.att.id)
    says(0, "5. the initiator: a request with replies on channel 3 and a stream 5, DATA, END")
    sides[1].channels.reset(refs.att.id, "broken")
    says(1, "6. the acceptor: RESET of the stream")
    sides[0].channels.reset(3)
    sides[0].go_away()
    sides[0].finish()
    says(0, "7. the initiator: RESET of the call, GOAWAY, BYE")
    return said


FRAMES: dict[str, bytes] = {
    "HELLO": MAGIC + frames.hello((1, 1), Limits(), frozenset()),
    "MESSAGE on the service": frame(Type.MESSAGE, 0, encode(Message(Verb.LS), now=0.0)),
    "LAST on channel 1": frame(Type.LAST, 1, encode(Message(Verb.ACK), now=0.0)),
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
    "trailing bytes": encode(Message(Verb.LS), now=0.0) + b"\x00",
    "truncated": encode(Message(Verb.LS), now=0.0)[:-1],
    "eight fields": b"\x98" + encode(Message(Verb.LS), now=0.0)[1:-1],
    "an unknown verb": encode(Message(Verb.LS), now=0.0).replace(b"\xa2ls", b"\xa2lz"),
    "an unknown extension type": encode(Message(Verb.LS), Refs(ret=CHANNEL_1), now=0.0).replace(
        b"\xd7\x01", b"\xd7\x63"
    ),
    "a stream in the place of the reply channel": encode(Message(Verb.LS), Refs(ret=CHANNEL_1), now=0.0).replace(
        b"\xd7\x01", b"\xd7\x02"
    ),
    "text as bytes that are UTF-8": encode(Message(Verb.LS, args={"path": "\udce9"}), now=0.0).replace(
        b"\xd4\x07\xe9", b"\xd4\x07a"
    ),
}


def built() -> dict[str, dict[str, bytes]]:
    """All vectors, by file and name."""
    return {
        "messages": {name: encode(message, refs, now=0.0) for name, (message, refs) in MESSAGES.items()},
        "frames": FRAMES,
        "refused": REFUSED,
        "conversation": conversation(),
    }


def read(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("name", ["messages", "frames", "refused", "conversation"])
def test_the_vectors_are_what_this_side_says_byte_for_byte(name: str) -> None:
    assert {each["meaning"]: each["hex"] for each in read(name)} == {
        meaning: data.hex() for meaning, data in built()[name].items()
    }


@pytest.mark.parametrize("vector", read("messages"), ids=lambda vector: vector["meaning"])
def test_the_message_vectors_are_read_as_what_they_mean(vector: dict[str, Any]) -> None:
    message, refs = MESSAGES[vector["meaning"]]
    came, came_refs = decode(bytes.fromhex(vector["hex"]), now=0.0)
    assert came_refs == refs
    assert (came.verb, came.path, came.args, came.deadline) == (
        message.verb,
        message.path,
        message.args,
        message.deadline,
    )
    if message.verb is Verb.ERROR:
        assert vars(came.error) == vars(message.error)
        assert type(came.error) is type(message.error)
    else:
        assert came.value == message.value


@pytest.mark.parametrize("vector", read("refused"), ids=lambda vector: vector["meaning"])
def test_the_vectors_that_are_no_messages_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        decode(bytes.fromhex(vector["hex"]), now=0.0)
