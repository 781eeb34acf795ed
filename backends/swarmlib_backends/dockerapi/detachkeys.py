"""The keys by which a terminal's user detaches, as an engine reads them: `ctrl-p,ctrl-q`, or single characters."""

from __future__ import annotations

from typing import Final

from swarmlib import Invalid

from .status import refusal

_NAMED: Final = frozenset({*(f"ctrl-{key}" for key in r"@abcdefghijklmnopqrstuvwxyz[\]^_"), "DEL"})
"""The keys that have a name, as moby's term package (ascii.go) knows them."""


def check(text: str) -> None:
    """Raise `Invalid` if a text that is not empty names no keys, in what an engine says of an attach."""
    if not _are_keys(text):
        raise Invalid(f"Invalid detach keys ({text}) provided")


def check_of_exec(text: str) -> None:
    """Raise `Internal` if a text that is not empty names no keys, as an engine does for a new process."""
    if not _are_keys(text):
        raise refusal(500, f"Invalid escape keys ({text}) provided")


def _are_keys(text: str) -> bool:
    return not text or all(key in _NAMED or len(key.encode("utf-8", "surrogateescape")) == 1 for key in text.split(","))
