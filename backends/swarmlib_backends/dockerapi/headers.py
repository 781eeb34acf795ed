"""What HTTP says of headers, for whoever judges or writes them: nothing here parses a message."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

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
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/")


def is_form(content_type: str) -> bool:
    """Whether an engine reads a body of this type as parameters, which then win over those of the query."""
    return content_type.strip().lower().startswith(_FORMS)


def end_to_end(headers: Headers) -> Headers:
    """The headers without those that speak of one connection only."""
    return [header for header in headers if header[0].lower() not in HOP_BY_HOP]
