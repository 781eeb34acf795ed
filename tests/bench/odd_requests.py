"""Odd and wrong requests, asked of a real engine and of what should be like it, for as long as you like.

    python -m tests.bench.odd_requests --minutes 20 [--balance] [--simulated] [--row NAME]

It shows each kind of difference once, and ends with 1 if there was one. A finding's seed replays it (`--only`).
"""

from __future__ import annotations

import argparse
import re
import sys

from hypothesis import HealthCheck, Phase, given, seed, settings

from swarmlib_backends.dockerapi.rows import Row
from tests.bench.attacking import Findings, arguments, campaign
from tests.support.odd_requests import ASKED, Question, questions
from tests.support.same_answers import Comparison, comparison

_AT_ONCE = 4
"""Questions of one seed, all for one row."""


def main() -> int:
    """Ask until the time is up; gives the exit code."""
    parser = arguments(__doc__)
    parser.add_argument("--balance", action="store_true", help="ask balances of one engine and of two, too")
    parser.add_argument("--simulated", action="store_true", help="ask the simulator and exec, too")
    parser.add_argument("--row", action="append", metavar="NAME", help="ask only this operation; may be repeated")
    options = parser.parse_args()
    findings = Findings()
    with comparison(balance=options.balance, simulated=options.simulated) as compared:
        asked = campaign(options, lambda number: _ask(compared, findings, number, options))
    return findings.report(asked * _AT_ONCE)


def _ask(compared: Comparison, findings: Findings, number: int, options: argparse.Namespace) -> None:
    rows = [row for row in ASKED if not options.row or row.name in options.row]
    for question in _drawn(rows[number % len(rows)], number):
        if options.only is not None:
            print(question)
        for name, found in compared.ask(question).items():
            kind = re.sub(r"'[^']*'|\"[^\"]*\"|\d+ s", "…", found)[:80]
            findings.add(f"{name}: {question.row}: {kind}", number, f"{question}\n    {found}")


def _drawn(row: Row, number: int) -> list[Question]:
    found: list[Question] = []

    @seed(number)
    @settings(max_examples=_AT_ONCE, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(questions(row))
    def draw(question: Question) -> None:
        found.append(question)

    draw()
    return found


if __name__ == "__main__":
    sys.exit(main())
