"""The benches that attack: they run for a moment and find nothing, and they see what they look for when it is there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from swarmlib_backends.dockerapi.rows import ROWS
from tests.bench import http_grammar, policy_grammar, wire_grammar, wire_replies
from tests.bench.attack_bodies import body_of
from tests.bench.attack_http import Exchange, HttpAttack
from tests.bench.attacking import Findings, Gateway
from tests.bench.hostile_grammar import hostile_answer
from tests.bench.responses import answers, flaws, request_flaw
from tests.bench.witness import Call, Judged
from tests.support.engines import engine

ROOT = Path(__file__).parents[2]


def bench(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a bench as one does by hand."""
    command = [sys.executable, "-m", f"tests.bench.{name}", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("attack_http", ["--minutes", "0.15"]),
        ("attack_engine", ["--minutes", "0.15"]),
        ("attack_wire", ["--minutes", "0.15"]),
        ("aborts", ["--count", "200"]),
    ],
)
def test_a_bench_runs_and_finds_nothing(name: str, options: list[str]) -> None:
    ran = bench(name, *options)
    assert " 0 findings" in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.engine
def test_a_call_that_no_stage_judged_is_found() -> None:
    """In the gateway's place is the engine itself: what it acts on, nobody has judged."""
    findings = Findings()
    with engine(["--debug"]) as direct, engine(["--debug"]) as behind, _no_gateway(str(behind.socket)) as through:
        attack = HttpAttack(direct, behind, through, findings, verbose=False)
        attack.one(next(seed for seed in range(1, 999) if seed % 4 and _is_plain(Exchange.of(seed))))
    assert {each.kind for each in findings.all} == {"the engine acted on a call that no stage judged"}


def _is_plain(exchange: Exchange) -> bool:
    return exchange.faults == "none" and exchange.end == "open" and b" /v1.41/containers/" in exchange.data


@contextmanager
def _no_gateway(path: str) -> Iterator[Gateway]:
    yield cast(Gateway, SimpleNamespace(unix=path, folder=Path("/nonexistent"), alive=True, new_log=lambda: ""))


def test_what_the_engine_reads_is_held_against_what_was_judged() -> None:
    call = Call("DELETE", "/v1.41/containers/a%62?force=1&force=0&x=1;v=1")
    assert Judged("rm", ("containers", "ab"), {"force": ["1", "0"]}).becomes() == {call.key}
    assert Judged("rm", ("containers", "ab"), {"force": True}).disagrees(call) == ""
    assert "force" in Judged("rm", ("containers", "ab"), {"force": "0"}).disagrees(call)
    assert "v" in Judged("rm", ("containers", "ab"), {"force": "1", "v": "1"}).disagrees(call)


@pytest.mark.parametrize(
    ("data", "statuses", "flawed"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 X\r\n\r\n", [204], False),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            [200, 200],
            False,
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\n{}\r\n0\r\n\r\n", [200], False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n", [200], True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", [200], True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", [200], True),
        (b"HTTP/1.1 200 OK\r\nX: a\rEvil: b\r\n\r\n", [], True),
        (b"HTTP/1.1 204 X\r\n\r\nrest", [204], True),
    ],
)
def test_responses_are_read_strictly(data: bytes, statuses: list[int], flawed: bool) -> None:
    found = answers(data, ended=True)
    assert (found.statuses, bool(found.flaw)) == (statuses, flawed)
    kinds = [kind for kind, _ in flaws(found, data, raw=False)]
    assert kinds == ["the attacked client gets a malformed answer"] * flawed + [
        "the attacked client gets several answers"
    ] * (len(statuses) > 1)


@pytest.mark.parametrize(
    ("head", "flaw"),
    [
        (b"GET /v1.41/info HTTP/1.1\r\nHost: docker\r\n\r\n", ""),
        (b"GET /v1.41/a b HTTP/1.1\r\nHost: docker\r\n\r\n", "it is malformed"),
        (b"GET /info HTTP/1.1\r\nHost: docker\r\nX y: z\r\n\r\n", "it is malformed"),
        (b"POST /a HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "its framing is ambiguous"),
        (b"DELETE /containers/smuggled HTTP/1.1\r\nHost: d\r\n\r\n", "it reaches what no message named"),
    ],
)
def test_requests_to_the_engine_are_read_strictly(head: bytes, flaw: str) -> None:
    assert request_flaw(head) == flaw


def test_a_seed_makes_the_same_attack_each_time() -> None:
    for seed in range(60):
        assert Exchange.of(seed).data == Exchange.of(seed).data
        twice = [(body_of(Random(seed)), _wire(seed), hostile_answer(Random(seed), ROWS[seed])) for _ in range(2)]
        assert twice[0] == twice[1]


def test_a_seed_makes_the_same_attack_on_a_policy_each_time() -> None:
    names = dict.fromkeys(("n", "srv", "now", "victim_id", "victim_short", "victim_p3", "mine_id", "stopped_id"), "x")
    made = [[policy_grammar.attack(Random(seed), names) for seed in range(300)] for _ in range(2)]
    assert made[0] == made[1]
    kinds = {each.kind.partition(" ")[0] for each in made[0]}
    assert kinds == {"create", "network", "volume", "exec", "named", "list", "query"}


def _wire(seed: int) -> tuple[Any, Any]:
    return wire_grammar.asked(Random(seed), 1, 3), wire_replies.replies(Random(seed), 1, 2)


def test_an_exchange_is_made_smaller_piece_by_piece() -> None:
    exchange = next(each for each in map(Exchange.of, range(99)) if len(each.requests) == 3 and each.cuts)
    smaller = list(exchange.smaller())
    assert [len(each.requests) for each in smaller] == [3, 2, 2, 2]
    assert not smaller[0].cuts


def test_every_fault_of_the_grammar_changes_a_request() -> None:
    for name, fault in http_grammar.FAULTS.items():
        changed = 0
        for seed in range(20):
            made, before = (http_grammar.request(Random(seed), "t") for _ in range(2))
            fault(made, Random(seed), "t")
            changed += made.wire() != before.wire()
        assert changed > 10, name


def test_most_bodies_are_json_with_an_image() -> None:
    good = 0
    for seed in range(200):
        try:
            found = json.loads(body_of(Random(seed)))
        except (ValueError, RecursionError):
            continue
        good += isinstance(found, dict) and any(key.lower() == "image" for key in found)
    assert 60 < good < 200
