"""How large a request may be besides its body."""

from __future__ import annotations

from typing import Final

from swarmlib import TooLarge

from .head import Head

MAX_HEAD: Final = 1024 * 1024
"""The size limit of a request's head in bytes, as in an engine (Go's DefaultMaxHeaderBytes): clients put options of any
length into queries, and the passwords of all their registries into a header.
"""
MAX_HEADERS: Final = 10_000
"""The most headers of a request. Each costs a client three bytes, and this server a hundred."""
MAX_BETWEEN: Final = 64 * 1024
"""The size limit in bytes of what is neither head nor body: trailers, chunk extensions, blank lines."""
LONGEST_BODY: Final = 2**63 - 1
"""The longest body that a head may announce: an engine refuses longer ones (Go's int64), and must not be asked for less
than what was meant."""


def check_sizes(head: Head, parsed: int, unparsed: int, *, in_head: bool) -> None:
    """Check what has come so far. parsed, unparsed: bytes of the head, or of what is between the body's data.

    Raises:
        TooLarge: a limit is exceeded.
    """
    most = MAX_HEAD if in_head else MAX_BETWEEN
    if parsed > most or unparsed > most:
        raise too_large()
    if len(head.headers) > MAX_HEADERS:
        raise TooLarge(f"the head has more than {MAX_HEADERS} headers", details={"status": 431})


def too_large() -> TooLarge:
    """Return the error for a head, or trailers, of too many bytes."""
    return TooLarge(
        f"the head is longer than {MAX_HEAD} bytes, or its trailers longer than {MAX_BETWEEN}", details={"status": 431}
    )
