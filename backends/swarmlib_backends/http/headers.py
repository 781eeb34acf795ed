"""HTTP's rules about headers, for code that checks or writes them; nothing here parses a message."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from swarmlib import Invalid

Headers: TypeAlias = list[tuple[bytes, bytes]]
FixedHeaders: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Headers that do not change, and may be shared by many messages."""

HOP_BY_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"upgrade", b"te", b"trailer"),
        *(b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
    }
)
"""Headers about one connection or one message's framing (RFC 9110, 7.6.1); they are written anew for each message."""
TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The characters of a header's name, or of a protocol's (RFC 9110, 5.6.2)."""
JSON: Final = "application/json"
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/")


def media_type(content_type: str) -> str:
    """Return the media type of a Content-Type, in lower case and without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_form(kind: str) -> bool:
    """Return whether an engine reads a body of this type as parameters, which then take precedence over the query's."""
    return kind.startswith(_FORMS)


def not_json(content_type: object) -> Invalid:
    """Return an engine's error for a body that should be JSON, but has another Content-Type."""
    return Invalid(f"Content-Type specified ({content_type}) must be '{JSON}'")
