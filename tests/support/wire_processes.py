"""A swarmd in a process of its own, for tests of what goes on between processes."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.support.engines import wait_until

SWARMD = [sys.executable, "-W", "error", "-m", "swarmd"]


class Served:
    """`swarmd -v STAGES…`, once it serves; `prefix` is what starts it elsewhere."""

    def __init__(self, stages: Sequence[str], prefix: Sequence[str], log: IO[bytes]) -> None:
        self.log = Path(log.name)
        command = [*prefix, *SWARMD, "-v", *stages]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(lambda: "serving" in self.said(), "swarmd", self.process)
        except RuntimeError as exc:
            raise RuntimeError(f"{exc}: {self.said()}") from exc

    def said(self, since: int = 0) -> str:
        """Its log, from a moment on."""
        return self.log.read_text()[since:]

    def now(self) -> int:
        """This moment, in its log."""
        return len(self.said())

    def wait_for(self, words: str, since: int = 0) -> None:
        """Wait until its log says so, from a moment on."""
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


@contextmanager
def served(*stages: str, prefix: Sequence[str] = ()) -> Iterator[Served]:
    """A swarmd that runs as long as the context: then it is ended with SIGTERM, to which 143 is its answer."""
    with tempfile.NamedTemporaryFile() as log:
        started = Served(stages, prefix, log)
        try:
            yield started
        finally:
            started.thaw()
            started.process.terminate()
            code = started.process.wait(20)
        assert code in (143, -signal.SIGKILL), started.said()
        assert "Traceback" not in started.said(), started.said()
