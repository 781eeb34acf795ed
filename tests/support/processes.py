"""Starts swarmd as a process of its own, for tests of what it writes, how it ends and what goes on among processes."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

from tests.support.engines import wait_until

SWARMD = [sys.executable, "-W", "error", "-m", "swarmd"]


class Swarmd:
    """A swarmd with a chain, ended at the end of its context.

    errors: the file that its stderr goes to; the context is entered once it serves. With a descriptor in place of a
        file, nobody waits for it. prefix: what starts it elsewhere.
    """

    def __init__(self, *words: str, errors: Path | int, prefix: Sequence[str] = ()) -> None:
        self._command = [*prefix, *SWARMD, *words]
        self._errors = errors

    def __enter__(self) -> Self:
        stderr: IO[bytes] | int = self._errors.open("wb") if isinstance(self._errors, Path) else self._errors
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr
        )
        if not isinstance(stderr, int):
            stderr.close()
            self._wait_until_it_serves()
        return self

    def _wait_until_it_serves(self) -> None:
        try:
            self.wait_for("swarmd: serving")
        except RuntimeError as exc:
            raise RuntimeError(f"{exc}: {self.said()}") from exc

    def said(self, since: int = 0) -> str:
        """What it has written to its stderr, from a moment on."""
        assert isinstance(self._errors, Path)
        return self._errors.read_text("utf-8", "surrogateescape")[since:]

    def now(self) -> int:
        """This moment, in what it writes."""
        return len(self.said())

    def wait_for(self, words: str, since: int = 0) -> None:
        """Wait until it says so, from a moment on."""
        wait_until(lambda: words in self.said(since), f"{words!r} in its log", self.process)

    def memory(self) -> float:
        """MiB that it has had resident at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def freeze(self) -> None:
        """Stop it, as a machine that hangs would."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it, as a crash would."""
        self.process.kill()
        self.process.wait()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Have a signal end it, and give its exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def __exit__(self, *_: Any) -> None:
        self.kill()


@contextmanager
def served(*stages: str, prefix: Sequence[str] = ()) -> Iterator[Swarmd]:
    """`swarmd -v STAGES…`, as long as the context: then it is ended with SIGTERM, to which 143 is its answer."""
    with (
        tempfile.NamedTemporaryFile() as log,
        Swarmd("-v", *stages, errors=Path(log.name), prefix=prefix) as started,
    ):
        try:
            yield started
        finally:
            started.thaw()
            code = started.end()
        assert code in (143, -signal.SIGKILL), started.said()
        assert "Traceback" not in started.said(), started.said()
