"""For those who write backends and chains: the conformance kit, a service in memory, and transcript tests.

async def test_it_keeps_the_contract() -> None:
    await check_backend(MyFilter)

Nothing here needs pytest: `trio.run(check_backend, MyFilter)` does the same.
"""

from .check import ConformanceError, Report, Verdict, check_backend
from .leaf import REFERENCE, Leaf
from .reference import Reference, Trouble
from .rules import RULES, Rule

__all__ = [
    "REFERENCE",
    "RULES",
    "ConformanceError",
    "Leaf",
    "Reference",
    "Report",
    "Rule",
    "Trouble",
    "Verdict",
    "check_backend",
]
