"""How the head of a response frames its body (RFC 9112, 6.3). A head that is repeated is judged once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from swarmlib import BadAnswer

from ..http.head import Head

_VERSIONS: Final = ("1.1", "1.0")
_WITHOUT_BODY: Final = (204, 304)


@dataclass(frozen=True, slots=True)
class Framing:
    """Where the body of a response ends, and whether another exchange may follow it.

    length: of the body in bytes; None if chunks frame it, or, unless `chunked`, the end of the connection.
    """

    keep_alive: bool
    length: int | None
    chunked: bool

    @classmethod
    def of(
        cls, head: Head, version: str, *, keep_alive: bool, bodyless: bool, wrong: Callable[[str], BadAnswer]
    ) -> Framing:
        """Judge the head of a final response. The parser refuses repeated lengths, and a length with chunks.

        keep_alive: whether the head keeps the connection open. bodyless: whether it is the response to HEAD.

        Raises:
            BadAnswer: it is made by `wrong` of what is wrong with the head.
        """
        codings = [value.strip().lower() for name, value in head.headers if name.lower() == b"transfer-encoding"]
        length = head.get(b"content-length")
        if version not in _VERSIONS:
            raise wrong(f"it speaks HTTP/{version}")
        if not _is_final(head.status):
            raise wrong(f"its answer has the unknown status {head.status}")
        if codings and (codings != [b"chunked"] or version == "1.0"):
            raise wrong("the transfer coding of its answer is not `chunked`")
        if bodyless or head.status in _WITHOUT_BODY:
            # A body that the head announces, and that an engine may send against HTTP, would follow the head.
            return cls(keep_alive and not codings and not int(length or 0), 0, chunked=False)
        return cls(keep_alive, None if length is None else int(length), chunked=bool(codings))


def _is_final(status: int) -> bool:
    """Return whether a status ends an exchange of the Engine API, which does not redirect."""
    return 200 <= status < 300 or status == 304 or 400 <= status < 600
