"""Secrets in running text: log messages, and errors that quote what a client sent.

A text has no schema, so these are patterns of what is certainly a secret (`without_credentials`, for swarmlib's texts)
or may hold one (`without_quotations`, for the texts of engines, which quote commands, bodies and mount options).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, TypeAlias

HIDDEN: Final = "***"
MAX_ERROR: Final = 4096
"""Characters of an error's text that are searched and shown, at most."""

Secrets: TypeAlias = Collection[str] | None
"""The texts that are hidden in a request, and which an error may repeat; None: any text may be one."""

_TELLING: Final = (
    r"(?:pass|pwd|secret|token|credential|api[-_]?key|access[-_]?key|private[-_]?key|signing[-_]?ca[-_]?key"
    r"|unlock[-_]?key|authorization|registry[-_](?:auth|config)|cookie)[\w.-]{0,64}+"
)
"""A telling word and the rest of its name. What stands before it in the name is not searched: that takes long."""
_GIVEN: Final = r"""(?:"(?:[^"\\]|\\.){0,2048}"?|'[^']{0,2048}'?|(?:bearer|basic)\s+[^\s,;"']+|[^\s,;"']+)"""
_CREDENTIALS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, flags), shown)
    for pattern, flags, shown in (
        (r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END|\Z)", re.DOTALL, HIDDEN),
        # A password often holds an @ or a / that should have been quoted: all up to the last @ counts as the password.
        (r"(?i)(?<=https://)[^\s\"'<>]{1,1024}@|(?<=http://)[^\s\"'<>]{1,1024}@", 0, f"{HIDDEN}@"),
        (r"(?<=://)[^\s\"'<>:@/]{0,256}:[^\s\"'<>]{1,1024}@", 0, f"{HIDDEN}@"),
        (r"(?<![\w/.-])[\w.+-]{1,64}:[^\s@/\"':]{1,256}@(?!sha\d)(?=[\w\[])", 0, f"{HIDDEN}@"),
        (r"\b(Bearer|Basic)\s+(?=\S*[A-Z0-9=])\S+", 0, rf"\1 {HIDDEN}"),
        (r"\bSWM(TKN|KEY)-[^\s\"',;]+", 0, rf"SWM\1-{HIDDEN}"),
        (r"\$(?:apr1|2[abxy]|[1567y])\$[^\s\"',;]+", 0, HIDDEN),
        (r"\beyJ[\w+/=.-]{8,}", 0, HIDDEN),  # base64 of a JSON object, a registry's credentials or a JWT
        (r"\bgh[pousr]_\w{20,}|\bAKIA[A-Z0-9]{16}\b", 0, HIDDEN),
        (rf"(?i)({_TELLING}[\"']?\s{{0,4}}(?:=|:)\s{{0,4}}){_GIVEN}", 0, rf"\1{HIDDEN}"),
        (rf"(?i)(--?[\w.-]{{0,64}}{_TELLING}\s{{1,4}}){_GIVEN}", 0, rf"\1{HIDDEN}"),
    )
)
_QUOTED: Final = re.compile(r"""(?<!\w)(["'`])((?:(?!\1).){0,2048})\1(?!\w)""", re.DOTALL)
_OF_WORDS: Final = re.compile(r"[\s=]")
_ASSIGNED: Final = re.compile(r"([\w.-]=)[^\s,;\"']*[^\s,;:\"']")


def without_credentials(text: str) -> str:
    """Remove passwords in URLs, tokens and keys, and what follows a telling name (`password=`, `--token `)."""
    for pattern, shown in _CREDENTIALS:
        text = pattern.sub(shown, text)
    return text


def without_user(text: str) -> str:
    """Remove the user and password of a URL from `text`, a name or an address."""
    return without_credentials(text) if "@" in text else text


def without_quotations(text: str, secrets: Secrets = ()) -> str:
    """Remove what an engine's error may quote: JSON, values of options, commands of several words.

    secrets: texts that are hidden everywhere, since the request that the error answers holds them.
    """
    if secrets is None:
        return HIDDEN
    text = shortened(text, MAX_ERROR)
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    begin, end = text.find("{"), text.rfind("}")
    if 0 <= begin < end:
        text = f"{text[:begin]}{{{HIDDEN}}}{text[end + 1 :]}"
    text = _QUOTED.sub(_unless_a_name, without_credentials(text))
    return _ASSIGNED.sub(rf"\1{HIDDEN}", text)


def _unless_a_name(quoted: re.Match[str]) -> str:
    mark, inside = quoted[1], quoted[2]
    return f"{mark}{HIDDEN}{mark}" if _OF_WORDS.search(inside) else quoted[0]


def shortened(text: str, size: int) -> str:
    """Return the beginning of a text, up to the end of a word: half a URL would not show that it holds a password."""
    if len(text) <= size:
        return text
    kept = text[:size].rpartition(" ")[0]
    return f"{kept} … ({len(text) - len(kept)} more characters)"
