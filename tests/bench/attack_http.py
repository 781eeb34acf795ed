"""HTTP that is nearly right, through the gateway and to dockerd itself: which requests does each engine see?

    python -m tests.bench.attack_http --minutes 20 [--seed 1] [--chain 'STAGES']
    python -m tests.bench.attack_http --only SEED

Each exchange is some pipelined requests with faults (`http_grammar`), sent in pieces to a dockerd, and through
`dockerserver | judge | docker` to another. A fault of the gateway is: a call that its engine acted on and no stage
had judged, or had judged with other parameters; a call that dockerd itself would not have taken out of the same bytes;
more answers than requests; malformed answers; silence where dockerd answers; errors in the log, and what is left
behind. That the gateway refuses what dockerd takes is counted, and no fault. Every fourth exchange is a JSON or form
body instead (`attack_bodies`): what was judged must be what the engine made of it.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

from tests.bench import attacking, http_grammar
from tests.bench.attack_bodies import BodyAttack
from tests.bench.attacking import Findings, Gateway, connect, gateway, read_until_quiet
from tests.bench.common import need
from tests.bench.responses import Answers, answers
from tests.bench.witness import Call, EngineWitness, Judged, JudgeWitness
from tests.support.engines import Engine, engine

QUIET = 0.3
"""Seconds of silence after which a side has said what it has to say."""
HANG = 3.0
"""Seconds that the gateway may be silent where dockerd answers."""
SHRUNK = 5
"""Findings of one kind that are made smaller; the others would show the same."""
CHAIN = "judge {folder}/judged | docker {engine}"


@dataclass(frozen=True)
class Exchange:
    """What is sent: requests, the places where they are cut into pieces, and how the client ends."""

    requests: tuple[http_grammar.Request, ...]
    cuts: tuple[float, ...]
    end: str

    @classmethod
    def of(cls, seed: int) -> Exchange:
        """The exchange of a seed."""
        random = Random(seed)
        requests = [http_grammar.request(random, f"s{seed}r{number}") for number in range(random.randint(1, 4))]
        for _ in range(random.choice([0, 1, 1, 1, 2, 2, 3])):
            at = random.randrange(len(requests))
            name = random.choice(list(http_grammar.FAULTS))
            http_grammar.FAULTS[name](requests[at], random, f"s{seed}r{at}")
            requests[at].faults.append(name)
        cuts = sorted(random.random() for _ in range(random.choice([0, 0, 0, 1, 2, 5])))
        return cls(tuple(requests), tuple(cuts), random.choices(["open", "half", "rst", "close"], [75, 15, 5, 5])[0])

    @property
    def data(self) -> bytes:
        """All its bytes."""
        return b"".join(request.wire() for request in self.requests)

    @property
    def faults(self) -> str:
        """The names of its faults."""
        return ", ".join(fault for request in self.requests for fault in request.faults) or "none"

    def smaller(self) -> Iterator[Exchange]:
        """Exchanges that have one thing less."""
        if self.cuts:
            yield replace(self, cuts=())
        for number in range(len(self.requests) if len(self.requests) > 1 else 0):
            yield replace(self, requests=self.requests[:number] + self.requests[number + 1 :])

    def answered(self, said: Said) -> Answers:
        """What a side answered."""
        heads = any(request.method == "HEAD" for request in self.requests)
        return answers(said.data, ended=said.ended, bodyless=heads)

    def _enough(self, data: bytes) -> bool:
        if len(data) > 1 << 20:
            return False
        found = self.answered(Said(data, False, None))
        return not found.flaw and sum(answer.whole for answer in found.final) >= len(self.requests)

    def send(self, address: str | int) -> Said:
        """Send it and read what comes."""
        data, places = self.data, [0, *(int(len(self.data) * cut) for cut in self.cuts), len(self.data)]
        connection = connect(address)
        try:
            for start, stop in pairwise(places):
                connection.sendall(data[start:stop])
                time.sleep(0.002 if len(places) > 2 else 0)
            if self.end == "half":
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other side has had enough, and may have said why
        if self.end in ("rst", "close"):
            read_until_quiet(connection, 0.02)
            (attacking.reset if self.end == "rst" else socket.socket.close)(connection)
            return Said(b"", True, None)
        came, ended = read_until_quiet(connection, QUIET, self._enough)
        return Said(came, ended, connection)


@dataclass
class Said:
    """What a side said, whether it ended the connection, and the connection itself where it is open."""

    data: bytes
    ended: bool
    connection: socket.socket | None

    def close(self) -> None:
        """Close the connection."""
        if self.connection is not None:
            self.connection.close()

    def more(self, seconds: float) -> bool:
        """Wait for more; whether anything came, be it the end."""
        if self.connection is None or self.ended:
            return False
        before = len(self.data)
        came, self.ended = read_until_quiet(self.connection, seconds, bool)
        self.data += came
        return self.ended or len(self.data) > before


class HttpAttack:
    """Two engines, the gateway before one of them, and what was found."""

    def __init__(self, direct: Engine, behind: Engine, through: Gateway, findings: Findings, verbose: bool) -> None:
        self._direct = EngineWitness(direct)
        self._behind = EngineWitness(behind)
        self._judge = JudgeWitness(through.folder / "judged")
        self._gateway = through
        self._findings = findings
        self._verbose = verbose
        self.bodies = BodyAttack(through, self._behind, self._judge, findings, verbose)

    def one(self, seed: int) -> None:
        """One exchange by its seed."""
        try:
            (self._http if seed % 4 else self.bodies.one)(seed)
        except (ConnectionError, FileNotFoundError) as exc:
            self._gateway.ends_soon()
            if self._gateway.alive:
                self._findings.add("swarmd takes no connections", seed, repr(exc))
        attacking.check_alive(self._gateway, self._findings, seed)
        attacking.check_log(self._gateway, self._findings, seed)

    def _http(self, seed: int) -> None:
        exchange = Exchange.of(seed)
        found = self._faults(exchange, seed)
        for kind, detail in found.items():
            shrink = sum(each.kind == kind for each in self._findings.all) < SHRUNK
            shortest = self._shrunk(exchange, seed, kind) if shrink else exchange
            shown = f"faults: {shortest.faults}; end {shortest.end}; {detail}; sent {shortest.data[:700]!r}"
            self._findings.add(kind, seed, shown)

    def _shrunk(self, exchange: Exchange, seed: int, kind: str) -> Exchange:
        """The exchange with as few cuts and requests as show this kind of fault."""
        for smaller in exchange.smaller():
            if kind in self._faults(smaller, seed, count=False):
                return self._shrunk(smaller, seed, kind)
        return exchange

    def _faults(self, exchange: Exchange, seed: int, *, count: bool = True) -> dict[str, str]:
        """Send it to both, and say what is wrong about the gateway's side, by kind."""
        direct, through = self._both(exchange)
        found = self._silence(exchange, direct, through, seed)
        through.close()
        direct.close()
        theirs, ours = exchange.answered(direct), exchange.answered(through)
        acted, wanted, judged = self._behind.calls(), self._direct.calls(), self._judge.requests()
        if self._verbose:
            _show(exchange, direct, through, acted, wanted, judged)
        found |= _unjudged(acted, judged)
        if exchange.end in ("open", "half"):
            if b"  HTTP/" not in exchange.data:  # which RFC 9112 (3) lets a server take, as llhttp does and Go does not
                found |= _other_calls(acted, wanted)
            found |= _wrong_answers(exchange, ours, through)
            if count:
                self._count(seed, exchange, theirs, ours, acted, wanted)
        return found

    def _both(self, exchange: Exchange) -> tuple[Said, Said]:
        said: dict[str, Said] = {}

        def ask(name: str, address: str | int) -> None:
            said[name] = exchange.send(address)

        port = exchange.end == "rst"
        other = threading.Thread(target=ask, args=("direct", str(self._direct.engine.socket)))
        other.start()
        ask("through", self._gateway.port if port else self._gateway.unix)
        other.join()
        return said["direct"], said["through"]

    def _silence(self, exchange: Exchange, direct: Said, through: Said, seed: int) -> dict[str, str]:
        """Find out whether the gateway says nothing where dockerd answers; to wait for more is no fault."""
        wanted = len(exchange.answered(direct).final)
        while through.connection is not None and not through.ended:
            if len(exchange.answered(through).final) >= wanted:
                return {}
            if not through.more(HANG):
                break
        if through.connection is None or through.ended:
            return {}
        if exchange.faults == "none":
            return {"silent where dockerd answers a request without faults": f"{exchange.answered(through).statuses}"}
        if exchange.end == "half":
            return {"silent after a half-close where dockerd answers": f"dockerd: {direct.data[:60]!r}"}
        with suppress(OSError):
            through.connection.shutdown(socket.SHUT_WR)
        if through.more(HANG):
            self._findings.differ("waits for more where dockerd answers: " + exchange.faults, seed)
            return {}
        return {"silent where dockerd answers, also after a half-close": f"dockerd: {direct.data[:60]!r}"}

    def _count(
        self, seed: int, exchange: Exchange, theirs: Answers, ours: Answers, acted: list[Call], wanted: list[Call]
    ) -> None:
        if theirs.statuses == ours.statuses and len(acted) == len(wanted):
            return
        kind = "other answers"
        if 400 in ours.statuses and 400 not in theirs.statuses:
            kind = "400 where dockerd accepts"
        elif len(acted) < len(wanted):
            kind = "fewer calls than dockerd itself takes"
        self._findings.differ(f"{kind} ({exchange.faults})", seed)


