"""CPU seconds of `swarmd --help` and of `import swarmlib`, against a Python that does nothing.

A program that uses swarmlib pays for trio then, which the row of its first use shows beside trio's own.

python -m tests.bench.startup [--runs 20]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from functools import partial

from tests.bench.common import in_turns, show

_GOALS = {"swarmd --help": 0.15, "import swarmlib": 0.06}


def cpu_seconds(command: list[str]) -> float:
    """User and system time of a command."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise RuntimeError(f"{command} ended with {running.returncode}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    programs = ["pass", "import swarmlib", "import trio", "from swarmlib import connect", "import docker"]
    commands = {
        **{program: [sys.executable, "-c", program] for program in programs},
        "swarmd --help": [sys.executable, "-m", "swarmd", "--help"],
        "swarmd backends": [sys.executable, "-m", "swarmd", "backends"],
    }
    runs: int = parser.parse_args().runs
    found = in_turns({name: partial(cpu_seconds, command) for name, command in commands.items()}, runs)
    rows = [(name, f"{took:.3f}", _GOALS.get(name, "")) for name, took in found.items()]
    show("Starting", ["command", "CPU s", "goal"], rows)


if __name__ == "__main__":
    main()
