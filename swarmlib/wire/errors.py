"""What breaks the wire's rules. Imports no trio."""

from __future__ import annotations

import reprlib
from typing import Any, Final, cast

from ..errors import Invalid


class WireError(Invalid):
    """What came breaks the format or the rules of the wire; it says what came, and what would be right."""


_short: Final = reprlib.Repr()
_short.maxlevel = 2


def shown(found: object) -> str:
    """Describe what came instead, for an error's text: cut short, for it may be anything, nested a thousand deep."""
    text = _short.repr(found)[:60]
    if type(found) is list:
        return f"an array of {len(cast('list[Any]', found))}: {text}"
    return f"{type(found).__name__} {text}"