def _unjudged(acted: list[Call], judged: list[Judged]) -> dict[str, str]:
    """Each call must be one judged request's, with the parameters that were judged."""
    left = list(judged)
    found: dict[str, str] = {}
    for call in acted:
        matching = [each for each in left if call.key in each.becomes()]
        agreeing = [each for each in matching if not each.disagrees(call)]
        if not matching:
            found["the engine acted on a call that no stage judged"] = f"{call}; judged: {judged}"[:500]
            continue
        if not agreeing:
            found["the engine reads other parameters than were judged"] = f"{matching[0].disagrees(call)}; {call}"
        left.remove((agreeing or matching)[0])
    return found


def _other_calls(acted: list[Call], wanted: list[Call]) -> dict[str, str]:
    more = Counter(call.key for call in acted) - Counter(call.key for call in wanted)
    if not more:
        return {}
    return {"the engine saw a call that dockerd takes out of no such bytes": f"{[*more]}; dockerd: {wanted}"[:500]}


def _wrong_answers(exchange: Exchange, ours: Answers, through: Said) -> dict[str, str]:
    found: dict[str, str] = {}
    if ours.flaw and not ours.switched:
        found["malformed answers"] = f"{ours.flaw}; all: {through.data[:300]!r}"
    data = exchange.data
    if len(ours.final) > max(len(exchange.requests), data.count(b"HTTP/"), data.count(b"\r\n\r\n") + 1):
        found["more answers than requests"] = f"{ours.statuses}"
    if any(status >= 500 for status in ours.statuses) and b"a bug in" in through.data:
        found["a bug is answered"] = f"{through.data[-300:]!r}"
    return found


