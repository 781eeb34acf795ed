"""docs/compatibility.md: what came of the suites' runs, made of their data."""

from collections import Counter
from collections.abc import Iterable

from tests.support.paths import ROOT

from .catalog import Suite, suites
from .outcomes import Outcome
from .ways import WAYS

PAGE = ROOT / "docs" / "compatibility.md"
_HEAD = """\
# Compatibility

Other people's test suites, each run on a Docker engine itself, through `dockerserver | docker`, through `dockerserver |
balance` of two engines, on `dockerserver | simulator`, and on a Kubernetes cluster (`dockerserver | kubernetes --keep
--logs capture --binds copy`, with a builder and a registry). What matters is the difference: a test that passes on the
engine and fails through swarmlib is a fault, unless a reason is given below; the simulator and the cluster refuse by
name what they do not do. Tests that fail on the engine itself mostly ask for images or services of the internet, which
the runs do without.

This page is made by `python -m tests.suites` (see its `--help`) from `tests/data/compatibility.json`.

## The suites

Each cell says how many tests passed, failed and were skipped.

| client | suite | engine | on the engine | `docker` | `balance` | `simulator` | `kubernetes` | date |
|---|---|---|---|---|---|---|---|---|
"""


def page(outcomes: Iterable[Outcome]) -> str:
    """Write the page."""
    runs = {(each.suite, each.way): each for each in outcomes}
    tried = [suite for suite in suites().values() if (suite.name, "engine") in runs]
    rows = "".join(_row(suite, runs) for suite in tried)
    return _HEAD + rows + "\n## What differs\n" + "".join(_differences(suite, runs) for suite in tried)


def _row(suite: Suite, runs: dict[tuple[str, str], Outcome]) -> str:
    first = runs[suite.name, "engine"]
    cells = (_cell(runs.get((suite.name, way))) for way in WAYS)
    name = f"{suite.client} {suite.version}"
    return f"| {name} | {suite.origin} | dockerd {first.engine} | {' | '.join(cells)} | {first.date} |\n"


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "not run"
    return f"{outcome.passed} / {len(outcome.failed)} / {outcome.skipped}"


def differing(run: Outcome, direct: Outcome) -> list[str]:
    """The tests that failed in this run, and not on the engine itself."""
    return sorted(set(run.failed) - set(direct.failed))


def _differences(suite: Suite, runs: dict[tuple[str, str], Outcome]) -> str:
    lines: list[str] = []
    for way in WAYS[1:]:
        if run := runs.get((suite.name, way)):
            names = differing(run, runs[suite.name, "engine"])
            reasons = Counter(why for name in names if (why := suite.reason(name, way)))
            lines += [f"- Through `{way}` ({count}): {why}\n" for why, count in reasons.items()]
            faults = [f"`{name}`" for name in names if not suite.reason(name, way)]
            lines += [f"- Through `{way}` ({len(faults)}), faults: {', '.join(faults)}.\n"] if faults else []
    return f"\n### {suite.client}\n\n" + ("".join(lines) or "Nothing.\n")
