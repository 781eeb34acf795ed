"""The summaries of all containers, by their labels, and the lists of them ready to send.

A list is kept until something that it tells changes, and so is a short one of the containers with certain labels: those
who see only what is their own ask for it again and again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Final

from .blocks import Blocks, as_list, place, rendered
from .objects import Container

_MOST: Final = 128
"""The most lists by labels that are kept, as clients decide how many there are; all are discarded if there are more."""
_LONGEST: Final = 64 * 1024
"""The most bytes of such a list and its labels."""


class Summaries:
    """The containers that can be listed."""

    def __init__(self) -> None:
        self._labelled: dict[str, dict[Container, None]] = {}
        """The containers by each of their labels, `NAME=VALUE`, in the order in which they came."""
        self._numbers = count()
        self._blocks = Blocks()
        self._whole: dict[bool, tuple[bytes, float]] = {}
        """The lists of all, by whether they are of running containers only, each with when its ages become untrue."""
        self._by_labels: dict[tuple[bool, tuple[str, ...]], tuple[bytes, float]] = {}

    def add(self, container: Container) -> None:
        """Add a container, which is listed once its summary is known."""
        container.came = next(self._numbers)
        self.changed(container)

    def remove(self, containers: set[Container]) -> None:
        """Remove containers."""
        for container in containers:
            self.label(container, {})
        self._blocks.remove(containers)
        self._discard()

    def label(self, container: Container, labels: Mapping[str, str]) -> None:
        """Set the labels by which a container is listed. A filter can't mean a name that holds `=`."""
        told = frozenset(f"{name}={value}" for name, value in labels.items() if "=" not in name)
        for each in container.labels - told:
            del self._labelled[each][container]
            if not self._labelled[each]:
                del self._labelled[each]
        for each in told - container.labels:
            self._labelled.setdefault(sys.intern(each), {})[container] = None
        container.labels = told

    def changed(self, *containers: Container) -> None:
        """Note that the summaries of containers changed, their states or labels, or whether their engine is up."""
        self._blocks.changed(containers)
        self._discard()

    def _discard(self) -> None:
        self._whole.clear()
        self._by_labels.clear()

    def having(self, labels: Sequence[str]) -> list[Container]:
        """Return the containers that have all of these labels, at least one."""
        fewest = min((self._labelled.get(each, {}) for each in labels), key=len)
        return [each for each in fewest if each.labels.issuperset(labels)]

    def listed(self, *, running: bool, now: float) -> bytes:
        """Return the JSON list of the containers of engines that are up, newest first; `now` is this host's clock."""
        made = self._whole.get(running)
        if made is None or now >= made[1]:
            made = self._whole[running] = self._blocks.listed(running=running, now=now)
        return made[0]

    def listed_with(self, labels: Sequence[str], *, running: bool, now: float) -> bytes:
        """Return the JSON list of those that have all of these labels, as `listed` does."""
        key = (running, tuple(labels))
        made = self._by_labels.get(key)
        if made is None or now >= made[1]:
            made = _sorted(self.having(labels), running, now)
            if len(made[0]) + sum(map(len, labels)) <= _LONGEST:
                if len(self._by_labels) >= _MOST:
                    self._by_labels.clear()
                self._by_labels[key] = made
        return made[0]


def listed(containers: Iterable[Container], *, running: bool, now: float) -> bytes:
    """Return the JSON list of some containers, as `Summaries.listed` does."""
    return _sorted(containers, running, now)[0]


def _sorted(containers: Iterable[Container], running: bool, now: float) -> tuple[bytes, float]:
    piece = rendered(sorted(containers, key=place), running=running, now=now)
    return as_list([piece]), piece.until
