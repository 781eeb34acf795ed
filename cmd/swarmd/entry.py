"""Where the command begins and ends: Ctrl-C never shows a traceback, also while modules are imported or at the exit."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing needs to be cleaned up yet
    from .cli import cli

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        cli.main(prog_name="swarmd")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
