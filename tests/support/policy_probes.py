"""The study's probes of policies: what each sends, and what came of it on the engines behind the policy.

BREACH: what had to be denied changed something or succeeded, or an answer shows what had to be hidden. PASSED: what had
to be denied was refused by the engine, in its own words, and by nobody else. LOST: what had to be allowed was not.
"""

from __future__ import annotations

import json
import re
import time
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.bench.responses import answers
from tests.support.builds import context
from tests.support.paths import DATA
from tests.support.policy_world import World, said

PROBES: Final[list[dict[str, Any]]] = json.loads((DATA / "policy" / "probes.json").read_text())
OK: Final = "OK"
_VARIES: Final = re.compile(r"[0-9a-f]{12,64}|probe\d+|:\d{4,5}")


@dataclass(frozen=True)
class Outcome:
    """What came of a probe."""

    name: str
    result: str
    status: int
    detail: str = ""


def request_of(probe: Mapping[str, Any], fill: Mapping[str, str]) -> bytes:
    """Return the bytes that a probe sends, with its placeholders filled in."""
    if probe["method"] == "RAW":
        return b64decode(probe["raw_b64"]).replace(b"{n}", fill["n"].encode())
    body = _body(probe, fill)
    headers = {"Host": "docker", "Connection": "close", **probe["headers"]}
    if body or probe["method"] in ("POST", "PUT"):
        headers["Content-Length"] = str(len(body))
    lines = [f"{probe['method']} {_filled(probe['path'], fill)} HTTP/1.1", *map(": ".join, headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def _body(probe: Mapping[str, Any], fill: Mapping[str, str]) -> bytes:
    if "body_b64" in probe:
        return b64decode(probe["body_b64"])
    if "body_tar" in probe:
        return context(probe["body_tar"])
    return _filled(probe["body"] or "", fill).encode()


def _filled(text: str, fill: Mapping[str, str]) -> str:
    for name, value in fill.items():
        text = text.replace(f"{{{name}}}", value)
    return text


async def run(probe: Mapping[str, Any], number: int, world: World, address: str) -> Outcome:
    """Send a probe, and look on the engines at what came of it; undo whatever it changed."""
    before = await world.snapshot()
    now = str(int(time.time()))
    fill = {"srv": str(world.srv), "pad": "x" * 1_200_000, **world.names, "n": f"probe{number}", "now": now}
    data = await said(address, request_of(probe, fill))
    found = answers(data, ended=True, bodyless=probe["method"] == "HEAD").final
    status, body = (found[-1].status, found[-1].body) if found else (0, b"")
    changed = {kind for kind, _ in set((await world.snapshot()).items()) ^ set(before.items())}
    leaked = [name for name in probe.get("absent", ()) if _filled(name, fill).encode() in body]
    if changed:
        await world.undo(before)
    result = _result(probe, status, body, harmed=bool(changed), leaked=bool(leaked))
    return Outcome(probe["name"], result, status, f"{changed or ''} {leaked or ''} {body[:300]!r}")


def _result(probe: Mapping[str, Any], status: int, body: bytes, *, harmed: bool, leaked: bool) -> str:
    good = 200 <= status < 300 or status == 101
    if probe["must"] == "allow":
        return OK if good and not leaked else "LOST"
    if probe["must"] == "hide":
        return "BREACH" if leaked else OK
    if probe["must"] == "deny" and (harmed or good):
        return "BREACH"
    bare = probe.get("engine_20_10", {"says": ""})
    said_so = bool(bare["says"]) and _plain(body.decode("latin-1")).startswith(_plain(bare["says"]))
    return "PASSED" if probe["must"] == "deny" and said_so and status == bare["status"] else OK


def _plain(text: str) -> str:
    return _VARIES.sub("X", text.strip())
