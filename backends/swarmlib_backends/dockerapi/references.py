"""Image references: what users write, and the one form of it that an engine keeps.

Source: the grammar in github.com/distribution/reference.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ..dockerapi.status import refusal

_DEFAULT: Final = ("docker.io/library/", "docker.io/", "index.docker.io/library/", "index.docker.io/")
_DOMAIN: Final = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?/)?"
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE: Final = re.compile(
    rf"(?P<name>{_DOMAIN}{_PART}(?:/{_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@(?P<digest>sha256:[0-9a-f]{{32,}}))?",
    re.ASCII,
)
_ID: Final = re.compile(r"[0-9a-f]{64}")


@lru_cache(maxsize=1024)
def normal(text: str, *, status: int = 400) -> str:
    """`busybox` as `busybox:latest`; the digest of one with a digest stays.

    Raises:
        SwarmError: it is no reference; with `status`, as the calls of an engine differ in it.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None or _ID.fullmatch(text):
        raise refusal(status, _problem(text))
    name = found["name"]
    for prefix in _DEFAULT:
        if name.startswith(prefix):
            name = name.removeprefix(prefix)
            break
    if found["digest"]:
        return f"{name}@{found['digest']}"
    return f"{name}:{found['tag'] or 'latest'}"


def _problem(text: str) -> str:
    if _ID.fullmatch(text):
        return f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
    if _REFERENCE.fullmatch(text.lower()):
        return "invalid reference format: repository name must be lowercase"
    return "invalid reference format"


def is_id(text: str) -> bool:
    """Whether it is an image's id, without `sha256:`."""
    return _ID.fullmatch(text) is not None


def familiar(text: str) -> str:
    """What an engine repeats to the user: a normal reference without `:latest`."""
    return text.removesuffix(":latest")


def repository(reference: str) -> str:
    """A normal reference without its tag or digest."""
    return reference.partition("@")[0] if "@" in reference else reference.rpartition(":")[0]
