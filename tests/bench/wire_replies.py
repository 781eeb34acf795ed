"""A grammar of replies that break the contract of the wire, for the far side of a `remote`."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from swarmlib.wire.frames import Type, frame
from tests.bench.hostile_grammar import FORGED
from tests.bench.wire_grammar import INSIDE, WRONG
from tests.bench.wirepeer import msgpack, pair, ref, reply, request

_RESPONSE = b"b\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"

_HEADERS: list[Any] = [
    [pair(b"X-A", _RESPONSE)], [pair(_RESPONSE, b"x")], [pair(b"Transfer-Encoding", b"chunked")], 5,
    [pair(b"Content-Length", b"0"), pair(b"Transfer-Encoding", b"chunked")],
    [pair("X", "y")], [pair(b"X")], [pair(b"X", b"y", b"z")], "X: y", {"X": "y"}, [["X", "y"]], [5], [pair(b"", b"")],
    [pair(b"X-A", b"\0")], [pair(b"X A", b"b")], [pair(b"Connection", b"keep-alive")], [pair(b"Upgrade", b"tcp")],
    [pair(b"X-%d" % n, b"a" * 900) for n in range(60)], [pair(b"Content-Length", b"0")],
    [pair(b"Set-Cookie", b"a=b")], None,
]  # fmt: skip
_STATUS: list[Any] = [
    "abc",
    "200 OK\r\nX-Injected: y",
    100,
    101,
    204,
    304,
    199,
    200,
    404,
    600,
    0,
    -1,
    2**63,
    [1],
    1.5,
    True,
    None,
    b"200",
]


def replies(random: Random, channel: int, own: int) -> tuple[str, bytes]:
    """What replies to a request are called, and their frames."""
    name = random.choice(list(_REPLIES))
    return name, _REPLIES[name](random, channel, own)


def said(
    channel: int, kind: Any, details: Any = None, value: Any = None, *, last: bool = False, stream: Any = None
) -> bytes:
    """One reply."""
    return frame(Type.LAST if last else Type.MESSAGE, channel, reply(kind, details, value, stream=stream))


def right(channel: int, name: str) -> bytes:
    """The replies to a `get` of an object: its Id is its name."""
    value = json.dumps({"Id": name, "Name": f"/{name}"}).encode()
    return said(channel, "set", value=value) + said(channel, "ack", last=True)


def _set(random: Random, channel: int, details: dict[str, Any]) -> bytes:
    value = random.choice([b'{"a":1}', b"[]", b"{}", b""])
    return said(channel, "set", details, value) + said(channel, "ack", last=True)


def _reply_details(random: Random, channel: int, own: int) -> bytes:
    choices = {
        "headers": _HEADERS,
        "status": _STATUS,
        "warnings": [*WRONG, ["x\r\nX-Injected: y"]],
        "stream": WRONG,
        "tty": WRONG,
    }
    details = {name: random.choice(choices[name]) for name in random.sample(list(choices), random.choice([1, 1, 2]))}
    if random.random() < 0.3:
        return said(channel, "ack", details, random.choice([None, b'{"Id":"x"}']), last=True)
    return _set(random, channel, details)


def _reply_error(random: Random, channel: int, own: int) -> bytes:
    codes = ["not_found", "conflict", "invalid", "denied", "unavailable", "timeout", "internal", "nonsense", "", 5]
    details: Any = {
        "status": random.choice(_STATUS), "headers": random.choice(_HEADERS),
        "body": random.choice([*WRONG, _RESPONSE]),
        "line": random.choice(WRONG), "stderr": random.choice(WRONG),
    }  # fmt: skip
    details = {name: details[name] for name in random.sample(list(details), random.randint(0, 3))}
    text = random.choice([FORGED, "x" * 40_000, "", "no", FORGED * 99, 5])
    path = random.choice([[], ["containers", FORGED], [5], "x"])
    packed = [
        random.choice(codes),
        text,
        random.choice(["docker", FORGED, 5]),
        path,
        random.choice([details, details, 5]),
    ]
    value: Any = random.choice([*[bytes(msgpack.packb(packed))] * 6, b"", b"{}", None, 5])
    return said(channel, "error", random.choice([None, None, None, {"a": 1}, 5]), value, last=True)


def _reply_value(random: Random, channel: int, own: int) -> bytes:
    values: list[Any] = [
        b"\xff\xfe",
        b"{",
        b"",
        b"[" * 50_000,
        b"5",
        b"null",
        b'"x"',
        b'{"message":5}',
        b'{"error":{"a":1}}\n',
        b"NaN",
    ]
    values += [None, ref(5, own, 100), ref(5, own, 2**62), 5, "text"]
    kind = random.choice(["set", "set", "log", "ack"])
    return said(channel, kind, None, random.choice(values)) + said(channel, "ack", last=True)


def _reply_order(random: Random, channel: int, own: int) -> bytes:
    ack, value, log = (
        said(channel, "ack"),
        said(channel, "set", value=b'{"a":1}'),
        said(channel, "log", {"stream": "stdout"}, b"x"),
    )
    last, end = said(channel, "ack", last=True), frame(Type.END, channel)
    no_reply = random.choice([said(channel, each, last=True) for each in ("ls", "spawn", "connect", "nonsense", 5)])
    a_request = frame(Type.MESSAGE, channel, request("ls", reply=ref(1, own)))
    reset = frame(Type.RESET, channel, random.choice([b"", FORGED.encode(), b"\xff", b"x" * 9000]))
    return random.choice(
        [ack + ack, ack + value + end, log + ack + end, end, value + end, last + value, value * 300 + last, reset,
         ack + reset, value + reset, no_reply, a_request, ack + log * 100 + end, value + value + last,
         ack + end + ack, b"", value, ack]
    )  # fmt: skip


def _reply_stream(random: Random, channel: int, own: int) -> bytes:
    kind = random.choice([2, 2, 3, 4, 1])
    data = random.choice(
        [
            b"plain",
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON",
            _RESPONSE,
            b"\0" * 60_000,
            INSIDE.encode(),
            b"",
        ]
    )
    ack = said(
        channel,
        "ack",
        random.choice([{}, {"status": random.choice(_STATUS)}, {"headers": random.choice(_HEADERS)}]),
        stream=ref(kind, own),
        last=True,
    )
    pieces = frame(Type.DATA, own, data) * random.choice([0, 1, 3])
    return (
        ack
        + pieces
        + random.choice([frame(Type.END, own), frame(Type.RESET, own, b"x"), b"", frame(Type.DATA, own + 2, b"x")])
    )


_REPLIES = {
    "details": _reply_details, "error": _reply_error, "value": _reply_value, "order": _reply_order,
    "stream": _reply_stream, "details and more": _reply_details,
}  # fmt: skip
