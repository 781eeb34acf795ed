"""The differential test for as long as wanted: random scripts on an engine and on the simulator, or on two engines.

python -m tests.bench.differential --minutes 10
python -m tests.bench.differential --minutes 2 --real     what two real engines differ in is the harness's mistake
"""

import argparse
import random
import sys
import time
from contextlib import ExitStack

import trio
from hypothesis import HealthCheck, Phase, given, seed, settings

from swarmlib import connect
from tests import scripts
from tests.differential import Side, Step, clean, compare
from tests.engines import engine
from tests.test_simulator_differential import hold


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
    end = time.monotonic() + 60 * options.minutes
    found: dict[str, int] = {}
    held = 0

    @settings(
        max_examples=10**6,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @seed(options.seed)
    @given(script=scripts.scripts)
    def run(script: list[Step]) -> None:
        nonlocal held
        if time.monotonic() > end:
            return
        try:
            if options.real:
                trio.run(_hold_both, engines[0].host, engines[1].host, script)
            else:
                trio.run(hold, engines[0], script)
            held += 1
        except AssertionError as exc:
            where = str(exc).partition("\nat ")[2]
            found[where] = found.get(where, 0) + 1
            if found[where] == 1:
                print(exc, flush=True)

    with ExitStack() as stack:
        engines = [stack.enter_context(engine()) for _ in range(1 + options.real)]
        run()
    print(
        f"seed {options.seed}: {held} scripts had the same answers, {sum(found.values())} had not ({len(found)} kinds)"
    )
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
