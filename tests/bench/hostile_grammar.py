"""A grammar of hostile answers: what an engine may do to a request of a row, each a list of actions (`hostile`)."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from swarmlib_backends.dockerapi.rows import Kind, Row
from tests.bench.hostile import Action, chunked, framed

FORGED = "\r\nFORGED: swarmd: ERROR: line\n\x1b[2Jx\x00"
"""Text that would be seen in a log if it got there as it is."""
OWN = framed(b'{"Id":"attacked"}')
EVIL = framed(b'{"Id":"POISON"}')
_WRONG: list[Any] = [None, 5, -1, 2**70, 1e300, "text", True, [], {}, [None], [5], [[]], ["x"], [{}], {"a": 1}]
_FIELDS = (
    "Id Names Labels",
    "Containers Images Volumes Name Created",
    "Type Action Actor time timeNano",
    "NCPU MemTotal Plugins ApiVersion Components",
    "Id RepoTags Ports State HostConfig ID",
    "BuildCache LayersSize SystemStatus DriverStatus Name",
)
_RAW = ["{", "nul", "\xff", '{"a":\x00}', "[" * 20000, '{"Id":"\\ud800"}', "NaN", '{"a":1}{"b":2}', "", " ", "1e999"]
_HEADERS = (
    "X-A: b\rEvil: c",
    "X-A: b\nEvil: c",
    "X A: b",
    "X-A\0: b",
    "X-A: \x1b[2J",
    "Evil",
    " X: y",
    ": z",
    "\xff: z",
)
_LENGTHS = (b"+2", b"-2", b"2, 2", b"x", b"9" * 30, b"", b"0x2")
_SIZES = (b"zz", b"-2", b"f" * 16, b"+2", b"2;" + b"a" * 200_000, b"2 2", b"0x2")
_STATUS_LINES = (
    b"HTTP/1.1 abc\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"HTTP/1.1 99 X\r\n\r\n",
    b"garbage\r\n\r\n",
    b"\x89SWARM\r\n",
    b"HTTP/1.1 20000 X\r\n\r\n",
    b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
)


def body(random: Random, row: Row) -> bytes:
    """A body that is no JSON, of a wrong type, or right but for some fields."""
    if random.random() < 0.3:
        return random.choice(_RAW).encode("latin-1")
    wrong: Any = random.choice(_WRONG)
    thing = dict.fromkeys(random.choice(_FIELDS).split(), wrong)
    chosen = random.choice([wrong, thing, [thing, thing], {**thing, "Id": "x", "Containers": [thing]}])
    return json.dumps(chosen).encode() + (b"\n" if row.kind in (Kind.WATCH, Kind.PROGRESS) else b"")


def _garbage(random: Random, row: Row) -> dict[str, list[Action]]:
    """Answers that no engine may give; they must never be answered as a fault of the client's."""
    odd = b"Content-Length: %s\r\n" % random.choice(_LENGTHS)
    encoding = b"Transfer-Encoding: %s\r\n" % random.choice([b"gzip", b"chunked, x", b"x", b"chunked\x0b"])
    return {
        "a wrong value": [framed(body(random, row), row.status)],
        "a wrong value, chunked": [chunked(body(random, row))],
        "two lengths": [framed(b"{}" + EVIL, extra=b"Content-Length: 40\r\n")],
        "length and chunked": [framed(b"2\r\n{}\r\n0\r\n\r\n" + EVIL, extra=b"Transfer-Encoding: chunked\r\n")],
        "an odd length": [framed(b"{}", length=None, extra=odd), 0.02, "close"],
        "an odd encoding": [framed(b"{}", length=None, extra=encoding), 0.02, "close"],
        "a bad chunk": [chunked(b"{}", size=random.choice(_SIZES)), 0.02, "close"],
        "a malformed status line": [random.choice(_STATUS_LINES), 0.02, "close"],
        "a malformed header": [framed(b"{}", extra=random.choice(_HEADERS).encode("latin-1") + b"\r\n")],
    }


def _framing(random: Random) -> dict[str, list[Action]]:
    """More, less or something else than one answer."""
    told = b"HTTP/1.1 %d Interim\r\nLink: x\r\n\r\n" % random.choice([100, 102, 103, 199])
    upgrade = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    return {
        "two answers in one": [OWN + EVIL],
        "an answer too many, later": [OWN, 0.02, EVIL],
        "half of the next head": [OWN + b"HTTP/1.1 200 OK\r\nX-Left"],
        "interim before the answer": [told * random.choice([1, 1, 3, 500]) + OWN],
        "interim, then the answer": [told, 0.02, OWN],
        "interim and nothing": [told, "close"],
        "a body with 204 or 304": [framed(b'{"Id":"POISON"}', random.choice([204, 304, 205]))],
        "an answer behind 204 or 304": [framed(EVIL, random.choice([204, 304]))],
        "a short length": [framed(b'{"Id":"attacked"}' + EVIL, length=17)],
        "trailers": [chunked(b"{}", last=b"0\r\nX-Evil: a\r\nContent-Length: 5\r\n\r\n")],
        "101 unasked": [upgrade + OWN],
        "101 unasked, later more": [upgrade, 0.02, EVIL],
        "empty lines behind": [OWN + b"\r\n\r\n"],
    }


def _ends(random: Random) -> dict[str, list[Action]]:
    """Answers that break off, never come, or never end."""
    end: Action = random.choice(["close", "reset"])
    slowly: list[Action] = []
    for start in range(0, len(OWN), 9):
        slowly += [OWN[start : start + 9], 0.01]
    return {
        "a long length": [framed(b'{"Id":', length=1000), end],
        "a chunk that breaks off": [chunked(b'{"Id"', size=b"ff", last=b""), end],
        "nothing": [end],
        "half a head": [b"HTTP/1.1 200 OK\r\nContent-Le", end],
        "silence": ["stay"],
        "half a head, then silence": [b"HTTP/1.1 200 OK\r\nContent-Le", "stay"],
        "an endless head": [b"HTTP/1.1 200 OK\r\n", *[b"X-A: %s\r\n" % (b"a" * 60_000)] * 100],
        "an endless line": [framed(b"", length=None), *[b"a" * 65_536] * 330, "close"],
        "an endless body": [framed(b"", length=1 << 40), *[b"[" * 65_536] * 330, "close"],
        "many lines": [framed(b"", length=None), b'{"a":1}\n' * 5000, "close"],
        "slow": slowly,
    }


def _statuses(random: Random, row: Row) -> dict[str, list[Action]]:
    """Well-formed answers with another status than the row's, or with text that no log and no terminal should get."""
    status = random.choice([200, 201, 202, 301, 307, 400, 401, 403, 404, 409, 418, 500, 503, 599])
    text = random.choice(["no", FORGED, "", "x" * 100_000, 5, None, [FORGED]])
    return {
        "a wrong value with another status": [framed(body(random, row), status)],
        "an error with control characters": [framed(json.dumps({"message": text}).encode(), max(400, status))],
        "raw control characters": [framed(FORGED.encode(), max(400, status))],
        "a redirect": [framed(b"", 301, extra=b"Location: http://evil/\r\n")],
        "an error within": [chunked(json.dumps({"errorDetail": {"message": text}, "error": text}).encode() + b"\n")],
    }


def hostile_answer(random: Random, row: Row) -> tuple[str, list[Action], bool]:
    """What the answer is called, its actions, and whether it is garbage, which must not be the client's fault."""
    garbage = _garbage(random, row)
    kinds = random.choice([garbage, _framing(random), _ends(random), _statuses(random, row)])
    name = random.choice(list(kinds))
    return name, kinds[name], kinds is garbage
