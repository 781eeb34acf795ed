"""Bodies with tricks, through the gateway: what a stage judged must be what the engine made of them.

Containers are created and never run. The one that is started (API 1.23, with a body) has no program that could run.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

from tests.bench.attacking import Findings, Gateway, ask
from tests.bench.responses import Answer, answers
from tests.bench.witness import EngineWitness, Judged, JudgeWitness

_FORM = "application/x-www-form-urlencoded"


class BodyAttack:
    """Sends bodies and compares what was judged with what the engine says."""

    def __init__(
        self, through: Gateway, behind: EngineWitness, judge: JudgeWitness, findings: Findings, verbose: bool
    ) -> None:
        self._gateway = through
        self._engine = str(behind.engine.socket)
        self._behind = behind
        self._judge = judge
        self._findings = findings
        self._verbose = verbose

    def prepare(self) -> None:
        """Make the container that no request may remove or change, and forget how."""
        self._direct("POST", "/v1.41/containers/create?name=witness", {"Image": "busybox", "Cmd": ["/nonesuch"]})
        self._behind.calls()

    def one(self, seed: int) -> None:
        """One body by its seed."""
        random = Random(seed)
        (self._create if random.random() < 0.75 else self._form)(seed, random)
        self._behind.calls()
        self._judge.requests()

    def _create(self, seed: int, random: Random) -> None:
        name, body = f"f{seed}", body_of(random)
        kind = random.choices(
            ["application/json", "text/plain", "application/json; charset=latin-1", _FORM, ""], [16, 1, 1, 1, 1]
        )[0]
        version = random.choice(["/v1.41", "/v1.41", "", "/v1.24", "/v1.18"])
        status, _ = self._through(f"POST {version}/containers/create?name={name}", body, kind)
        judged = [each for each in self._judge.requests() if each.path == ("containers",) and each.verb == "spawn"]
        made = self._direct("GET", f"/v1.41/containers/{name}/json")
        if self._verbose:
            print(f"{body!r} ({kind}): {status}\njudged {judged}\nmade {made}")
        if made is None:
            self._findings.differ(f"body answered {status}", seed)
            return
        self._direct("DELETE", f"/v1.41/containers/{name}?force=1&v=1")
        if not judged or judged[0].unread:
            self._findings.add("the engine took a body that no stage could read", seed, f"{body!r} {judged}")
            return
        for field, ours, theirs in _differing(judged[0], made):
            detail = f"judged {ours!r}, the engine has {theirs!r}; body {body[:500]!r}"
            self._findings.add(f"judged is not done: {field}", seed, detail)

    def _form(self, seed: int, random: Random) -> None:
        """A body in a form, which Go lets win over the query."""
        target, form = random.choice(
            [
                ('/v1.41/containers/prune?filters={"label":["none"]}', "filters={}"),
                ('/v1.41/containers/prune?filters={"label":["none"]}', "filters="),
                (f"/v1.41/containers/witness/rename?name=q{seed}", f"name=body{seed}"),
                ("/v1.41/containers/prune?filters=%7B%22label%22%3A%5B%22none%22%5D%7D;x", "x=1"),
                ("/v1.41/containers/prune?x=1;filters=%7B%22label%22%3A%5B%22none%22%5D%7D", ""),
                ("/v1.23/containers/witness/start", '{"Privileged":true,"Binds":["/:/host"]}'),
                ("/v1.41/containers/witness/start", '{"Privileged":true}'),
            ]
        )
        json_body = form.startswith("{")
        status, _ = self._through(
            "POST " + target.replace('"', "%22"), form.encode(), "application/json" if json_body else _FORM
        )
        judged = self._judge.requests()
        there = self._direct("GET", f"/v1.41/containers/body{seed}/json")
        if there is not None:
            self._findings.add("a form body won over the query: rename", seed, f"{target} {form}")
        if there is None and (there := self._direct("GET", "/v1.41/containers/witness/json")) is None:
            there = self._direct("GET", f"/v1.41/containers/q{seed}/json")
        if there is None:
            self._findings.add("containers were pruned past the judged filters", seed, f"{target} {form} {judged}")
            self.prepare()
            return
        if there["HostConfig"]["Privileged"] and not any("Privileged" in str(each.body) for each in judged):
            self._findings.add("a body on start was done and not judged", seed, f"{target} {form} {judged}")
        self._direct("DELETE", f"/v1.41/containers/{there['Id']}?force=1")
        self.prepare()
        self._findings.differ(f"form or start body answered {status}", seed)

    def _through(self, request: str, body: bytes, kind: str) -> tuple[int, bytes]:
        typed = f"Content-Type: {kind}\r\n" if kind else ""
        head = f"{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{typed}Content-Length: {len(body)}\r\n\r\n"
        found = answers(data := ask(self._gateway.unix, head.encode() + body), ended=True)
        last = found.final[0] if found.final else Answer(0, [])
        return last.status, data

    def _direct(self, method: str, target: str, body: Any = None) -> Any:
        """The engine's own answer; None unless it is a success with a value."""
        sent = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        data = ask(self._engine, f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
        found = answers(data, ended=True).final[0]
        return json.loads(found.body) if found.status < 300 and found.body else None


_TOP = (
    "Image",
    "Cmd",
    "Entrypoint",
    "User",
    "WorkingDir",
    "Env",
    "Labels",
    "Tty",
    "OpenStdin",
    "StopSignal",
    "Hostname",
)
_HOST = (
    "Privileged",
    "Binds",
    "CapAdd",
    "PidMode",
    "IpcMode",
    "NetworkMode",
    "Memory",
    "SecurityOpt",
    "Devices",
    "UsernsMode",
    "Init",
)
_DEFAULTS: dict[str, set[Any]] = {
    "NetworkMode": {"default"},
    "IpcMode": {"private", "shareable"},
    "SecurityOpt": {"['label=disable']"},
}
"""What an engine makes of a field that is not there."""


def _differing(judged: Judged, made: Any) -> list[tuple[str, Any, Any]]:
    """Field, what a stage that looks at it reads, what the engine has."""
    value = judged.body if isinstance(judged.body, dict) else {}
    host = value.get("HostConfig")
    found = [(name, value.get(name), made["Config"].get(name)) for name in _TOP]
    found += [
        (name, (host if isinstance(host, dict) else {}).get(name), made["HostConfig"].get(name)) for name in _HOST
    ]
    return [(name, ours, theirs) for name, ours, theirs in found if not _same(name, ours, theirs)]


def _same(name: str, ours: Any, theirs: Any) -> bool:
    if (name == "Hostname" and not ours) or (name in ("Cmd", "Entrypoint") and not ours):
        return True  # the engine's, or the image's
    if str(theirs) in _DEFAULTS.get(name, set()) and not ours:
        return True
    if name in ("Cmd", "Entrypoint", "CapAdd") and isinstance(ours, str):
        ours = [ours]
    if name == "CapAdd":
        ours, theirs = ([str(each).upper().removeprefix("CAP_") for each in caps or []] for caps in (ours, theirs))
    return (ours or None) == (theirs or None)


# The grammar of bodies.

_VALUES: dict[str, list[Any]] = {
    "Privileged": [True, False],
    "Binds": [["/:/host"], [], None],
    "CapAdd": [["SYS_ADMIN"], []],
    "PidMode": ["host", ""],
    "NetworkMode": ["host", "none"],
    "Memory": [10485760, 0],
    "Image": ["busybox", "nonesuch"],
    "Cmd": [["a"], ["b"], "c"],
    "Env": [["A=1"], ["A=2", "B=3"], [], None, ["X=\ud83d"]],
    "Labels": [{"a": "1"}, {"A": "1", "a": "2"}, {}, None, {"com.example.\u212a": "\u017f"}],
    "User": ["root", "nobody", "0"],
    "Tty": [True, False],
    "WorkingDir": ["/a", "/b"],
}
_HOST_FIELDS = ("Privileged", "Binds", "CapAdd", "PidMode", "NetworkMode", "Memory")


def body_of(random: Random) -> bytes:
    """The body of a create, most of them with a trick."""
    host = [(folded(random, name), _value(random, name)) for name in random.sample(_HOST_FIELDS, random.randint(0, 3))]
    top = [
        (folded(random, name), _value(random, name))
        for name in random.sample(["Cmd", "Env", "Labels", "User", "Tty"], 2)
    ]
    top.append((folded(random, "Image"), '"busybox"'))
    hosts = [host[:1], host[1:]] if random.random() < 0.3 else [host]
    top += [(folded(random, "HostConfig"), object_of(random, each)) for each in hosts]
    if random.random() < 0.2:
        top += [(name, _value(random, name)) for name in random.sample(_HOST_FIELDS, 1)]
    if random.random() < 0.25:
        name = random.choice(["Image", "User", "Env", "Labels", "HostConfig"])
        top.append((folded(random, name), "null" if name == "HostConfig" else _value(random, name)))
    random.shuffle(top)
    return _whole(random, object_of(random, top).encode("utf-8", "surrogatepass"))


def _value(random: Random, name: str) -> str:
    value = random.choice(_VALUES[name])
    if random.random() < 0.05:
        value = random.choice([5, "5", [5], [None], {"a": 5}, 1e400, -0.0, [[]], 2**70, "true"])
    return json.dumps(value, ensure_ascii=random.random() < 0.5 or "\ud83d" in str(value))


def folded(random: Random, name: str) -> str:
    """A field's name as Go takes it for the same: another case, or a letter that folds to it."""
    chosen = random.random()
    if chosen < 0.7:
        return name
    forms = [name.lower(), name.upper(), name.swapcase(), name.replace("s", "\u017f"), name.replace("k", "\u212a")]
    forms += [
        name.replace("S", "\u017f"),
        name.replace("K", "\u212a"),
        name + " ",
        name + "\0",
        name[:1].lower() + name[1:],
    ]
    return random.choice(forms)


def object_of(random: Random, fields: list[tuple[str, str]]) -> str:
    space = random.choice(["", "", " ", "\n\t"])
    written = []
    for name, value in fields:
        key = json.dumps(name, ensure_ascii=random.random() < 0.5)
        if random.random() < 0.1:
            key = '"' + "".join(f"\\u{ord(letter):04x}" for letter in name) + '"'
        written.append(f"{key}{space}:{space}{value}")
    return "{" + f"{space},".join(written) + "}"


def _whole(random: Random, body: bytes) -> bytes:
    """The body, or one with a fault around it or in its bytes."""
    second = b'{"Image":"busybox","HostConfig":{"Privileged":true}}'
    deep = b'{"Image":"busybox","X":' + b"[" * 9000 + b"]" * 9000 + b"}"
    forms = [
        body + b"\0",
        body + second,
        body + b"\n" + second,
        body + b"garbage",
        b"\xef\xbb\xbf" + body,
        b"\0" + body,
    ]
    forms += [
        body[:-1],
        b"[" + body + b"]",
        body.replace(b"busybox", b"busybox\xff"),
        body.replace(b'"User"', b'"Us\xffer"'),
    ]
    forms += [
        body.replace(b'"A=', b'"A=\xe9'),
        deep,
        body.replace(b"}", b",}"),
        body + b"//x",
        b"/**/" + body,
        body[:-1] + b"]",
    ]
    forms += [
        b"null",
        b"",
        b'""',
        body.decode("utf-8", "replace").encode("utf-16"),
        body.replace(b"{", b'{"\\ud800":1,', 1),
    ]
    return random.choice(forms) if random.random() < 0.3 else body
