"""The range of API versions that an engine speaks, and its refusal of clients outside that range."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from swarmlib import BadAnswer, Invalid, Request

Version: TypeAlias = tuple[int, ...]

_OLDEST: Final = (1, 24)
"""An engine must speak at least this version: its versions limit those that every client of the gateway may use."""
_VERSION: Final = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){0,2}")


class Range(NamedTuple):
    """The oldest and the newest version that an engine speaks."""

    oldest: Version
    newest: Version

    @classmethod
    def of(cls, about: Any) -> Range:
        """Return the range in an engine's well-formed answer to `get version`.

        Raises:
            BadAnswer: the engine speaks no version that clients use, or its oldest version is newer than its newest.
        """
        made = cls(parsed(about.get("MinAPIVersion") or "0"), parsed(about["ApiVersion"]))
        if not made.oldest <= made.newest or made.newest < _OLDEST:
            told = f"{text(made.oldest)} to {text(made.newest)}"
            raise BadAnswer(f"the engine's API versions are {told}: at least {text(_OLDEST)} is required")
        return made

    def nearest(self, version: Version) -> Version:
        """Return the version in this range that is nearest to another one."""
        return max(self.oldest, min(self.newest, version))

    def check(self, version: Version) -> None:
        """Refuse a version outside the range, with Docker's own message.

        Raises:
            Invalid: the version is too old, or too new.
        """
        if version > self.newest:
            raise Invalid(
                f"client version {text(version)} is too new. Maximum supported API version is {text(self.newest)}"
            )
        if version < self.oldest:
            raise Invalid(
                f"client version {text(version)} is too old. Minimum supported API version is {text(self.oldest)}, "
                "please upgrade your client to a newer version"
            )


@lru_cache(maxsize=256)  # each call names one
def parsed(version: str) -> Version:
    """Return a version as numbers.

    Raises:
        Invalid: the text is not a version.
    """
    if not _VERSION.fullmatch(version):
        raise Invalid(f"{version!r:.80} is not an API version: expected one such as 1.41")
    return tuple(map(int, version.split(".")))


def text(version: Version) -> str:
    """Return a version as clients write it."""
    return ".".join(map(str, version))


SPOKEN: Final = Range((1, 12), (1, 41))
"""The versions that the backends here speak which emulate an engine: the range of Docker 20.10."""
API_VERSION: Final = text(SPOKEN.newest)
MIN_API_VERSION: Final = text(SPOKEN.oldest)


def check_spoken(request: Request) -> None:
    """Refuse a request at a version outside of `SPOKEN`. Raises `Invalid`, with an engine's message."""
    if request.meta.version:
        SPOKEN.check(parsed(request.meta.version))
