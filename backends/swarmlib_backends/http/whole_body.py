"""The body of a request as a whole, for those who can't use it as it arrives."""

from __future__ import annotations

from swarmlib import TooLarge

from .incoming import Incoming


async def whole_body(incoming: Incoming, limit: int) -> bytes:
    """Return the rest of the body.

    Raises:
        TooLarge: the body is over `limit` bytes; otherwise as `Incoming.next_chunk`.
    """
    parts: list[bytes] = []
    size = 0
    while chunk := await incoming.next_chunk():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the body is longer than {limit} bytes")
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)
