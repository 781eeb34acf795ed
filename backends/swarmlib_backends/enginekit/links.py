"""Links between containers, as creations and connections ask for them."""

from __future__ import annotations

import posixpath

from ..dockerapi.status import refusal


def link_of(text: str) -> tuple[str, str]:
    """Return the container and the alias of `container:alias`, or of `/container:/parent/alias` as in inspections.

    Raises:
        SwarmError: it is no link.
    """
    name, *rest = text.split(":")
    if not text or len(rest) > 1:
        raise refusal(500, f"bad format for links: {text}" if text else "empty string specified for links")
    if not rest:
        return text, text
    return (name[1:], posixpath.basename(rest[0])) if name.startswith("/") else (name, rest[0])
