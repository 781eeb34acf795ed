"""The meaning of an image name where engines disagree: as on one engine, the image that was named last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count


class ImageNames:
    """When the names of one engine's images were given. Names in the first list have no known time."""

    def __init__(self, times: count[int]) -> None:
        """Create the table; `times` gives increasing numbers, and is shared by all engines."""
        self._times = times
        self._given: dict[str, tuple[str, int]] | None = None

    def listed(self, images: Mapping[str, Iterable[str]]) -> None:
        """Record a list of the engine's images: their names, by their ids."""
        now = 0 if self._given is None else next(self._times)
        known = self._given or {}
        self._given = {
            name: known[name] if known.get(name, ("",))[0] == id else (id, now)
            for id, names in images.items()
            for name in names
        }

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._given or ())

    def given(self, name: str) -> int:
        """Return when the engine's image of this name got it; 0 if that is not known."""
        return (self._given or {}).get(name, ("", 0))[1]
