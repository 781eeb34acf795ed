"""The file of an audit: it is appended to, continued after a restart, and opened again once it was renamed."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from swarmlib import Invalid, Unavailable

from ..file_claims import claim
from .chain import MAX_LINE, Link

STDOUT: Final = "-"
_BEGIN: Final = b'{"n":'
_NUMBER: Final = re.compile(rb'\{"n":(\d{1,18}),')


def time_of(nanoseconds: int) -> str:
    """Return a time, in nanoseconds since 1970, in the form of RFC 3339, with milliseconds, in UTC."""
    second, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{_second(second)}.{rest // 1_000_000:03d}Z"


@lru_cache(maxsize=1)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def event(name: str, facts: Mapping[str, Any] | None = None) -> bytes:
    """Make the entry about the audit itself, not about a call."""
    return orjson.dumps({"time": time_of(time.time_ns()), "event": name, **(facts or {})})


def check(path: str) -> None:
    """Check what can be known before a file is begun or continued.

    Raises:
        Invalid: it holds something else than lines of an audit.
        Unavailable: it can't be read and written.
    """
    if path == STDOUT:
        return
    try:
        if not os.path.exists(path):
            _check_folder(os.path.dirname(path) or ".")
        elif not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        else:
            _check_lines(path)
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def _check_folder(folder: str) -> None:
    if not os.path.isdir(folder):
        raise OSError(errno.ENOTDIR, f"{folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, f"no file can be made in {folder}")


def _check_lines(path: str) -> None:
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait for its writer
    try:
        _check_regular(file)
        _tail(file, path)
    finally:
        os.close(file)


def _check_regular(file: int) -> None:
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise OSError(errno.EINVAL, "it is not a file; for another program, use - and a pipe")


def _unwritable(path: str, exc: OSError) -> Unavailable:
    return Unavailable(f"can't write {path}: {exc.strerror or exc}")


class Journal:
    """An open file of an audit, or standard output. Its methods block: call one at a time, in a thread."""

    def __init__(self, path: str, *, durable: bool) -> None:
        """Open the file, which only its owner can read if it is new (mode 0600), and write a line that says so.

        durable: have each line on the disk before `append` returns.

        Raises:
            Conflict: another stage writes to it.
            Invalid: it holds something else than lines of an audit.
            Unavailable: it can't be opened, read or written.
        """
        self._path = path
        self._durable = durable and path != STDOUT
        try:
            self._file, self._last = self._open(Link())
        except OSError as exc:
            raise _unwritable(path, exc) from exc

    def append(self, entries: Sequence[bytes]) -> None:
        """Write entries as lines, all of them or none; first open the file again if its path leads elsewhere.

        Raises:
            OSError: they can't be written.
            Conflict, Invalid: as when it was opened first.
        """
        if self._was_moved():
            file, self._last = self._open(self._last)
            os.close(self._file)
            self._file = file
        if entries:
            self._last = self._write(self._file, entries, self._last)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _was_moved(self) -> bool:
        """Return whether the path leads to another file, or to none."""
        if self._path == STDOUT:
            return False
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return True
        return not os.path.samestat(found, os.fstat(self._file))

    def _open(self, last: Link) -> tuple[int, Link]:
        """Open the file; return it with its last line. If it holds none, it continues `last`."""
        if self._path == STDOUT:
            file = os.dup(1)
        else:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            return file, self._begin(file, last)
        except BaseException:
            os.close(file)
            raise

    def _begin(self, file: int, last: Link) -> Link:
        torn = 0
        if self._path != STDOUT:
            _check_regular(file)
            claim(file, self._path, "audit")
            found, torn = _tail(file, self._path)
            last = found or last
        if self._durable:
            _flush_folder(self._path)
        if torn:
            return self._write(file, [event("torn", {"bytes": torn}), event("opened")], last, begin=b"\n")
        return self._write(file, [event("opened")], last)

    def _write(self, file: int, entries: Sequence[bytes], last: Link, begin: bytes = b"") -> Link:
        """Write entries after the line `last`; return the new last line. After an error, the file is as before."""
        lines, last = last.append(entries)
        size = os.fstat(file).st_size
        try:
            _write_all(file, begin + lines)
            if self._durable:
                os.fsync(file)
        except OSError:
            if self._path != STDOUT:
                with suppress(OSError):
                    os.ftruncate(file, size)
            raise
        return last


def _tail(file: int, path: str) -> tuple[Link | None, int]:
    """Return the file's last line, and how many bytes it has if it is torn, as after a crash."""
    size = os.fstat(file).st_size
    begin = max(0, size - 2 * MAX_LINE)
    lines = os.pread(file, size - begin, begin).split(b"\n")[1 if begin else 0 :]
    torn = len(lines[-1]) if lines else 0
    if lines and not torn:
        lines.pop()
    if not size:
        return None, 0
    numbers = [int(found[1]) if (found := _NUMBER.match(line)) else None for line in lines]
    known = [(index, number) for index, number in enumerate(numbers) if number is not None]
    if not known and not (torn and _BEGIN.startswith(lines[-1][: len(_BEGIN)])):
        raise Invalid(f"{path} does not hold the lines of an audit: use another file")
    index, number = known[-1] if known else (len(lines) - 1, 0)
    return Link.of_text(number + len(lines) - 1 - index, lines[-1]), torn


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _flush_folder(path: str) -> None:
    """Have the name of a new file on the disk."""
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
