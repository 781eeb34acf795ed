"""The keys by which a terminal's user detaches: reading their names, and finding them in the input."""

from __future__ import annotations

from typing import Final

from swarmlib import Invalid

from .status import refusal

_CONTROLLED: Final = r"@abcdefghijklmnopqrstuvwxyz[\]^_"
_NAMED: Final = {f"ctrl-{key}": bytes([code]) for code, key in enumerate(_CONTROLLED)} | {"DEL": b"\x7f"}
"""The keys that have a name, as in moby's term package (ascii.go)."""
_DEFAULT: Final = b"\x10\x11"
"""ctrl-p, ctrl-q."""


def keys(text: str) -> bytes:
    """Return the bytes of keys such as `ctrl-p,ctrl-q`, or of single characters; for an empty text, the default keys.

    Raises:
        Invalid: the text names no keys; the message is an engine's for an attach.
    """
    found = _bytes(text)
    if found is None:
        raise Invalid(f"Invalid detach keys ({text}) provided")
    return found


def keys_of_exec(text: str) -> bytes:
    """Return the same as `keys`.

    Raises:
        Internal: the text names no keys; the message is an engine's for a new process.
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
    """The input of a terminal, up to the detach keys. As in an engine, the first keys of the sequence are held back
    until the next key decides, and a key that breaks the sequence does not begin a new one.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    @property
    def detached(self) -> bool:
        """Whether the detach keys were typed."""
        return self._matched == len(self._keys)

    def read(self, data: bytes) -> bytes:
        """Return what is for the program of these bytes, and of those held back; nothing after the detach keys."""
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
