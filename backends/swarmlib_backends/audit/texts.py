"""Texts that others chose, as a line shows them: not too long, and without secrets."""

from __future__ import annotations

from typing import Final

from ..redact_text import Secrets, shortened, without_quotations, without_user

MAX_TEXT: Final = 1024
"""The most characters of a text that a client chose."""


def text(given: str) -> str:
    """Return a text as a line shows it."""
    if len(given) <= MAX_TEXT and "@" not in given:  # as nearly all are
        return given
    return shortened(without_user(given[: 2 * MAX_TEXT]), MAX_TEXT)


def message(given: str, secrets: Secrets) -> str:
    """Return a message as a line shows it, which may quote secrets of a request."""
    return shortened(without_quotations(given, secrets), MAX_TEXT)
