"""Heads of requests that clients repeat: pollers send the same bytes again and again.

A head that was read once, strictly, means the same each time it comes, byte for byte, at the beginning of a request. So
it is neither parsed nor judged again. Nothing that may hold a secret is remembered.
"""

from __future__ import annotations

from typing import Final

from .head import Head

MOST: Final = 256
"""The most heads that are remembered; all are forgotten when there are more."""
LONGEST: Final = 1024
"""The most bytes of a head that is remembered."""
_PLAIN: Final = frozenset({b"host", b"user-agent", b"accept", b"accept-encoding", b"connection", b"content-type"})
"""The headers that hold no secrets, and that clients repeat."""


class RepeatedHeads:
    """The heads that were read before, by their bytes. They are shared: nobody may change them."""

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def find(self, data: bytes) -> Head | None:
        """Return the head that these bytes are, if they are exactly one that is remembered."""
        return self._heads.get(data)

    def remember(self, data: bytes, head: Head, meaning: object) -> None:
        """Remember a head, which is all of `data`, with its meaning; not one that announces a body, ends its
        connection, or may hold a secret.
        """
        if len(data) > LONGEST or head.framed or head.upgrade or not head.keep_alive:
            return
        if all(name.lower() in _PLAIN for name, _ in head.headers):
            if len(self._heads) >= MOST:
                self._heads.clear()
            head.meaning = meaning
            self._heads[data] = head
