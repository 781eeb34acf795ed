"""What HTTP says of headers, for whoever judges or writes them: nothing here parses a message."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from swarmlib import Invalid

Headers: TypeAlias = list[tuple[bytes, bytes]]

HOP_BY_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"upgrade", b"te", b"trailer"),
        *(b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
    }
)
"""Headers of one connection and of one message's framing (RFC 9110, 7.6.1); whoever writes a message writes its own."""
TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What a header's name, or a protocol's, consists of (RFC 9110, 5.6.2)."""
JSON: Final = "application/json"
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/")


def media_type(content_type: str) -> str:
    """The type that a Content-Type names, in lower case and without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_form(kind: str) -> bool:
    """Whether an engine reads a body of this media type as parameters, which then win over those of the query."""
    return kind.startswith(_FORMS)


def not_json(content_type: object) -> Invalid:
    """The error, in an engine's own words, of a body that should be JSON and whose Content-Type says something else."""
    return Invalid(f"Content-Type specified ({content_type}) must be '{JSON}'")


def end_to_end(headers: Headers) -> Headers:
    """The headers without those that speak of one connection only."""
    return [header for header in headers if header[0].lower() not in HOP_BY_HOP]
