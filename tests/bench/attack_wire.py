"""A peer of the wire that says typed garbage, as a client of `listen` and as the far side of a `remote`.

    python -m tests.bench.attack_wire --minutes 20 [--seed 1]
    python -m tests.bench.attack_wire --only SEED

As a client it calls `listen | simulator` and `listen | docker` with values of wrong types and texts that hold requests:
each call must be answered, or the session ended; the engine must get well-formed requests, one for a call at most, and
none that was hidden in another. As the far side of `dockerserver | remote` it breaks the contract of replies: the
client must get one well-formed response, or a connection that is cut. Whatever is said, a neighbour's calls go on and
swarmd lives, logs no bug, and keeps nothing. (Mutated frames are `tests.bench.fuzz`'s: here frames are mostly right.)
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from random import Random

from swarmlib.wire.frames import Type, frame
from swarmlib_backends.dockerapi.rows import ROWS, Kind
from tests.bench import attacking, wire_grammar, wire_replies
from tests.bench.attack_engine import request as http_request
from tests.bench.attacking import Findings, Gateway, ask, connect, gateway, get, read_until_quiet
from tests.bench.hostile import HostileEngine
from tests.bench.responses import answers, flaws, is_whole, request_flaw
from tests.bench.wirepeer import Peer, ref, request

ANSWER_SECONDS = 3.0
"""Seconds that a call may go without an answer. Engines here answer at once."""
RECONNECT_SECONDS = 5.0


class FarSide:
    """Serves `remote` on a unix socket: chosen calls get chosen replies, all others right ones."""

    def __init__(self, path: Path) -> None:
        self._replies: Random | None = None
        self.said: tuple[str, bytes] = ("", b"")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(50)
        attacking.serve_in_threads(self._listener, self._serve)

    def arm(self, random: Random | None) -> None:
        """Answer every call but those for victims with garbage of this generator; None: answer rightly."""
        self.said = ("", b"")
        self._replies = random

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        peer = Peer(connection, initiator=False)
        with connection, suppress(OSError):
            peer.shake_hands()
            while not peer.ended:
                for each in peer.frames(60):
                    if each.type == Type.MESSAGE and each.channel == 0:
                        self._answer(peer, each.fields)

    def _answer(self, peer: Peer, fields: list[object]) -> None:
        reply, path = fields[4], fields[1]
        assert isinstance(path, list)
        channel = int.from_bytes(reply.data, "big")  # type: ignore[attr-defined]
        name = str(path[1]) if len(path) > 1 else ""
        if self._replies is None or name.startswith("victim"):
            peer.send(wire_replies.right(channel, name))
            return
        self.said = wire_replies.replies(self._replies, channel, peer.number())
        peer.send(self.said[1])


class WireAttack:
    """The chains, what is behind them, and what was found."""

    def __init__(
        self, chains: dict[str, Gateway], engine: HostileEngine, far: FarSide, findings: Findings, verbose: bool
    ) -> None:
        self._chains = chains
        self._engine = engine
        self._far = far
        self._findings = findings
        self._verbose = verbose

    def one(self, seed: int) -> None:
        """One attack by its seed."""
        chain = list(self._chains)[seed % len(self._chains)]
        through = self._chains[chain]
        try:
            (self._replies if chain == "remote" else self._requests)(seed, chain, through)
        except (ConnectionError, FileNotFoundError) as exc:
            through.ends_soon()
            if through.alive:
                self._findings.add(f"swarmd takes no connections ({chain})", seed, repr(exc))
        attacking.check_alive(through, self._findings, seed)
        attacking.check_log(through, self._findings, seed)

    # As a client.

    def _requests(self, seed: int, chain: str, through: Gateway) -> None:
        random = Random(seed)
        self._engine.seen.clear()
        said: list[str] = []
        with connect(through.unix) as connection:
            peer = Peer(connection, initiator=True)
            peer.shake_hands()
            for _ in range(random.randint(1, 4)):
                said.append(self._request(seed, chain, random, peer))
                if peer.ended:
                    break
        self._check_engine(seed, chain, said)
        self._neighbour(seed, chain, through, said)

    def _request(self, seed: int, chain: str, random: Random, peer: Peer) -> str:
        reply, own = peer.number(), peer.number()
        if random.random() < 0.1:
            peer.send(wire_grammar.raw_frames(random, reply))
            list(peer.frames(0.1))
            peer.close()  # what is said behind half a frame would be its rest
            return "raw frames"
        what, packed, uploads = wire_grammar.asked(random, reply, own)
        end, came = peer.call(packed, reply, ANSWER_SECONDS, frame(Type.END, own) if uploads else b"")
        if self._verbose:
            print(f"{chain}: {what}: {packed!r}\n{end}: {came}")
        text = b"".join(each.payload for each in came)
        if b"a bug in" in text:
            self._findings.add(f"a bug is answered ({chain})", seed, f"{what}: {packed[:300]!r}: {text[-300:]!r}")
        if end == "nothing" and "fields" not in what and "upload" not in what and "body" not in what:
            self._findings.add(f"a call is not answered ({chain})", seed, f"{what}: {packed[:400]!r}")
        if not peer.ended:
            peer.send(frame(Type.RESET, reply))
        return f"{what}: {packed[:300]!r}"

    def _check_engine(self, seed: int, chain: str, said: list[str]) -> None:
        if len(self._engine.seen) > len(said):
            detail = f"{len(self._engine.seen)} for {len(said)}: {self._engine.seen}; calls {said}"
            self._findings.add(f"the engine got more requests than there were calls ({chain})", seed, detail[:900])
        for head in self._engine.seen:
            if flaw := request_flaw(head):
                self._findings.add(f"the engine got a bad request: {flaw}", seed, f"{head[:300]!r}; calls {said}")

    def _neighbour(self, seed: int, chain: str, through: Gateway, said: list[str]) -> None:
        with connect(through.unix) as connection:
            peer = Peer(connection, initiator=True)
            peer.shake_hands()
            reply = peer.number()
            path = ("containers", "victim") if chain == "docker" else ("images", "busybox")
            end, came = peer.call(request("get", path, reply=ref(1, reply)), reply, ANSWER_SECONDS)
            text = b"".join(each.payload for each in came)
            if end != "ack" or (b'"victim"' if chain == "docker" else b"busybox") not in text:
                self._findings.add(
                    f"the next client does not get its own answer ({chain})", seed, f"{end} {text!r} {said}"
                )

    # As the far side of a remote.

    def _replies(self, seed: int, chain: str, through: Gateway) -> None:
        random = Random(seed)
        row = random.choice(ROWS)
        name = f"a{seed}"
        self._far.arm(random)
        sent = http_request(row, row.template.replace("{id}", name).replace("{name}", name))
        with connect(through.unix) as connection:
            connection.sendall(sent)
            data, ended = read_until_quiet(connection, 1.0, partial(is_whole, bodyless=row.method == "HEAD"))
        kind, garbage = self._far.said
        self._far.arm(None)
        if not kind:
            self._findings.differ("not reached (remote)", seed)
        found = answers(data, ended=ended, bodyless=row.method == "HEAD")
        if self._verbose:
            print(f"{row.name}: {kind}: {garbage!r}\nclient got {data!r}, ended {ended}")
        for wrong, detail in flaws(found, data, raw=row.kind in (Kind.HIJACK, Kind.WHOLE)):
            self._findings.add(
                f"{wrong} (remote)", seed, f"{row.name}: {kind}: {detail}; said {garbage[:300]!r}; got {data[:300]!r}"
            )
        if any(b"x-injected" in name for answer in found.final for name, _ in answer.headers):
            self._findings.add("a header is injected (remote)", seed, f"{row.name}: {kind}: {garbage[:300]!r}")
        if found.switched and row.kind is not Kind.HIJACK:
            self._findings.add("an upgrade that nobody asked for is passed on (remote)", seed, f"{row.name}: {kind}")
        if kind and not data and not ended and kind not in ("order", "value", "stream"):
            self._findings.add("the client gets no answer (remote)", seed, f"{row.name}: {kind}: {garbage[:300]!r}")
        self._next_clients(seed, through, f"{row.name}: {kind}: {garbage[:300]!r}")

    def _next_clients(self, seed: int, through: Gateway, what: str) -> None:
        for number in range(3):
            name, until = f"victim{seed}x{number}", time.monotonic() + RECONNECT_SECONDS
            while True:
                found = answers(ask(through.unix, get(f"/v1.41/containers/{name}/json")), ended=True)
                if found.statuses != [503] or time.monotonic() > until:
                    break
                time.sleep(0.05)
            body = found.final[0].body if found.final else b""
            if found.flaw or found.statuses != [200] or json.loads(body)["Id"] != name:
                detail = f"{what}: {found.statuses} {found.flaw} {body[:200]!r}"
                self._findings.add("the next client does not get its own answer (remote)", seed, detail)


def main() -> None:
    """Attack, and print what was found."""
    given = attacking.arguments(__doc__).parse_args()
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="attack-", dir="/tmp") as folder, ExitStack() as stack:
        paths = Path(folder) / "engine.sock", Path(folder) / "far.sock"
        engine, far = HostileEngine(paths[0]), FarSide(paths[1])
        listen = "listen {address}"
        chains = {
            "simulator": stack.enter_context(gateway("simulator", source=listen)),
            "docker": stack.enter_context(gateway(f"docker unix://{paths[0]}", source=listen)),
            "remote": stack.enter_context(gateway(f"remote unix://{paths[1]} --max-backoff 0.2")),
        }
        attack = WireAttack(chains, engine, far, findings, given.only is not None)
        before = {name: each.held() for name, each in chains.items()}
        count = attacking.campaign(given, attack.one)
        for name, each in chains.items():
            attacking.check_settled(each, before[name], findings, given.seed)
        engine.close()
        far.close()
    sys.exit(findings.report(count))


if __name__ == "__main__":
    main()
