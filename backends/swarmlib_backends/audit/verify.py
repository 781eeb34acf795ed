"""Verifies the chain of an audit: says which lines were changed, removed, moved or cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Final

from . import chain
from .chain import MAX_LINE, Line, Link

_START: Final = Link()


@dataclass
class Verification:
    """What was found in the files of an audit, which are given in the order in which they were written.

    Attributes:
        problems: what is wrong, each with the file and the line in it.
        remarks: what is unusual, and follows from a crash.
        lines: how many lines there are.
        last: the last line; what was cut off after it leaves no trace in the files.
    """

    problems: list[str] = field(default_factory=list[str])
    remarks: list[str] = field(default_factory=list[str])
    lines: int = 0
    last: Link = _START

    def __post_init__(self) -> None:
        self._before: Line | None = None
        self._unread: tuple[str, bytes] | None = None
        self._gaps: list[_Gap] = []

    def read(self, name: str, file: IO[bytes]) -> None:
        """Read the next file.

        Raises:
            OSError: it can't be read.
        """
        for number, line in enumerate(_lines(file), 1):
            self.lines += 1
            self._take(f"{name}:{number}", line)

    def end(self) -> None:
        """Report what only the end of the last file shows."""
        if self._unread is not None:
            self._report_unread()
        for gap in self._gaps:
            self.problems.append(f"{gap.place}: {gap} missing before this line")

    def _take(self, place: str, line: bytes) -> None:
        found = chain.read(line.removesuffix(b"\n"))
        if self._unread is not None:
            self._heal(place, found)
        if found is None or not line.endswith(b"\n"):
            self._unread = (place, line.removesuffix(b"\n"))
            return
        if not found.intact:
            self.problems.append(f"{place}: line {found.number} was changed")
        self._follow(place, found)
        self._before, self.last = found, found.link

    def _heal(self, place: str, found: Line | None) -> None:
        """Judge a line that can't be read by the one after it, which says so if a crash has torn it."""
        assert self._unread is not None
        torn_at, torn = self._unread
        self._unread = None
        if found is None or found.fields.get("event") != "torn" or found.before != Link.of_text(0, torn).digest:
            self._unread = (torn_at, torn)
            self._report_unread()
            return
        self.remarks.append(f"{torn_at}: a crash has torn the line; the chain goes on after it")
        if self._before is not None and found.number > self._before.number + 2:
            self._gaps.append(_Gap(self._before.number + 1, found.number - 2, torn_at))
        self._before = Line(found.number - 1, "", True, Link(found.number - 1, found.before), {})

    def _report_unread(self) -> None:
        assert self._unread is not None
        place, line = self._unread
        self._unread = None
        what = "the line is cut off" if line.startswith(b'{"n":') else "this is not a line of an audit"
        self.problems.append(f"{place}: {what}")

    def _follow(self, place: str, found: Line) -> None:
        before = self._before
        if before is None or found.number == before.number + 1:
            after = before.link if before else _START if found.number == 1 else None
            if after and found.before != after.digest and (before is None or before.intact):
                what = f"line {before.number} was changed after it was written" if before else "the chain has no start"
                self.problems.append(f"{place}: {what}: line {found.number} holds another hash of the line before")
        elif found.number > before.number:
            self._gaps.append(_Gap(before.number + 1, found.number - 1, place))
        elif found.number == 1 and found.before == _START.digest:
            self.problems.append(f"{place}: a new chain begins: nothing links it with line {before.number}")
        else:
            self.problems.append(f"{place}: line {found.number} is not in its place: it follows line {before.number}")
            self._gaps = [part for gap in self._gaps for part in gap.without(found.number)]


@dataclass(frozen=True)
class _Gap:
    """Lines that are missing, from the first to the last number."""

    first: int
    last: int
    place: str

    def __str__(self) -> str:
        return f"line {self.first} is" if self.first == self.last else f"lines {self.first} to {self.last} are"

    def without(self, number: int) -> Iterator[_Gap]:
        """Yield what is left of it if a line has been found elsewhere."""
        if not self.first <= number <= self.last:
            yield self
            return
        if self.first < number:
            yield _Gap(self.first, number - 1, self.place)
        if number < self.last:
            yield _Gap(number + 1, self.last, self.place)


def _lines(file: IO[bytes]) -> Iterable[bytes]:
    """Yield the lines of a file; one that is too long, in parts."""
    while line := file.readline(MAX_LINE + 1):
        yield line
