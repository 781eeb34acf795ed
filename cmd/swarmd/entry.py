"""Where the command begins and ends: Ctrl-C never shows a traceback, also while modules are imported or at the exit."""

from __future__ import annotations

import gc
import signal
from typing import Final

_GARBAGE: Final = (20_000, 20, 20)
"""How seldom cyclic garbage is searched for (`gc.set_threshold`): with Python's own 700 objects, every few requests, it
takes 8 % of a request's processor time. Requests leave hardly any such garbage, and modules that are imported none.
"""


def main() -> None:
    """Run the command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing needs to be cleaned up yet
    gc.set_threshold(*_GARBAGE)
    from .cli import cli

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        cli.main(prog_name="swarmd")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
