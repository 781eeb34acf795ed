"""What a container writes, without gaps and repetitions: joined of its logs, which have times, and of its live output.

Azure's logs do not follow, and its live output (attach) begins somewhere while they are read. So the logs are read
before and after the live output begins; what the second reading has more may come a second time, live.
Which of several lines that are the same came twice can't be told: then what is told has the right length alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from swarmlib import BadAnswer

from ..azure.objects import seconds

_MOST: Final = 4_000_000
"""Bytes of logs of which the first line may have lost its beginning, as Azure keeps about so many."""


@dataclass(frozen=True)
class Entry:
    """A line of the logs: its time as Azure writes it, and its text with its end, if it has one."""

    stamp: str
    text: bytes

    @property
    def at(self) -> float:
        """Its time, in seconds since the epoch."""
        return seconds(self.stamp)


def entries(content: str) -> list[Entry]:
    """Return the lines of logs.

    Raises:
        BadAnswer: a line does not begin with its time.
    """
    found: list[Entry] = []
    *whole, rest = content.split("\n")
    for line in [f"{each}\n" for each in whole] + ([rest] if rest else []):
        stamp, _, text = line.partition(" ")
        if _is_time(stamp.rstrip("\n")):
            found.append(Entry(stamp.rstrip("\n"), text.encode() or b"\n"))
        elif found or len(content) < _MOST:
            raise BadAnswer(f"a line of a container's logs does not begin with its time: {line!r:.80}")
    return found


def _is_time(text: str) -> bool:
    try:
        return "T" in text and seconds(text) > 0
    except ValueError:
        return False


class Joining:
    """Joins readings of the logs with pieces of the live output; each method returns what is new."""

    def __init__(self) -> None:
        self._last: Entry | None = None
        self._live = 0
        """Bytes that came live since the last reading of the logs."""
        self._twice = b""
        """What may come live although a reading had it."""
        self._begin: bytes | None = None
        """What has come live as far as a reading may have had it; None once more has come.

        All of it is kept, since a later piece may show that it is not where it seemed to be in the reading.
        """

    def read(self, content: str) -> list[Entry]:
        """Take a reading of the logs; returns the lines that are new, the first perhaps without its beginning."""
        new = self._behind_last(entries(content))
        came, self._live = self._live, 0
        found: list[Entry] = []
        for entry in new:
            if came < len(entry.text):
                found.append(Entry(entry.stamp, entry.text[came:]))
            came = max(came - len(entry.text), 0)
        self._live = came  # what came live, and the reading did not have yet
        self._last = new[-1] if new else self._last
        return found

    def _behind_last(self, listed: list[Entry]) -> list[Entry]:
        """Return the entries of a reading behind the last one of the reading before, with what that lacked."""
        last = self._last
        if last is None:
            return listed
        for at in range(len(listed) - 1, -1, -1):
            if listed[at].stamp == last.stamp and listed[at].text.startswith(last.text):
                rest = listed[at].text[len(last.text) :]
                return [*([Entry(last.stamp, rest)] if rest else []), *listed[at + 1 :]]
        return [each for each in listed if each.at > last.at]

    def overlaps(self, new: list[Entry]) -> None:
        """Note that what a reading had more may come live too: it was made after the live output began."""
        self._twice = b"".join(each.text for each in new)
        self._begin = b"" if self._twice else None

    def live(self, data: bytes) -> bytes:
        """Take a piece of the live output; returns what is new of it."""
        if self._begin is not None:
            came = self._begin + data
            known = _suffix_that_fits(self._twice, came)
            if len(came) <= len(known):
                self._begin = came
                return b""
            self._begin = None
            data = came[len(known) :]
        self._live += len(data)
        return data


def _suffix_that_fits(text: bytes, data: bytes) -> bytes:
    """Return the longest end of a text that agrees with what has come, as far as either goes."""
    for at in range(len(text)):
        rest = text[at:]
        if rest.startswith(data) or data.startswith(rest):
            return rest
    return b""
