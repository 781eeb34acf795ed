"""Hints for an unknown word."""

from __future__ import annotations

_MOST = 50
"""Names that a person still reads through."""


def nearest(word: str, known: list[str]) -> str:
    """Return a hint for a word that is not one of `known`: the nearest one, or all of them, or some of very many."""
    import difflib

    if close := difflib.get_close_matches(word, known, n=1):
        return f"did you mean {close[0]!r}?"
    if len(known) > _MOST:
        return f"there are {len(known)}, such as {', '.join(known[:3])}"
    return f"there are: {', '.join(known) or 'none'}"
