"""Mutated frames into sessions of the wire: no crash, no hang, no growth of memory.

python -m tests.bench.fuzz --frames 10000000

It needs atheris, which nothing else does: `pip install atheris` (libFuzzer for Python). What it feeds is real traffic
that libFuzzer mutates, guided by the branches of `swarmlib.wire`; each input goes into a session after its handshake,
split at a place of the input's own choice. Whatever comes, a session may only give events or raise its own error.
"""

from __future__ import annotations

import argparse
import gc
import inspect
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from swarmlib.wire import channels, delivery, fields, frames, incoming, outbox, plain_data, session, table, windows
from swarmlib.wire.errors import WireError
from swarmlib.wire.events import Data, Received
from swarmlib.wire.frames import HEAD
from swarmlib.wire.limits import Limits
from swarmlib.wire.session import Session
from tests.wire.test_vectors import built

_LIMITS: Final = Limits(frame=4096, value=1 << 16, values=1 << 17, channels=64, streams=64, credit=32, window=4096)
_SLOW: Final = 1.0
"""Seconds that one input may take at most: a hang."""
_SETTLED: Final = 20_000
"""Inputs after which memory should grow no more, """
_GROWTH: Final = 64 * 1024
"""by more KiB than this: libFuzzer keeps what it finds."""


def _begun(*, initiator: bool) -> Session:
    side = Session(initiator=initiator, now=0.0, limits=_LIMITS)
    peer = Session(initiator=not initiator, now=0.0, limits=_LIMITS)
    for _ in range(3):
        peer.receive(side.take(), 0.0)
        side.receive(peer.take(), 0.0)
    return side


class Fuzz:
    """What is fed, and what was seen so far."""

    def __init__(self) -> None:
        self.fed = 0
        self.inputs = 0
        self.refused = 0
        self.slowest = 0.0
        self.memory = 0

    def feed(self, data: bytes) -> None:
        """Feed one input, and count its frames."""
        if len(data) < 2:
            return
        began = perf_counter()
        side, body = _begun(initiator=bool(data[0] & 1)), data[2:]
        cut = data[1] % (len(body) + 1)
        try:
            self._serve(side, body[:cut])
            self._serve(side, body[cut:])
            side.tick(1.0)
        except WireError:
            self.refused += 1
        side.take()
        self.slowest = max(self.slowest, perf_counter() - began)
        if self.slowest > _SLOW:
            raise TimeoutError(f"an input of {len(data)} bytes took {self.slowest:.1f} s")
        self.inputs += 1
        self.fed += max(1, _count(body))
        self._watch()

    @staticmethod
    def _serve(side: Session, data: bytes) -> None:
        for event in side.receive(data, 0.5):
            if isinstance(event, Received):
                side.channels.taken(event)
            elif isinstance(event, Data):
                side.channels.read(event.channel, len(event.data), 0.5)

    def _watch(self) -> None:
        if self.inputs == _SETTLED:
            gc.collect()
            self.memory = _resident()

    def report(self, seconds: float) -> int:
        """Print what was seen; gives the exit code: 1 if the memory grew."""
        gc.collect()
        grown = (_resident() - self.memory) if self.memory else 0
        rate = self.fed / seconds
        print(f"{self.fed} frames in {self.inputs} inputs, {self.refused} refused, {rate:.0f} frames/s")
        grew = f"memory grew by {grown / 1024:.1f} MiB since input {_SETTLED}"
        print(f"slowest input {self.slowest * 1000:.1f} ms; {grew}", flush=True)
        return 1 if grown > _GROWTH else 0


def _count(body: bytes) -> int:
    """Frames in an input, by their own lengths."""
    count = start = 0
    while start + HEAD.size <= len(body):
        start += HEAD.size + HEAD.unpack_from(body, start)[0]
        count += 1
    return count


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def _corpus(folder: Path) -> None:
    """The vectors of docs/wire.md, each as a seed for either side."""
    vectors = built()
    seeds = [*vectors["frames"].values(), *vectors["conversation"].values()]
    for number, seed in enumerate(seeds):
        for side in (0, 1):
            (folder / f"{number}-{side}").write_bytes(bytes([side, 7]) + seed.removeprefix(b"\x89SWARM\r\n"))


def _instrument(atheris: Any) -> None:
    """Have libFuzzer see the branches of the wire, so that it finds inputs that take new ones."""
    for module in (channels, delivery, fields, frames, incoming, outbox, plain_data, session, table, windows):
        for found in vars(module).values():
            for each in [found, *(vars(found).values() if inspect.isclass(found) else ())]:
                if inspect.isfunction(each) and each.__module__ == module.__name__:
                    atheris.instrument_func(each)


def main() -> None:
    """Feed as many frames as were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000, help="frames to feed (100000)")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (1)")
    arguments = parser.parse_args()
    try:
        import atheris
    except ImportError:
        sys.exit("this benchmark needs atheris: pip install atheris")
    _instrument(atheris)
    fuzz, folder = Fuzz(), tempfile.mkdtemp()
    _corpus(Path(folder))
    began = perf_counter()

    def feed(data: bytes) -> None:
        fuzz.feed(data)
        if fuzz.fed >= arguments.frames:
            code = fuzz.report(perf_counter() - began)
            shutil.rmtree(folder)
            os._exit(code)  # libFuzzer knows no other way out

    kept = f"-artifact_prefix={tempfile.gettempdir()}/"  # where an input that fails is written to
    atheris.Setup([sys.argv[0], folder, "-max_len=4096", f"-seed={arguments.seed}", "-verbosity=0", kept], feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
