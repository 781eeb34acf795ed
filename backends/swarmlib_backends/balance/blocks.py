"""The list of all containers in blocks of neighbours: what has not changed is copied from the last list.

A change costs what its block has, and not what all blocks have. A block's piece of the last list is a view into that
list, so that it takes no memory of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from .objects import RUNNING, Block, Container, Piece

_MOST: Final = 256
"""The most containers of a block. A change makes a block of them anew, and a list copies each block."""
_FOREVER: Final = float("inf")


class Blocks:
    """The containers of which there is a summary, newest first."""

    def __init__(self) -> None:
        self._blocks = [Block()]
        """In the order of the list. When one is sought, none but the first may be empty."""
        self._changed: set[Container] = set()
        """Those of which the place or the summary is to be found again."""

    def changed(self, containers: Iterable[Container]) -> None:
        """Note that what is listed of these containers changed. Those whose summary nobody asked for are not listed."""
        self._changed.update(each for each in containers if each.body)

    def remove(self, containers: set[Container]) -> None:
        """Remove containers."""
        self._changed -= containers
        _take_out(containers)

    def listed(self, *, running: bool, now: float) -> tuple[bytes, float]:
        """Return the JSON list of all, or of those that run, and until when its ages are true."""
        self._place()
        pieces = [_piece(each, running, now) for each in self._blocks]
        whole = as_list(pieces)
        view, end = memoryview(whole), 0
        for block, piece in zip(self._blocks, pieces, strict=True):
            if piece.json:
                begin = end + 1
                end = begin + len(piece.json)
                block.pieces[running] = Piece(view[begin:end], piece.until)
        return whole, min(each.until for each in pieces)

    def _place(self) -> None:
        """Put what has changed where it belongs now."""
        changed, self._changed = self._changed, set()
        _take_out(changed)
        self._blocks = _joined(self._blocks)
        filled = {self._put(each) for each in changed}
        for block in filled:
            block.containers.sort(key=place)
        if any(len(each.containers) > _MOST for each in filled):
            self._blocks = [part for each in self._blocks for part in _split(each)]

    def _put(self, container: Container) -> Block:
        """Add a container to the end of its block, and return that."""
        at = bisect_right(self._blocks, place(container), lo=1, key=_first) - 1
        self._blocks[at].add((container,))
        return self._blocks[at]


def place(container: Container) -> tuple[float, int]:
    """Return what orders lists: newest first, and those of one moment in the order in which they came."""
    return -container.created, container.came


def rendered(containers: Iterable[Container], *, running: bool, now: float) -> Piece:
    """Return the summaries of those of these containers that are to be listed; `now` is this host's clock."""
    found: list[bytes] = []
    lasts = _FOREVER
    for each in containers:
        if (running and each.state not in RUNNING) or not each.body or not each.node.up:
            continue
        skew = each.node.skew
        body, status, until = each.parts(now + skew)
        found += (b",", body, status)
        lasts = min(lasts, until - skew)
    return Piece(b"".join(found[1:]), lasts)


def as_list(pieces: Iterable[Piece]) -> bytes:
    """Return the JSON list that these pieces make."""
    found: list[bytes | memoryview] = []
    for each in pieces:
        if each.json:
            found += (b",", each.json)
    return b"".join((b"[", *found[1:], b"]\n"))


def _piece(block: Block, running: bool, now: float) -> Piece:
    piece = block.pieces.get(running)
    if piece is None or now >= piece.until:
        piece = block.pieces[running] = rendered(block.containers, running=running, now=now)
    return piece


def _first(block: Block) -> tuple[float, int]:
    return place(block.containers[0])


def _take_out(containers: set[Container]) -> None:
    """Take containers out of their blocks, as far as they are in one."""
    for block in {each.block for each in containers}:
        if block is not None:
            block.containers = [each for each in block.containers if each not in containers]
            block.pieces.clear()


def _joined(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks, those joined that have become small: they are few, however many containers have gone."""
    found = [*blocks[:1]]
    for each in blocks[1:]:
        if len(found[-1].containers) + len(each.containers) <= _MOST // 2:
            found[-1].add(each.containers)
        elif each.containers:
            found.append(each)
    return found


def _split(block: Block) -> Iterator[Block]:
    """Yield a block as it is, or as smaller ones of half of what one may have, if it has too many."""
    count = len(block.containers)
    if count <= _MOST:
        yield block
        return
    size = -(-count // (2 * count // _MOST))
    for begin in range(0, count, size):
        part = Block()
        part.add(block.containers[begin : begin + size])
        yield part
