"""The keys by which a terminal's user detaches: as clients name them, and as they are found in what is typed."""

from __future__ import annotations

from typing import Final

from swarmlib import Invalid

from .status import refusal

_CONTROLLED: Final = r"@abcdefghijklmnopqrstuvwxyz[\]^_"
_NAMED: Final = {f"ctrl-{key}": bytes([code]) for code, key in enumerate(_CONTROLLED)} | {"DEL": b"\x7f"}
"""The keys that have a name, as moby's term package (ascii.go) knows them."""
_DEFAULT: Final = b"\x10\x11"
"""ctrl-p, ctrl-q."""


def keys(text: str) -> bytes:
    """The bytes of `ctrl-p,ctrl-q`, or of single characters; those of the usual keys for an empty text.

    Raises:
        Invalid: the text names no keys; in what an engine says of an attach.
    """
    found = _bytes(text)
    if found is None:
        raise Invalid(f"Invalid detach keys ({text}) provided")
    return found


def keys_of_exec(text: str) -> bytes:
    """As `keys`.

    Raises:
        Internal: the text names no keys; in what an engine says of a new process.
    """
    found = _bytes(text)
    if found is None:
        raise refusal(500, f"Invalid escape keys ({text}) provided")
    return found


def _bytes(text: str) -> bytes | None:
    if not text:
        return _DEFAULT
    codes = [_NAMED.get(key) or key.encode("utf-8", "surrogateescape") for key in text.split(",")]
    return b"".join(codes) if all(len(code) == 1 for code in codes) else None


class Typed:
    """What is typed at a terminal, up to the keys by which its user detaches. As an engine, it holds the first of them
    back until the next key tells whether they are meant, and a key that they are not begins no new attempt.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    @property
    def detached(self) -> bool:
        """Whether the keys were typed."""
        return self._matched == len(self._keys)

    def read(self, data: bytes) -> bytes:
        """What of these bytes, and of those held back, is for the program; nothing once the keys were typed."""
        found = bytearray()
        for code in data:
            if self.detached:
                break
            if code == self._keys[self._matched]:
                self._matched += 1
            else:
                found += self._keys[: self._matched]
                found.append(code)
                self._matched = 0
        return bytes(found)
