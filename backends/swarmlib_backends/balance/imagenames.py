"""What an image's name means where engines disagree: the image that got it last, as it does on one engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count


class ImageNames:
    """When each name of one engine's images was given. What was there when the engine was first listed has no time."""

    def __init__(self, times: count[int]) -> None:
        """times: numbers that grow, one for all engines."""
        self._times = times
        self._given: dict[str, tuple[str, int]] | None = None

    def listed(self, images: Mapping[str, Iterable[str]]) -> None:
        """Take over a list of the engine's images: their names, by their ids."""
        now = 0 if self._given is None else next(self._times)
        known = self._given or {}
        self._given = {
            name: known[name] if known.get(name, ("",))[0] == id else (id, now)
            for id, names in images.items()
            for name in names
        }

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._given or ())

    def given(self, name: str) -> int:
        """When the engine's image of this name got it; 0 where that is not known."""
        return (self._given or {}).get(name, ("", 0))[1]
