"""Hints for an unknown word."""

from __future__ import annotations


def nearest(word: str, known: list[str]) -> str:
    """Return a hint for a word that is not one of `known`: the nearest ones, or all of them."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known) or 'none'}"
