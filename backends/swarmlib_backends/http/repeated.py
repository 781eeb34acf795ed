"""Heads that are repeated: pollers send the same bytes again and again, and engines answer with the same ones.

A head that was read once, strictly, means the same each time it comes, byte for byte, at the beginning of a message. So
it is neither parsed nor judged again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .head import Head

MOST: Final = 256
"""The most heads that are remembered; all are forgotten when there are more."""
LONGEST: Final = 1024
"""The most bytes of a head that is remembered."""
_PLAIN: Final = frozenset({b"host", b"user-agent", b"accept", b"accept-encoding", b"connection", b"content-type"})
"""The headers of requests that clients repeat, and that hold no secrets."""


class RepeatedHeads:
    """The heads that were read before, by their bytes, with what they mean. They are shared: nobody may change them."""

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}
        self.find: Final[Callable[[bytes], Head | None]] = self._heads.get
        """Gives the head that these bytes are, if they are exactly one that is remembered."""

    def remember(self, data: bytes, head: Head, meaning: object) -> None:
        """Remember a head, of which `data` is all, with its meaning, unless it is too long."""
        if len(data) > LONGEST:
            return
        if len(self._heads) >= MOST:
            self._heads.clear()
        head.meaning = meaning
        self._heads[data] = head


def is_plain(head: Head) -> bool:
    """Return whether the head of a request may be remembered: it announces no body and no other protocol, does not end
    its connection, and none of its headers could hold a secret.
    """
    goes_on = head.keep_alive and not head.framed and not head.upgrade
    return goes_on and all(name.lower() in _PLAIN for name, _ in head.headers)
