"""The programs of a cluster: each with a log of its own, and ended with the cluster."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path


class Program:
    """A program that runs; its log is added to `log`."""

    def __init__(self, log: Path, command: Sequence[str | Path]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def freeze(self) -> None:
        """Stop it, as a machine that hangs would."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill it: nothing that the programs of a cluster keep outlives the cluster."""
        self.process.kill()
        self.process.wait()
