"""Starts swarmd as a process of its own, for tests of what it writes and how it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, Self

from .engines import wait_until

SWARMD = [sys.executable, "-m", "swarmd"]


class Swarmd:
    """A swarmd with a chain, ended at the end of its context.

    errors: the file that its stderr goes to; the context is entered once it serves. With a descriptor in place of a
        file, nobody waits for it.
    """

    def __init__(self, *words: str, errors: Path | int) -> None:
        self._words = words
        self._errors = errors

    def __enter__(self) -> Self:
        stderr: IO[bytes] | int = self._errors.open("wb") if isinstance(self._errors, Path) else self._errors
        self.process: subprocess.Popen[bytes] = subprocess.Popen([*SWARMD, *self._words], stderr=stderr)
        if not isinstance(stderr, int):
            stderr.close()
            wait_until(lambda: "swarmd: serving" in self.said(), "swarmd", self.process)
        return self

    def said(self) -> str:
        """What it has written to its stderr."""
        assert isinstance(self._errors, Path)
        return self._errors.read_text("utf-8", "surrogateescape")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Have a signal end it, and give its exit code."""
        os.kill(self.process.pid, number)
        return self.process.wait(30)

    def __exit__(self, *_: Any) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
