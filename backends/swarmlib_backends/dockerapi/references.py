"""Image references: the forms that users write, and the one form that an engine keeps.

Source: the grammar in github.com/distribution/reference.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from swarmlib import SwarmError

from .status import refusal

_DEFAULT: Final = ("docker.io/library/", "docker.io/", "index.docker.io/library/", "index.docker.io/")
_DOMAIN: Final = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?/)?"
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE: Final = re.compile(
    rf"(?P<name>{_DOMAIN}{_PART}(?:/{_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@(?P<digest>sha256:[0-9a-f]{{32,}}))?",
    re.ASCII,
)
_ID: Final = re.compile(r"[0-9a-f]{64}")
_ID_BEGINNING: Final = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})")
_TAG: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_LONGEST: Final = 255
"""The most characters of a name with its registry."""


@lru_cache(maxsize=1024)
def normal(text: str, *, status: int = 400) -> str:
    """Return a reference in normal form: `busybox:latest` for `busybox`. A digest stays, and replaces the tag.

    Raises:
        SwarmError: the text is no reference; with `status`, in which the calls of an engine differ.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None or _ID.fullmatch(text):
        raise refusal(status, _problem(text))
    name = found["name"]
    if len(_whole(name)) > _LONGEST:
        raise refusal(status, f"repository name must not be more than {_LONGEST} characters")
    for prefix in _DEFAULT:
        if name.startswith(prefix):
            name = name.removeprefix(prefix)
            break
    if found["digest"]:
        if not is_digest(found["digest"]):
            raise refusal(status, "invalid checksum digest length")
        return f"{name}@{found['digest']}"
    return f"{name}:{found['tag'] or 'latest'}"


def normal_or_none(text: str) -> str | None:
    """Return a reference in normal form; None for a text that is no reference, such as an image's id."""
    try:
        return normal(text)
    except SwarmError:
        return None


def full(text: str) -> str:
    """Return a reference with its registry, and with the tag or digest that it has, if any.

    Raises:
        SwarmError: the text is no reference.

    >>> full("busybox")
    'docker.io/library/busybox'
    """
    found = _REFERENCE.fullmatch(text)
    if found is None or _ID.fullmatch(text):
        raise refusal(400, _problem(text))
    short = repository(normal(text))
    return _whole(short) + text.removeprefix(found["name"])


def is_registry(part: str) -> bool:
    """Return whether the part of a name before its first slash is a registry; if not, it is a name at Docker Hub.

    Newer engines take a part with capital letters for a registry too; older ones refuse such a name.
    """
    return part == "localhost" or "." in part or ":" in part or part != part.lower()


def _whole(name: str) -> str:
    """Return a name together with the registry that it leaves out."""
    first, slash, _ = name.partition("/")
    if slash and is_registry(first):
        return name
    return f"{_DEFAULT[1] if slash else _DEFAULT[0]}{name}"


def tagged(name: str, tag: str, *, status: int = 400) -> str:
    """Return a reference in normal form, with its tag replaced if one is given: `busybox:2` for `("busybox:1", "2")`.

    Raises:
        SwarmError: the name or the tag is invalid; with `status`, in which the calls of an engine differ.
    """
    ref = normal(name, status=status)
    if not tag:
        return ref
    if not _TAG.fullmatch(tag):
        raise refusal(status, "invalid tag format")
    return f"{repository(ref)}:{tag}"


def _problem(text: str) -> str:
    if _ID.fullmatch(text):
        return f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
    if _REFERENCE.fullmatch(text.lower()):
        return "invalid reference format: repository name must be lowercase"
    return "invalid reference format"


def is_id(text: str) -> bool:
    """Return whether a text is an image's id, without `sha256:`."""
    return _ID.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Return whether a text is the digest of an image's manifest."""
    return text.startswith("sha256:") and is_id(text.removeprefix("sha256:"))


def id_beginning(text: str) -> str:
    """Return the id of an image, or the beginning of one, that a text may be, with `sha256:`; "" for another text."""
    found = _ID_BEGINNING.fullmatch(text)
    return f"sha256:{found[1]}" if found else ""


def looked_for(text: str) -> str:
    """Return what an engine's messages name as not found: an image's id with `sha256:`, or a normal reference."""
    id = text.removeprefix("sha256:")
    return f"sha256:{id}" if id != text or is_id(id) else normal(text)


def familiar(text: str) -> str:
    """Return a normal reference as an engine shows it to the user: without `:latest`."""
    return text.removesuffix(":latest")


def repository(reference: str) -> str:
    """Return a normal reference without its tag or digest."""
    return reference.partition("@")[0] if "@" in reference else reference.rpartition(":")[0]
