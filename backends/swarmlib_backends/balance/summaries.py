"""The summaries of all containers, by their labels, and the lists of them ready to send.

A list is kept until something that it tells changes, and so is a short one of the containers with certain labels: those
who see only what is their own ask for it again and again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from .objects import RUNNING, Container

_MOST: Final = 128
"""The most lists by labels that are kept, as clients decide how many there are; all are discarded if there are more."""
_LONGEST: Final = 64 * 1024
"""The most bytes of such a list and its labels."""
_FOREVER: Final = float("inf")


class Summaries:
    """The containers that can be listed."""

    def __init__(self) -> None:
        self._labelled: dict[str, dict[Container, None]] = {}
        """The containers by each of their labels, `NAME=VALUE`, in the order in which they came."""
        self._order: list[Container] = []
        """Nearly in the order of the list, so that sorting is cheap."""
        self._whole: dict[bool, tuple[bytes, float]] = {}
        """The lists of all, by whether they are of running containers only, each with when its ages become untrue."""
        self._by_labels: dict[tuple[bool, tuple[str, ...]], tuple[bytes, float]] = {}

    def add(self, container: Container) -> None:
        """Add a container."""
        self._order.append(container)
        self.changed()

    def remove(self, containers: set[Container]) -> None:
        """Remove containers."""
        for container in containers:
            self.label(container, {})
        self._order = [each for each in self._order if each not in containers]
        self.changed()

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

    def changed(self) -> None:
        """Discard the lists: a container's summary or its labels changed, or the set of engines that are up."""
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
            self._order.sort(key=_created, reverse=True)
            made = self._whole[running] = _joined(self._order, running, now)
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
    return _joined(sorted(containers, key=_created, reverse=True), running, now)


def _created(container: Container) -> float:
    return container.created


def _joined(containers: Iterable[Container], running: bool, now: float) -> tuple[bytes, float]:
    """Return a list of containers in this order, and until when its ages are true."""
    pieces: list[bytes] = []
    lasts = _FOREVER
    for each in containers:
        if (running and each.state not in RUNNING) or not each.body or not each.node.up:
            continue
        skew = each.node.skew
        body, status, until = each.parts(now + skew)
        pieces += (b",", body, status)
        lasts = min(lasts, until - skew)
    return b"[" + b"".join(pieces[1:]) + b"]\n", lasts
