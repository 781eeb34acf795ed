"""Text for terminals and logs: control characters are escaped, and a slow reader holds up nobody.

A program that serves others must not wait for the reader of its stderr: a pipe that nobody empties, a terminal that is
paused, a slow disk. `Lines` therefore writes from a bounded queue, in a thread of its own.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TextIO

BOUND: Final = 4 * 1024 * 1024
"""The most characters that wait to be written, apart from a single line that is longer."""
LEAVE_SECONDS: Final = 1.0
"""How long the exit of the process waits for lines that are not written yet."""
_GATHER_SECONDS: Final = 0.005
"""How long the thread gathers lines after a write: waking it for each line costs more than the line itself."""
_MISSING: Final = "swarmd: WARNING: {} lines are missing here: they could not be written in time"
_DELETE: Final = "\x7f"


def escaped(text: str) -> str:
    r"""Return `text` on one line, without control over a terminal: what is not printable is escaped as in JSON.

    This covers all control characters (ESC, CR, LF, DEL, C1), line and paragraph separators, the marks that change
    the direction of writing, invisible formatting characters, unassigned and surrogate code points.

    >>> print(escaped("two\nlines \x1b[2J"))
    two\nlines \u001b[2J
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return r"\u007f" if character == _DELETE else json.dumps(character)[1:-1]


class Lines:
    """Writes lines to a file descriptor, in order, from a thread. No call ever waits for the reader, except `flush`.

    When the reader does not keep up and `BOUND` is reached, the oldest lines are dropped; once there is room again, a
    line says how many. A descriptor that can't be written to (its reader has gone, the disk is full) drops lines too.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.missing: Callable[[int], str] = _MISSING.format
        """Returns the line that says how many lines are missing."""
        self._lines: deque[str] = deque()
        self._waiting = 0
        """The number of characters in `_lines`."""
        self._dropped = 0
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._idle = True
        """Whether the thread waits for lines: none is in `_lines`, or partly written."""

    def write(self, line: str) -> None:
        """Queue a line to be written, with its end added. Returns at once; safe from any thread."""
        with self._changed:
            self._lines.append(line)
            self._waiting += len(line)
            while self._waiting > BOUND and len(self._lines) > 1:
                self._waiting -= len(self._lines.popleft())
                self._dropped += 1
            if self._thread is None:
                self._start()
            if self._idle:
                self._idle = False
                self._changed.notify_all()

    def flush(self, seconds: float = LEAVE_SECONDS) -> bool:
        """Wait until everything is written, for `seconds` at most, and return whether everything was."""
        with self._changed:
            return self._changed.wait_for(lambda: self._idle, seconds)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"lines to {self._fd}", daemon=True)
        self._thread.start()
        atexit.register(self.flush)  # daemon threads are stopped after that

    def _run(self) -> None:
        while True:
            lines, dropped = self._take()
            missing = [self.missing(dropped)] if dropped else []
            try:
                self._write_all("".join(f"{line}\n" for line in missing + lines).encode("utf-8", "backslashreplace"))
            except OSError:
                with self._changed:
                    self._dropped += dropped + len(lines)
            time.sleep(_GATHER_SECONDS)

    def _take(self) -> tuple[list[str], int]:
        """Take all waiting lines, once there are any."""
        with self._changed:
            if not self._lines:
                self._idle = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines)
            lines, dropped = list(self._lines), self._dropped
            self._lines.clear()
            self._waiting = self._dropped = 0
            return lines, dropped

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # another process made the descriptor non-blocking, for all that share it
                _wait_for_room(self._fd)


def _wait_for_room(fd: int) -> None:
    if sys.platform == "win32":
        time.sleep(0.01)
    else:
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        poll.poll()


class Unbuffered:
    """Writes lines to a stream without a descriptor (a test's, a notebook's), at once."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        """Write a line, with its end added. If the stream is closed, the line is dropped."""
        try:
            if self._stream is not None:
                self._stream.write(line + "\n")
        except (OSError, ValueError):
            self._stream = None

    def flush(self, seconds: float = LEAVE_SECONDS) -> bool:
        """Return True: everything is written already."""
        return True


def stderr() -> Lines | Unbuffered:
    """Return the writer of lines to `sys.stderr`: always the same object, as long as that is the same stream."""
    return lines_to(sys.stderr)


@lru_cache(maxsize=1)
def lines_to(stream: TextIO | None) -> Lines | Unbuffered:
    """Return the writer of lines to a stream; for None (the process has no such stream), it writes nothing."""
    try:
        return Lines(stream.fileno()) if stream is not None else Unbuffered(None)
    except (AttributeError, OSError, ValueError):
        return Unbuffered(stream)
