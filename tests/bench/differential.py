"""The differential test for as long as wanted: random scripts on an engine and on the simulator, or on two engines.

python -m tests.bench.differential --minutes 10
python -m tests.bench.differential --minutes 2 --real     what two real engines differ in is the harness's mistake
"""

import argparse
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from itertools import count

import trio
from hypothesis import HealthCheck, Phase, given, seed, settings

from swarmlib import connect
from tests.backends.simulator.test_differential import hold
from tests.support import scripts
from tests.support.differential import Side, Step, clean, compare
from tests.support.engines import engine

_BATCH = 5
"""Scripts of one seed."""
_CHECKS = list(HealthCheck)


async def _hold_both(first: str, second: str, script: list[Step]) -> None:
    async with connect(f"docker {first}") as one, connect(f"docker {second}") as other:
        sides = Side(one), Side(other)
        for side in sides:
            await clean(side)
        await compare(script, *sides)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--real", action="store_true", help="compare two real engines")
    options = parser.parse_args()
    with ExitStack() as stack:
        engines = [stack.enter_context(engine()) for _ in range(1 + options.real)]
        hosts = [each.host for each in engines]
        found = _search(
            options, lambda script: _hold_both(*hosts, script) if options.real else hold(engines[0], script)
        )
    sys.exit(1 if found else 0)


def _search(options: argparse.Namespace, check: Callable[[list[Step]], Awaitable[None]]) -> dict[str, int]:
    """Check scripts until the time is up; prints each kind of difference once, and gives how often each was met."""
    found: dict[str, int] = {}
    held = 0

    @settings(max_examples=_BATCH, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=_CHECKS)
    @given(script=scripts.scripts)
    def run(script: list[Step]) -> None:
        nonlocal held
        try:
            trio.run(check, script)
            held += 1
        except AssertionError as exc:
            where = str(exc).partition("\nat ")[2]
            found[where] = found.get(where, 0) + 1
            if found[where] == 1:
                print(exc, flush=True)

    end = time.monotonic() + 60 * options.minutes
    for number in count(options.seed):
        seed(number)(run)()
        if time.monotonic() > end:
            break
    print(f"seeds from {options.seed}: {held} scripts had the same answers, {sum(found.values())} had not")
    return found


if __name__ == "__main__":
    main()
