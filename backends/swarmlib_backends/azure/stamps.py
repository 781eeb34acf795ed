"""Times as tags have them: RFC 3339, in UTC and whole seconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from .objects import seconds


def stamp(after: float = 0.0) -> str:
    """Return the time that is so many seconds from now."""
    return datetime.fromtimestamp(time.time() + after, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(text: str) -> float | None:
    """Return a time in seconds since the epoch; None if the text is no time, as anybody can write a tag."""
    try:
        return seconds(text) or None
    except ValueError:
        return None


def is_past(text: str) -> bool:
    """Return whether a time is in the past; a text that is no time counts as past."""
    found = read(text)
    return found is None or found <= time.time()
