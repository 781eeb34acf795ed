"""A command in a container, run by a shell on a terminal: Azure starts programs without arguments or exit codes.

The shell gets one line, which says where the command's output begins and ends, and its exit code. What the terminal
shows before, such as the line itself, is left out. A secret number keeps the marks apart from what the command writes.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

SHELL: Final = "/bin/sh"
_LONGEST_LINE: Final = 900
"""Characters: the line editor of busybox takes 1,023 bytes, a plain terminal 4,095."""
_LONGEST_PIECE: Final = 200
"""Characters of a word on a line, of which each may become four."""
_GOES_ON: Final = " \\\n"
"""Ends a line of a command that goes on with the next one."""
_WORD: Final = "swarmlib"


def quoted(word: str) -> str:
    """Return a word as a shell takes it; a long one on several lines."""
    pieces = [word[at : at + _LONGEST_PIECE] for at in range(0, len(word), _LONGEST_PIECE)] or [""]
    return "\\\n".join("'" + piece.replace("'", "'\\''") + "'" for piece in pieces)


@dataclass
class Marked:
    """The output of a command between its marks. terminal: whether the client wants what a terminal shows."""

    terminal: bool
    nonce: str = field(default_factory=lambda: secrets.token_hex(12))
    code: int | None = None
    """The exit code of the command, once it has ended."""
    begun: bool = False
    _held: bytes = b""
    _returns: bool = True
    """Whether the terminal ends lines by a carriage return and a line feed."""

    def script(self, words: Sequence[str], env: Mapping[str, str], folder: str, *, stdin: bool) -> str:
        """Return what the shell is given, to be entered with a line feed at its end."""
        steps = [*self._steps(words, env, folder, stdin=stdin)]
        line = " ".join(steps)
        return (line if len(line) <= _LONGEST_LINE else _GOES_ON.join(steps)) + "\n"

    def _steps(self, words: Sequence[str], env: Mapping[str, str], folder: str, *, stdin: bool) -> Iterator[str]:
        if not self.terminal:
            yield "stty -opost 2>/dev/null;"
        yield f"printf '{_WORD}-%s-%s\\n' {self.nonce} begin; ("
        if folder:
            yield f"cd {quoted(folder)} &&"
        yield from (f"export {name}={quoted(value)} &&" for name, value in env.items())
        yield "exec"
        yield from map(quoted, words)
        yield f"{'' if stdin else '</dev/null'} );"
        yield f"printf '{_WORD}-%s-%s-%s\\n' {self.nonce} end $?; exit"

    def feed(self, data: bytes) -> bytes:
        """Take what the terminal shows; returns what the command has written of it."""
        self._held += data
        if not self.begun:
            mark = re.search(rf"{_WORD}-{self.nonce}-begin(\r?)\n".encode(), self._held)
            if mark is None:
                return b""
            self.begun, self._returns = True, bool(mark[1])
            self._held = self._held[mark.end() :]
        return self._shown(self._taken())

    def _taken(self) -> bytes:
        """Return what is surely the command's own, and hold back what may be the beginning of a mark."""
        end = f"{_WORD}-{self.nonce}-end-".encode()
        at = self._held.find(end)
        if at >= 0:
            if (mark := re.match(rb"(\d+)\r?\n", self._held[at + len(end) :])) is not None:
                self.code = int(mark[1])
                taken, self._held = self._held[:at], b""
                return taken
        else:
            at = next((i for i in range(max(len(self._held) - len(end), 0), len(self._held))
                       if end.startswith(self._held[i:])), len(self._held))  # fmt: skip
        if not self.terminal and self._held[:at].endswith(b"\r"):
            at -= 1  # the line feed may still come
        taken, self._held = self._held[:at], self._held[at:]
        return taken

    def _shown(self, data: bytes) -> bytes:
        return data.replace(b"\r\n", b"\n") if self._returns and not self.terminal else data

    def rest(self) -> bytes:
        """Return what was shown and belongs to no command: why there is none, say."""
        rest, self._held = self._held, b""
        return rest
