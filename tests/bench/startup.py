"""CPU seconds of `swarmd --help`, of `import swarmlib`, and of a chain of ten stages until it serves.

A program that uses swarmlib pays for trio then, which the row of its first use shows beside trio's own. The chain is
given as text and in a file; what reading either takes, without the start of Python, is a row of its own.

python -m tests.bench.startup [--runs 20]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.bench.common import in_turns, show

_STAGES = [
    "dockerserver unix://{folder}/docker.sock",
    "web unix://{folder}/web.sock",
    "metrics unix://{folder}/metrics.sock",
    "audit {folder}/audit.log",
    "limit --max-concurrent 100",
    "timeout --after 1h",
    "retry",
    "cache",
    "policy --preset read-only",
    "docker unix://{folder}/engine.sock",
]
_TEXT, _FILE = "a chain of 10 stages serves", "the same from a file"
_GOALS = {"swarmd --help": 0.12, "import swarmlib": 0.06, _TEXT: 0.4, _FILE: 0.4}
_READ = """
import sys, time
from pathlib import Path
from swarmlib import Chain
from swarmlib_backends.configuration import Configuration
stages = Path(sys.argv[1]).read_text().splitlines()
for what, read in (
    ("read for the first time", lambda: Chain(*stages)),
    ("read again", lambda: Chain(*stages)),
    ("from a file, read for the first time", lambda: Configuration.read_file(Path(sys.argv[2]))),
    ("from a file, read again", lambda: Configuration.read_file(Path(sys.argv[2]))),
):
    began = time.process_time()
    read()
    print(f"{what}:{time.process_time() - began}")
"""


def cpu_seconds(command: list[str]) -> float:
    """User and system time of a command."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise RuntimeError(f"{command} ended with {running.returncode}")
    return usage.ru_utime + usage.ru_stime


def until_it_serves(command: list[str]) -> float:
    """User and system time of a swarmd until it says that it serves."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        said = running.stderr.readline()
        took = time.clock_gettime(~running.pid << 3 | 2)  # as clock_getcpuclockid(3) names a process's clock
        running.terminate()
        running.communicate(timeout=20)
    if "serving" not in said:
        raise RuntimeError(f"{command} said {said!r}")
    return took


def reading(text: Path, file: Path) -> list[tuple[str, str, str]]:
    """The rows of what reading a chain takes, in milliseconds."""
    done = subprocess.run([sys.executable, "-c", _READ, text, file], capture_output=True, text=True, check=True)
    found = (line.rpartition(":") for line in done.stdout.splitlines())
    return [(what, f"{float(seconds) * 1000:.1f}", "") for what, _, seconds in found]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    runs: int = parser.parse_args().runs
    programs = ["pass", "import swarmlib", "import trio", "from swarmlib import connect", "import docker"]
    swarmd = [sys.executable, "-m", "swarmd"]
    with tempfile.TemporaryDirectory(prefix="start-", dir="/tmp") as name:
        stages = [each.format(folder=name) for each in _STAGES]
        text, file = Path(name, "stages"), Path(name, "swarm.toml")
        text.write_text("\n".join(stages))
        file.write_text(f"[chain.all]\nstages = {stages}\n")
        commands = {
            **{program: partial(cpu_seconds, [sys.executable, "-c", program]) for program in programs},
            "swarmd --help": partial(cpu_seconds, [*swarmd, "--help"]),
            "swarmd backends": partial(cpu_seconds, [*swarmd, "backends"]),
            _TEXT: partial(until_it_serves, [*swarmd, *stages]),
            _FILE: partial(until_it_serves, [*swarmd, str(file)]),
        }
        found = in_turns(commands, runs)
        rows = [(name, f"{took:.3f}", _GOALS.get(name, "")) for name, took in found.items()]
        show("Starting", ["command", "CPU s", "goal"], rows)
        show("Reading a chain of 10 stages", ["", "CPU ms", ""], reading(text, file))


if __name__ == "__main__":
    main()
