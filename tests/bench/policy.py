"""What judging a request costs: a policy of 200 rules, in microseconds of processor time for each request.

The rules are either about one client each, of which the last one asks, or about everybody, and the last one allows.

    python -m tests.bench.policy [--rules 200] [--rounds 5]
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

from swarmlib import Json, Meta, Request, Verb
from swarmlib_backends.dockerapi import table
from swarmlib_backends.dockerapi.canonical import canonical
from swarmlib_backends.policy import document
from swarmlib_backends.policy.document import Document
from tests.bench.common import in_turns, show

_BODY = Path(__file__).parent.parent / "data" / "docker-run-28.json"
"""The body of a creation as the docker CLI 28 sends it."""
_TIMES = 500
_MOST = {"get": 25, "create": 300}
"""Microseconds that a request of each kind may take where each rule is about one client."""


def rules(count: int, *, each_own_client: bool) -> str:
    """The text of a policy of which the last rule alone allows what the requests here ask for."""
    text = "".join(f"[clients.c{number}]\nusers = [{number}]\n" for number in range(count))
    for number in range(count):
        clients = f'clients = ["c{number}"]\n' if each_own_client else ""
        image = "nginx:*" if number == count - 1 else f"team/{number}:*"
        operations = '["ContainerList", "ContainerCreate", "ContainerInspect"]'
        grants = f'images = ["{image}"]\nbinds = ["/srv"]\nports = ["8000-8999"]\nmemory = "1GiB"\n'
        grants += 'networks = ["front"]\nrestarts = ["always"]\n'
        text += f'[[rule]]\nname = "r{number}"\n{clients}allow = {operations}\n[rule.container]\n{grants}'
    return text


def judge(policy: Document, request: Request) -> float:
    """Microseconds to judge a request that comes in its canonical form, as from `dockerserver`."""
    start = time.process_time()
    for _ in range(_TIMES):
        row = table.row_of(request.verb, request.path, upload=False)
        verdict = policy.judge(row, canonical(request))
    assert verdict.allowed, verdict.reason
    return (time.process_time() - start) / _TIMES * 1e6


def main() -> None:
    """Measure, and say which of the figures are above what they may be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rules", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    meta = Meta(caller=f"uid:{options.rules - 1}")
    requests = {
        "get": canonical(Request(Verb.GET, ("containers", "web"), meta=meta)),
        "create": canonical(Request(Verb.SPAWN, ("containers",), {}, Json(_BODY.read_bytes()), meta)),
    }
    texts = (rules(options.rules, each_own_client=own) for own in (True, False))
    own, everybody = (document.parse(text, "rules.toml") for text in texts)
    subjects = {f"{kind}, a client each": partial(judge, own, request) for kind, request in requests.items()}
    subjects |= {f"{kind}, for everybody": partial(judge, everybody, request) for kind, request in requests.items()}
    found = in_turns(subjects, options.rounds)
    show(f"{options.rules} rules", ["request", "µs"], [(name, f"{figure:.1f}") for name, figure in found.items()])
    if any(found[f"{kind}, a client each"] > most for kind, most in _MOST.items()):
        raise SystemExit(f"a request takes more than it may: {_MOST}")


if __name__ == "__main__":
    main()
