"""An engine of hostile answers, against every row of the routing table: whom else does it harm?

    python -m tests.bench.attack_engine --minutes 20 [--seed 1]
    python -m tests.bench.attack_engine --only SEED

A seed chooses a row, an answer (`hostile_grammar`), and a chain: `dockerserver | docker`, or a `balance` of that engine
and a good one. The client that asked must get one well-formed response, or a connection that is cut; three clients
after it get their own answers; the good member's objects stay in what is merged; garbage is not answered as the
client's fault; and swarmd lives on, logs no bug and no forged line, and keeps no descriptor.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from random import Random

from swarmlib_backends.dockerapi.rows import ROWS, Kind, Row
from tests.bench import attacking
from tests.bench.attacking import Findings, Gateway, ask, connect, gateway, get, read_until_quiet
from tests.bench.hostile import BAD, Action, HostileEngine
from tests.bench.hostile_grammar import hostile_answer
from tests.bench.responses import Answer, Answers, answers, flaws, is_whole

PATIENCE = 1.0
"""Seconds that the attacked client waits. An engine that says nothing may keep it waiting for longer: it leaves."""
LATE_SECONDS = 0.1
"""What an engine says too much comes within this time. Said into the next request, it would fool any HTTP client."""
_GOOD = 2
"""Containers of the good member."""


class EngineAttack:
    """The chains, the engine behind them, and what was found."""

    def __init__(
        self,
        engine: HostileEngine,
        chains: dict[str, Gateway],
        victims: dict[str, str],
        findings: Findings,
        verbose: bool,
    ) -> None:
        self._engine = engine
        self._chains = chains
        self._victims = victims
        self._findings = findings
        self._verbose = verbose

    def one(self, seed: int) -> None:
        """One hostile answer by its seed."""
        random = Random(seed)
        row = ROWS[seed % len(ROWS)]
        name, actions, garbage = hostile_answer(random, row)
        chain = random.choice(list(self._chains))
        self._attack(seed, row, chain, f"{chain}: {row.name}: {name}", actions, random.random() < 0.2, garbage)

    def _attack(
        self, seed: int, row: Row, chain: str, what: str, actions: list[Action], early: bool, garbage: bool
    ) -> None:
        through = self._chains[chain]
        name = BAD if chain == "balance" else f"a{seed}"  # a balance asks a member for what it has
        path = row.template.replace("{id}", name).replace("{name}", name)
        self._engine.arm(row.method, path, actions, early=early)
        data, ended = _asked(through, request(row, path))
        self._engine.disarm()
        found = answers(data, ended=ended, bodyless=row.method == "HEAD")
        if self._verbose:
            print(f"{what} {str(actions)[:1000]}\nreached {self._engine.attacked} times; said {data[:2000]!r} {ended}")
        if not self._engine.attacked:
            self._findings.differ(f"not reached ({chain})", seed)
        for kind, detail in self._wrong(row, chain, found, data, garbage and self._engine.attacked == 1):
            self._findings.add(
                kind, seed, f"{what}; {detail}; engine said {str(actions)[:200]}; client got {data[:300]!r}"
            )
        self._after(seed, through, chain, what)

    def _wrong(self, row: Row, chain: str, found: Answers, data: bytes, garbage: bool) -> list[tuple[str, object]]:
        wrong = flaws(found, data, raw=row.kind is Kind.HIJACK)
        if found.switched and row.kind is not Kind.HIJACK:
            wrong.append(("an upgrade that nobody asked for is passed on", found.statuses))
        last = found.final[0] if found.final else Answer(0, [])
        if garbage and last.status == 400:
            wrong.append(("an engine's garbage is the client's fault (400)", last.body[:200]))
        if chain == "balance" and row.name in _MERGED:
            wrong += _good_is_missing(row, last)
        return wrong

    def _after(self, seed: int, through: Gateway, chain: str, what: str) -> None:
        time.sleep(LATE_SECONDS)
        for number in range(3):
            name = self._victims[chain] + (f"{seed}x{number}" if chain == "docker" else "")
            try:
                found = answers(ask(through.unix, get(f"/v1.41/containers/{name}/json")), ended=True)
            except (ConnectionError, FileNotFoundError):
                break
            if found.flaw or len(found.final) != 1 or not _is_of(found.final[0], name):
                detail = f"{what}: {found.statuses} {found.flaw} {found.final[:1]}"[:500]
                self._findings.add(f"the next client does not get its own answer ({chain})", seed, detail)
        attacking.check_alive(through, self._findings, seed)
        attacking.check_log(through, self._findings, seed)


_MERGED = ("ContainerList", "ImageList", "VolumeList", "NetworkList", "SystemInfo", "SystemDataUsage")


def _good_is_missing(row: Row, last: Answer) -> list[tuple[str, object]]:
    if last.status >= 400:
        return [("a hostile member takes the good one's answers away: an error", f"{last.status} {last.body[:200]!r}")]
    if last.status == 200 and last.whole:
        value = json.loads(last.body)
        wanted = value["Containers"] if row.name in ("SystemInfo", "SystemDataUsage") else _GOOD
        count = len(value) if row.name == "ContainerList" else len(wanted) if isinstance(wanted, list) else wanted
        if count < _GOOD:
            return [("a hostile member takes the good one's answers away: missing", f"{count} of {_GOOD}")]
    return []


def _is_of(answer: Answer, name: str) -> bool:
    try:
        value = json.loads(answer.body)
    except ValueError:
        return False
    return answer.status == 200 and value["Id"] == name


def request(row: Row, path: str) -> bytes:
    """A right request of a row, after which the connection stays open."""
    query = f"?{row.when[0]}={row.when[1]}" if row.when else ""
    if row.name == "ContainerArchive" or row.upload:
        query += "&path=/" if query else "?path=/"
    if row.name in ("ContainerList", "ImageCreate", "ImageSearch"):
        query += "?all=1&fromImage=x&term=x"
    lines = [f"{row.method} /v1.41{path}{query} HTTP/1.1", "Host: localhost"]
    body = b""
    if row.upload:
        lines += ["Content-Type: application/x-tar"]
        body = b"\0" * 10_240
    elif row.method in ("POST", "PUT"):
        body = b'{"Image":"busybox","Name":"x","Container":"x","username":"x","Cmd":["true"]}'
        lines += ["Content-Type: application/json"]
    if row.kind is Kind.HIJACK:
        lines += ["Connection: Upgrade", "Upgrade: " + ("websocket" if row.method == "GET" else "tcp")]
    if body:
        lines += [f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _asked(through: Gateway, data: bytes) -> tuple[bytes, bool]:
    try:
        with connect(through.unix) as connection:
            connection.sendall(data)
            return read_until_quiet(connection, PATIENCE, partial(is_whole, bodyless=data.startswith(b"HEAD ")))
    except OSError:
        return b"", True


def main() -> None:
    """Attack, and print what was found."""
    given = attacking.arguments(__doc__).parse_args()
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="attack-", dir="/tmp") as folder:
        path = Path(folder) / "hostile.sock"
        hostile = HostileEngine(path)
        good = f"good=simulator --containers {_GOOD}"
        with (
            gateway(f"docker unix://{path}") as plain,
            gateway(f"balance ({good}) (bad=docker unix://{path})") as merged,
        ):
            victims = {"docker": "victim", "balance": _a_good_one(merged)}
            chains = {"docker": plain, "balance": merged}
            attack = EngineAttack(hostile, chains, victims, findings, given.only is not None)
            before = {each: each.held() for each in (plain, merged)}
            count = attacking.campaign(given, attack.one)
            for each, was in before.items():
                attacking.check_settled(each, was, findings, given.seed)
        hostile.close()
    sys.exit(findings.report(count))


def _a_good_one(merged: Gateway) -> str:
    """The id of a container of the good member."""
    return str(json.loads(answers(ask(merged.unix, get("/v1.41/containers/json")), ended=True).final[0].body)[0]["Id"])


if __name__ == "__main__":
    main()
