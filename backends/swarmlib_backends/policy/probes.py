"""Probes: requests in a JSON file, each with what a policy must do to it, so that rules have tests.

A file is a list of objects. `name` says which probe it is, and `must` what must happen: `allow` or `deny`; `hide` and
`rewrite` are about what an engine's answer shows, or what becomes of the request. The request is one of these:

- `docker`: the words of a command, as a list or as one text, such as `run --privileged busybox`;
- `method` and `path`, with `headers` and one of `body` (JSON, or a text that is sent as it is), `body_b64` and
  `body_tar` (the files of an archive);
- `raw_b64`: the bytes of a whole HTTP request (`method` may say RAW).

`client` says who sends it, in the form of `Meta.caller`, such as `cert:ci-7`. `rule` names the rule that must decide.
`policy` names the file of rules that it is about, without `.toml`, where several are tested with the same probes. What
people write beside that is listed in `_NOTES`.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import shlex
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from swarmlib import Invalid
from swarmlib.suggestions import nearest

from .document import Document
from .explain import Judged, explain, explain_bytes

MUSTS: Final = ("allow", "deny", "hide", "rewrite")
_TEXTS: Final = ("name", "must", "method", "path", "client", "rule", "policy", "raw_b64", "body_b64")
_OTHERS: Final = ("docker", "headers", "body", "body_tar")
_NOTES: Final = ("why", "group", "source", "note", "absent", "engine_20_10")
_REQUESTS: Final = ("docker", "path", "raw_b64")
_WITH_LENGTH: Final = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True)
class Probe:
    """A request, and what must happen to it. Each field is that of the file; "" where it has none.

    Attributes:
        command: the words of a docker command; none if the request is `data`.
        data: the bytes of an HTTP request.
    """

    name: str
    must: str
    command: Sequence[str]
    data: bytes
    client: str
    rule: str
    policy: str


@dataclass(frozen=True)
class Outcome:
    """What the rules do to a probe.

    Attributes:
        result: `ok`, `failed`; or `undecided`, if the rules allow it, and only an engine can tell the rest.
        calls: the verdicts about each of its calls.
    """

    probe: Probe
    result: str
    reason: str
    calls: Sequence[Judged]

    @property
    def line(self) -> str:
        """It as a line for people."""
        return f"{self.result:9}  {self.probe.name}" + (f": {self.reason}" if self.reason else "")

    def as_data(self) -> dict[str, object]:
        """Return it as JSON for programs."""
        found = {"name": self.probe.name, "must": self.probe.must, "result": self.result, "reason": self.reason}
        return {**found, "calls": [each.as_data() for each in self.calls]}


def read(path: Path) -> list[Probe]:
    """Read a file of probes.

    Raises:
        Invalid: it can't be read, or one of them is wrong; the error names it.
    """
    try:
        found: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise Invalid(f"{path}: {exc}") from exc
    if not isinstance(found, list):
        raise Invalid(f"{path}: expected a list of probes, [{{…}}, …]")
    return [_probe(path, number, each) for number, each in enumerate(cast("list[Any]", found), 1)]


def _probe(path: Path, number: int, given: Any) -> Probe:
    try:
        if not isinstance(given, dict):
            raise ValueError("expected an object")
        return _read(cast("dict[str, Any]", given))
    except (ValueError, TypeError, binascii.Error) as exc:
        name = cast("dict[str, Any]", given).get("name") if isinstance(given, dict) else None
        raise Invalid(f"{path}: probe {name or number!r}: {exc}") from exc


def _read(given: Mapping[str, Any]) -> Probe:
    known = (*_TEXTS, *_OTHERS, *_NOTES)
    for key in given.keys() - set(known):
        raise ValueError(f"unknown key {key!r}; {nearest(key, sorted(known))}")
    texts = {key: given.get(key, "") for key in _TEXTS}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise ValueError(f"{key} must be a text, not {value!r:.60}")
    if not texts["name"]:
        raise ValueError("it requires a name")
    if texts["must"] not in MUSTS:
        raise ValueError(f"must must be one of {', '.join(MUSTS)}, not {texts['must']!r}")
    if sum(bool(given.get(key)) for key in _REQUESTS) != 1:
        raise ValueError("it requires exactly one of docker, method and path, and raw_b64")
    return Probe(
        texts["name"], texts["must"], _command(given), _data(given), texts["client"], texts["rule"], texts["policy"]
    )


def _command(given: Mapping[str, Any]) -> Sequence[str]:
    words = given.get("docker", ())
    words = shlex.split(words) if isinstance(words, str) else words
    if not all(isinstance(each, str) for each in words):
        raise ValueError(f"docker must be words, not {words!r:.60}")
    return ["docker", *(words[1:] if words[0] == "docker" else words)] if words else ()


def _data(given: Mapping[str, Any]) -> bytes:
    if given.get("raw_b64"):
        return base64.b64decode(given["raw_b64"], validate=True)
    if not given.get("path"):
        return b""
    headers = _headers(given.get("headers") or {})
    body, is_json = _body(given)
    return request_bytes(given.get("method") or "GET", given["path"], body, headers, is_json=is_json)


def _headers(given: Any) -> Mapping[str, str]:
    if not isinstance(given, dict) or not all(isinstance(each, str) for each in cast("dict[str, Any]", given).values()):
        raise ValueError("headers must be an object of texts")
    return cast("dict[str, str]", given)


def _body(given: Mapping[str, Any]) -> tuple[bytes, bool]:
    """Return the body of a request, and whether it is JSON that the file holds as such."""
    if sum(given.get(key) is not None for key in ("body", "body_b64", "body_tar")) > 1:
        raise ValueError("body, body_b64 and body_tar can't be used together")
    if given.get("body_b64") is not None:
        return base64.b64decode(given["body_b64"], validate=True), False
    if given.get("body_tar") is not None:
        return _tar(given["body_tar"]), False
    body = given.get("body")
    if body is None or isinstance(body, str):
        return (body or "").encode("utf-8", "surrogatepass"), False
    return json.dumps(body).encode(), True


def _tar(files: Any) -> bytes:
    if not isinstance(files, dict):
        raise ValueError("body_tar must be an object of texts, by the names of files")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in cast("dict[str, Any]", files).items():
            data = str(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def request_bytes(method: str, path: str, body: bytes, headers: Mapping[str, str], *, is_json: bool) -> bytes:
    """Return an HTTP request; `headers` come before those that it needs."""
    needed = {"Host": "docker", "Connection": "close"}
    if body or method in _WITH_LENGTH:
        needed["Content-Length"] = str(len(body))
    if is_json:
        needed["Content-Type"] = "application/json"
    given = {name.lower() for name in headers}
    fields = {**headers, **{name: value for name, value in needed.items() if name.lower() not in given}}
    return "\r\n".join([f"{method} {path} HTTP/1.1", *map(": ".join, fields.items()), "", ""]).encode() + body


async def judge(policy: Document, probe: Probe) -> Outcome:
    """Say what the rules do to a probe, as far as can be said without an engine."""
    calls = list[Judged]()
    if probe.command:
        await explain(policy, probe.command, calls.append, probe.client, output=subprocess.DEVNULL)
    else:
        calls = await explain_bytes(policy, probe.data, probe.client)
    result, reason = _outcome(probe, calls)
    return Outcome(probe, result, reason, calls)


def _outcome(probe: Probe, calls: Sequence[Judged]) -> tuple[str, str]:
    denied = next((each for each in calls if not each.verdict.allowed), None)
    if not calls:
        return "failed", "it makes no call"
    deciding = denied or calls[-1]
    decided = [deciding] if denied else calls
    if probe.rule and probe.rule not in (each.rule for each in decided):
        return "failed", f"the rule {deciding.rule!r} decides, and not {probe.rule!r}: {deciding.line}"
    if (probe.must == "allow") is (denied is None):
        return "ok", ""
    if denied is not None:
        return ("ok", "") if probe.must != "allow" else ("failed", f"it must be allowed: {denied.line}")
    if any(each.resolved for each in calls):
        return "undecided", "it depends on the objects and folders that there are, which only an engine can tell"
    return "failed", f"it must be denied: {deciding.line}"
