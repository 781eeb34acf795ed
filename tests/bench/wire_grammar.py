"""A grammar of typed garbage for the wire: requests to a `listen`. The replies to a `remote` are in `wire_replies`."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from swarmlib.wire.frames import HEAD, Type, frame
from swarmlib_backends.dockerapi.rows import ROWS, Row
from tests.bench.hostile_grammar import FORGED
from tests.bench.wirepeer import msgpack, pair, ref, request

INSIDE = "DELETE /v1.41/containers/smuggled?force=1 HTTP/1.1\r\nHost: d\r\n\r\n"
_INJECTED = f"b\r\nHost: d\r\n\r\n{INSIDE}GET /x"
WRONG: list[Any] = [None, 5, -1, 2**63, 1.5, float("nan"), True, "", "x", FORGED, b"x", b"\xff", [], [5], [None], {}]
WRONG += [{"a": 1}, {"a": {"b": [1]}}, [["x"]], pair("a", "b"), pair(pair(5)), "x" * 70_000, "\0", "\u212a", "\u202e"]


def _deep(random: Random) -> Any:
    found: Any = 5
    for _ in range(random.choice([10, 200, 600])):
        found = [found]
    return found


def _text(random: Random) -> Any:
    return random.choice(
        [*WRONG, _INJECTED, "../x", "x/../../smuggled", "x?force=1", "x#y", "%2e%2e", ".", "a/b", "//"]
    )


def asked(random: Random, channel: int, own: int) -> tuple[str, bytes, bool]:
    """What a request is called, its bytes, and whether it has an upload.

    channel: the number of that for its replies. own: the next number, for a stream.
    """
    row: Row = random.choice(ROWS)
    fault = random.choice(list(_FAULTS))
    name = f"w{channel}"
    packed: dict[str, Any] = {"verb": row.verb.value, "path": row.path(name), "params": {}, "reply": ref(1, channel)}
    if row.upload:
        packed["upload"] = ref(2, own)
    _FAULTS[fault](random, packed, row, own)
    return f"{row.name}: {fault}", request(**packed), packed.get("upload") == ref(2, own)


def _path(random: Random, packed: dict[str, Any], row: Row, own: int) -> None:
    parts: list[Any] = list(packed["path"])
    at = random.randint(0, len(parts))
    parts[at : at + random.randint(0, 1)] = [_text(random)] * random.choice([1, 1, 2, 70])
    packed["path"] = random.choice([parts, parts, parts, _text(random), ["containers", _text(random)], [_text(random)]])


def _params(random: Random, packed: dict[str, Any], row: Row, own: int) -> None:
    names = ["all", "filters", "limit", "force", "name", "signal", "t", "tail", "since", "path", "h", "w", "fromImage"]
    chosen = random.sample(names, random.randint(1, 3))
    packed["params"] = {each: _text(random) for each in chosen}
    if random.random() < 0.3:
        odd = ["a\r\nX-Injected: 1", "a=1&force", "a b", "", "a\0", "x" * 9000, "\u017f"]
        packed["params"][random.choice(odd)] = "1"


def _typed_params(random: Random, packed: dict[str, Any], row: Row, own: int) -> None:
    names = [":caller", ":version", "caller", "version", "headers", "method", "target", "upgrade", "all", "x-any"]
    packed["params"] = {random.choice(names): random.choice([*WRONG, _deep(random)]) for _ in range(2)}


def _meta(random: Random, packed: dict[str, Any], row: Row, own: int) -> None:
    whole: list[Any] = ["cert:admin", "1.41", [["x-registry-auth", "e30="]]]
    whole[random.randint(0, 2)] = random.choice([*WRONG, _deep(random), ref(1, own)])
    packed["meta"] = random.choice([whole, whole, whole, whole[:2], [*whole, ""], *WRONG])


_HEADER_NAMES: list[Any] = [
    "transfer-encoding", "content-length", "connection", "host", "upgrade", "expect", "x-injected", "te",
    "content-type", "x-registry-auth", f"x\r\n\r\n{INSIDE}GET /_ping HTTP/1.1\r\nHost", "X-Injected: a\r\nB", "a b", "",
    ":", ":version", "\u212a", "X-Registry-Auth", 5, b"te",
]  # fmt: skip
_HEADER_VALUES: list[Any] = [
    "chunked", "0", "5", "close", "evil", "tcp", "100-continue", "multipart/form-data; boundary=x", _INJECTED, 5,
    ["a", "b"], FORGED, "\xff", "\u20ac", b"0",
]  # fmt: skip


def _headers(random: Random, packed: dict[str, Any], row: Row, own: int) -> None:
    headers = [[random.choice(_HEADER_NAMES), random.choice(_HEADER_VALUES)] for _ in range(random.randint(1, 2))]
    packed["meta"] = ["", random.choice(["", "1.41"]), headers]
    _hidden(random, packed)


def _version(random: Random, packed: dict[str, Any], row: Row, own: int) -> None:
    inside = f"1.41/_ping HTTP/1.1\r\nHost: d\r\n\r\n{INSIDE}GET /v1.41"
    values: list[Any] = [
        inside, "1.41/containers/smuggled/kill?x=", "1.41/../..", "1.41 ", "1.41\t", "", "1", "1.41.1", "-1.41",
        "9" * 99, "1.4\u0661", "v1.41", "1.41?x", "1.41#", 1.41, ["1.41"], b"1.41",
    ]  # fmt: skip
    packed["meta"] = ["", random.choice(values), []]


def _hidden(random: Random, packed: dict[str, Any]) -> None:
    packed["body"] = random.choice([b"0\r\n\r\n" + INSIDE.encode(), INSIDE.encode(), b"{}"])


def _body(random: Random, packed: dict[str, Any], row: Row, own: int) -> None:
    if random.random() < 0.3:
        _hidden(random, packed)
        return
    raw = [
        b"{",
        b"",
        b"\xff",
        b"[" * 30_000,
        b'{"Image":5}',
        b'{"HostConfig":5}',
        b'{"Cmd":5}',
        b'{"Env":[5]}',
        b"null",
    ]
    raw += [b'{"Image":"busybox","ExposedPorts":{"1-99999/tcp":{}}}', b'{"Image":"busybox","Labels":[1]}', b"NaN", b"5"]
    raw += [
        json.dumps({"Image": "busybox", name: each}, default=repr).encode()
        for each in WRONG[:12]
        for name in ("Env", "Cmd")
    ]
    packed["body"] = random.choice(
        [*raw, *raw, None, "text", 5, ref(5, own, 100), ref(5, own, 2**62), msgpack.packb([1] * 5)]
    )


def _left(random: Random, packed: dict[str, Any], row: Row, own: int) -> None:
    packed["left"] = random.choice([-1, "x", 0, 0.0, 1e308, float("nan"), float("inf"), 2**63, True, [], 1e-9])


def _fields(random: Random, packed: dict[str, Any], row: Row, own: int) -> None:
    name = random.choice(["verb", "path", "params", "body", "reply", "upload", "meta", "left"])
    refs = [ref(1, own), ref(2, own), ref(3, own), ref(4, 0), ref(1, 0), ref(1, 2**63), ref(1, own + 100), ref(9, 1)]
    packed[name] = random.choice([*WRONG, *refs, "ack", "error", "log", "spawn", "SPAWN"])


def _upload(random: Random, packed: dict[str, Any], row: Row, own: int) -> None:
    packed["upload"] = random.choice([ref(2, own), ref(3, own), ref(4, 0), ref(1, own), None, ref(2, own - 2)])


_NO_METHODS: list[Any] = ["G\r\nX-Injected: 1", "", "GET /x HTTP/1.1\r\nHost: d\r\n\r\nDELETE", 5, "get"]


def _whole(random: Random, packed: dict[str, Any], row: Row, own: int) -> None:
    method = random.choice(["DELETE", "GET", "POST", *_NO_METHODS])
    # What has a row of its own, and so must not be passed on; other requests may be.
    operation = {"DELETE": "/containers/smuggled?force=1", "GET": "/containers/smuggled/json"}.get(method, "/x")
    targets: list[Any] = [
        operation,
        f"/v9{operation}",
        "/x HTTP/1.1\r\nHost: d\r\n\r\n" + INSIDE,
        "/x y",
        "//x",
        "http://e/x",
        "*",
        "x",
        5,
    ]
    headers: list[Any] = [
        [], [["x-injected\r\na", "b"]], [["a", "b\r\nx-injected: c"]], [["a", 5]], [["a"]], 5, {}, [5], [["a", ["b"]]],
        [["content-length", "9"]], [["transfer-encoding", "chunked"], ["content-length", "5"]], [["upgrade", "x"]],
        [["", ""]], [["a", "b"]], [["A", "b"]],
    ]  # fmt: skip
    packed |= {"verb": "connect", "path": ["whole"]}
    packed["params"] = {"method": method, "target": random.choice(targets)}
    if random.random() < 0.2:
        packed["params"]["upgrade"] = random.choice(["h2c", "tcp", "a\r\nb", "", 5])
    packed["meta"] = ["", "", random.choice(headers)]
    if random.random() < 0.2:
        del packed["params"][random.choice(list(packed["params"]))]


_FAULTS = {
    "path": _path, "params": _params, "typed params": _typed_params, "meta": _meta, "headers": _headers,
    "version": _version, "body": _body, "left": _left, "fields": _fields, "upload": _upload, "whole": _whole,
}  # fmt: skip


def raw_frames(random: Random, channel: int) -> bytes:
    """Frames that break the rules of the session."""
    kind = random.choice([*Type, 0, 12, 127, 128, 255])
    payload = random.choice(
        [b"", b"x", random.randbytes(random.randint(1, 200)), request("ls"), msgpack.packb([1] * 9)]
    )
    made = (
        frame(Type.PING, 0, b"12345678")[:4]
        + bytes([kind])
        + random.choice([0, channel, channel + 2, 2, 2**63]).to_bytes(8, "big")
    )
    length = random.choice([len(payload), len(payload), len(payload) + 1, 2**32 - 1, 1 << 20])
    return length.to_bytes(4, "big") + made[4 : HEAD.size] + payload
