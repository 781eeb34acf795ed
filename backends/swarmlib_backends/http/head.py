"""The head of an HTTP/1.1 message, and the forms of its target."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from swarmlib import Invalid

from .headers import HOP_BY_HOP, FixedHeaders, Headers

_ABSOLUTE: Final = re.compile(r"https?://([^/?#]+)([/?].*|)", re.IGNORECASE)


@dataclass(slots=True)
class Head:
    """The head of a request (`method`, `target`) or of a response (`status`)."""

    method: str = ""
    target: str = ""
    """In origin form (RFC 9112, 3.2.1), in ASCII; or `*`."""
    authority: str = ""
    """The authority of a target in absolute form; it takes precedence over the header Host."""
    status: int = 0
    headers: Headers = field(default_factory=Headers)
    keep_alive: bool = True
    upgrade: bool = False
    chunks: bool = True
    """Whether the sender understands a chunked body: HTTP/1.0 does not."""
    framed: bool = False
    """Whether the body's end is marked (by its length or chunks), rather than by the connection's end."""
    has_body: bool = False
    """Whether a body follows: chunks, or a length that is not 0."""
    meaning: object = None
    """What its reader has made of it, of a head that is remembered (`repeated`)."""
    _forwarded: FixedHeaders | None = None

    @property
    def forwarded(self) -> FixedHeaders:
        """The headers without those that concern a single connection."""
        if self._forwarded is None:
            self._forwarded = tuple(header for header in self.headers if header[0].lower() not in HOP_BY_HOP)
        return self._forwarded

    def get(self, name: bytes) -> bytes | None:
        """Return the value of a header; `name` in lower case."""
        for known, value in self.headers:
            if known.lower() == name:
                return value
        return None


def split_target(target: str) -> tuple[str, str]:
    """Return the authority that a target names, or "", and the target in origin form (RFC 9112, 3.2).

    Raises:
        Invalid: the target is in no form that a server accepts, or names a user.
    """
    if target[:1] == "/" or target == "*":
        return "", target
    found = _ABSOLUTE.fullmatch(target)
    if found is None or "@" in found[1]:  # RFC 9110, 4.2.4: a user in it is there to deceive
        raise Invalid(f"invalid target {target[:80]!r}: expected a path, or http://HOST and a path")
    return found[1], found[2] if found[2][:1] == "/" else f"/{found[2]}"
