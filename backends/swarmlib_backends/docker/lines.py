"""The lines of a stream of values."""

from __future__ import annotations


class Lines:
    """Splits bytes into lines, in time linear in their number, however long a line is; empty lines are dropped."""

    def __init__(self) -> None:
        self._partial = bytearray()

    @property
    def pending(self) -> int:
        """The number of bytes of the line that has not ended yet."""
        return len(self._partial)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that end in these bytes, without their line ends."""
        *whole, partial = data.split(b"\n")
        if whole:
            whole[0] = bytes(self._partial) + whole[0]
            self._partial.clear()
        self._partial += partial
        return [line for line in whole if line.strip()]

    def end(self) -> list[bytes]:
        """Return the last line, if it has no line end."""
        return self.feed(b"\n")
