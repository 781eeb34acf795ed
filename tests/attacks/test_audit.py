"""Attacks on an audit: names that forge lines, texts that fill it, secrets that end up in it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import trio

from swarmlib import Chain, Denied, Json, Meta, NotFound, Request, Server, Verb, ask
from swarmlib.terminal import escaped
from swarmlib_backends import Audit
from swarmlib_backends.audit.chain import MAX_LINE
from tests.attacks.test_logs import FORGED

SECRET = "hunter2hunter2"
AUTH = base64.b64encode(json.dumps({"username": "u", "password": SECRET}).encode()).decode()


class Answers(Server):
    """Answers everything, or fails with an error that repeats what it was asked."""

    async def get(self, request: Request) -> Any:
        raise NotFound(f"no such thing: {request.path[-1]} {FORGED}")

    async def spawn(self, request: Request) -> Any:
        if request.path[-1] == "build":
            raise Denied(f"build with {dict(request.params)}")
        return {"Id": FORGED, "Warnings": []}

    async def rm(self, request: Request) -> None:
        return None


def asked(log: Path, *requests: Request) -> list[bytes]:
    """The lines about these requests."""

    async def run() -> None:
        async with Chain(Audit(str(log)), Answers()).open() as sender:
            for request in requests:
                async with await ask(sender, request) as replies:
                    assert [reply async for reply in replies]

    trio.run(run)
    return log.read_bytes().splitlines()[1:-1]


def create(body: dict[str, Any], *path: str, caller: str = "", **params: str) -> Request:
    meta = Meta(caller=caller, headers=(("x-registry-auth", AUTH),))
    return Request(Verb.SPAWN, path or ("containers",), params, Json.from_data(body), meta)


@pytest.mark.parametrize(
    "request_",
    [
        create({"Image": FORGED}),
        create({"Image": "busybox"}, caller=f"cert:{FORGED}"),
        create({"Cmd": ["sh", "-c", FORGED, '","verdict":"allowed","x":"']}, "containers", "web", "exec"),
        Request(Verb.GET, ("containers", 'web","verdict":"allowed')),
        Request(Verb.GET, ("containers", "web\u202e\u2066")),
    ],
)
def test_no_text_of_a_client_or_an_engine_forges_a_line_or_drives_a_terminal(tmp_path: Path, request_: Request) -> None:
    (line,) = asked(tmp_path / "log", request_)
    text = line.decode("utf-8")
    assert text == escaped(text)
    assert "verdict" not in json.loads(line)


@pytest.mark.parametrize("character", ["x", "\x1b", "\u2028", "'"])
def test_a_line_is_bounded_whatever_the_client_sends(tmp_path: Path, character: str) -> None:
    much = character * 100_000
    lines = asked(
        tmp_path / "log",
        create({"Cmd": [much] * 10}, "containers", "web", "exec"),
        create({"Image": much, "Labels": {much: much}}, caller=f"cert:{much}"),
    )
    assert len(lines) == 2
    assert all(len(line) < MAX_LINE for line in lines)
    assert [json.loads(line)["operation"] for line in lines] == ["ContainerExec", "ContainerCreate"]


@pytest.mark.parametrize(
    "request_",
    [
        create({"Image": "busybox", "Env": [f"TOKEN={SECRET}", f"X={SECRET}"], "Labels": {"x": SECRET}}),
        create({"Image": f"u:{SECRET}@registry.example/x"}),
        create({"Cmd": ["mysql", "--password", SECRET]}, "containers", "web", "exec"),
        create({"Cmd": ["env", f"DB={SECRET}", "sh", "-c", f"API_TOKEN={SECRET} run"]}, "containers", "web", "exec"),
        create({"Cmd": ["curl", f"https://u:{SECRET}@example.org/"]}, "containers", "web", "exec"),
        create({"Cmd": ["true"], "Env": [f"X={SECRET}"]}, "containers", "web", "exec"),
        Request(
            Verb.SPAWN,
            ("build",),
            {"buildargs": json.dumps({"X": SECRET}), "remote": f"https://u:{SECRET}@example.org/x.git"},
            meta=Meta(headers=(("x-registry-config", AUTH),)),
        ),
        Request(Verb.GET, ("images", f"u:{SECRET}@registry.example/x")),
    ],
)
def test_no_secret_is_in_a_line(tmp_path: Path, request_: Request) -> None:
    (line,) = asked(tmp_path / "log", request_)
    assert SECRET.encode() not in line
    assert AUTH.encode() not in line
