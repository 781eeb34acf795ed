"""The runner of other people's suites works, and docs/compatibility.md says what its data says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.suites.catalog import KUBERNETES, suites
from tests.suites.outcomes import Outcome, load, read_results
from tests.suites.page import PAGE, differing, page
from tests.suites.ways import WAYS

JUNIT = """<testsuites><testsuite>
<testcase classname="a.B" name="good"/>
<testcase classname="a.B" name="bad"><failure/></testcase>
<testcase classname="a.B" name="worse"/><testcase classname="a.B" name="worse"><error/></testcase>
<testcase classname="a.B" name="left"><skipped/></testcase>
</testsuite></testsuites>"""
GO = (
    "=== RUN good\n--- PASS: a/good (0.00s)\n    --- FAIL: a/good/part (0.10s)\n        why\n--- SKIP: a/left (0.00s)\n"
)
TAP = "TAP version 13\nok 1 - a good one\nnot ok 2 - a bad one\n  ---\n  ok: 3\nok 3 - one left out # SKIP why\n"


@pytest.mark.parametrize(
    ("form", "text", "results"),
    [
        ("junit", JUNIT, {"a.B::good": "passed", "a.B::bad": "failed", "a.B::worse": "failed", "a.B::left": "skipped"}),
        ("go", GO, {"a/good": "passed", "a/good/part": "failed", "a/left": "skipped"}),
        ("tap", TAP, {"a good one": "passed", "a bad one": "failed", "one left out": "skipped"}),
    ],
)
def test_results_are_read_in_each_format(form: str, text: str, results: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "results").write_text(text)
    assert read_results(form, tmp_path / "results") == results


def outcome(way: str, **results: str) -> Outcome:
    return Outcome.of(results, suite="docker-py", version="1", way=way, engine="20.10", date="2000-01-01")


def test_the_page_names_what_fails_through_swarmlib_only() -> None:
    direct = outcome("engine", one="passed", two="failed", three="skipped")
    through = outcome("balance", one="failed", two="failed", three="skipped")
    text = page([direct, through])
    assert "| 1 / 1 / 1 | not run | 0 / 2 / 1 | not run | not run |" in text
    assert "- Through `balance` (1), faults: `one`.\n" in text
    assert "`two`" not in text


def test_the_page_is_what_the_data_says() -> None:
    assert PAGE.read_text("utf-8") == page(load()), "run `python -m tests.suites --record`"


def test_each_reason_in_the_catalog_is_one_for_a_difference() -> None:
    runs = {(run.suite, run.way): run for run in load()}
    used = {
        (suite, way == KUBERNETES, suites()[suite].reason(name, way))
        for (suite, way), run in runs.items()
        for name in differing(run, runs[suite, "engine"])
    }
    given = {
        (name, way == KUBERNETES, why) for name, suite in suites().items() for way in WAYS for why in suite.reasons(way)
    }
    assert given <= used


@pytest.mark.engine
def test_a_suite_runs_on_an_engine_and_through_balance(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.suites", "hello-world", "--through", "engine", "--through", "balance"]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], env=environment, capture_output=True, text=True, timeout=110
    )
    lines = [f"hello-world through {way}: passed 2, failed 0" for way in ("engine", "balance")]
    assert done.stdout.splitlines()[-2:] == lines, done.stdout + done.stderr