def _show(
    exchange: Exchange, direct: Said, through: Said, acted: list[Call], wanted: list[Call], judged: list[Judged]
) -> None:
    print(f"sent {exchange.data!r}\nin pieces at {exchange.cuts}, end {exchange.end}, faults {exchange.faults}")
    print(f"dockerd said {direct.data!r}, ended {direct.ended}, acted on {wanted}")
    print(f"the gateway said {through.data!r}, ended {through.ended}, its engine acted on {acted}, judged {judged}")


def main() -> None:
    """Attack, and print what was found."""
    parser = attacking.arguments(__doc__)
    parser.add_argument("--chain", default=CHAIN, help=f"the stages behind dockerserver ({CHAIN!r})")
    given = parser.parse_args()
    need("dockerd")
    findings = Findings()
    with engine(["--debug"]) as direct, engine(["--debug"]) as behind:
        chain = given.chain.replace("{engine}", behind.host)
        with gateway(chain, plugins=["judge = tests.bench.judge:Judge"]) as through:
            attack = HttpAttack(direct, behind, through, findings, given.only is not None)
            attack.bodies.prepare()
            before = through.held()
            exchanges = attacking.campaign(given, attack.one)
            attacking.check_settled(through, before, findings, given.seed)
    sys.exit(findings.report(exchanges))


if __name__ == "__main__":
    main()
