"""Shell patterns over texts with slashes: images, folders, names of certificates."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

Match: TypeAlias = Callable[[str], object]
"""Returns something true for a text that is one of those that are meant."""


def globs(given: Sequence[str]) -> Match:
    """Match texts by shell patterns, in which `*` stands for any characters but `/`, and `**` for those too."""
    return re.compile("|".join(map(_pattern, given)) or "(?!)", re.DOTALL).fullmatch


def _pattern(glob: str) -> str:
    special = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(special.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*|\?)", glob))
