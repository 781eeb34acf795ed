"""What an engine is to be asked for before the index can be shown: its node tells that there is something."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from .node import Node


class Due(set[str]):
    """Objects, or kinds of them, that an engine is to be asked for. Adding any makes its node `due`: a list looks at no
    other engine.
    """

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node

    def add(self, element: str, /) -> None:
        """Add one."""
        self.update((element,))

    def update(self, *others: Iterable[str]) -> None:
        """Add all of these."""
        super().update(*others)
        self._node.due |= bool(self)

    def __ior__(self, others: set[str], /) -> Self:  # type: ignore[override,misc]
        """Add all of these."""
        self.update(others)
        return self

    def taken(self) -> set[str]:
        """Take all out, and return them."""
        found = set(self)
        self.clear()
        return found
