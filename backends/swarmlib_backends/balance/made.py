"""Answers that are made of members' answers. Made of the same bytes again, an answer is the same: then what the members
said is neither decoded, nor checked, nor merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from swarmlib import Ack, Json, Log, Set
from swarmlib.asking import Answer

from .node import Node


class Part(NamedTuple):
    """What one member answered, and its description of itself, of which merged answers tell too."""

    node: Node
    about: Mapping[str, Any]
    raw: bytes


Parts: TypeAlias = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """An answer, and what it was made of; `parts` is empty if that is not worth comparing."""

    answer: Answer
    parts: Parts = ()

    @property
    def replies(self) -> Sequence[Set | Log | Ack]:
        """All of its replies."""
        return [*self.answer.before, self.answer.ack]

    @property
    def known(self) -> Mapping[Node, bytes]:
        """The bytes of each member's answer, which have been checked."""
        return {part.node: part.raw for part in self.parts}

    def is_of_same(self, last: Made | None) -> bool:
        """Return whether it was made of the same parts as `last`."""
        return last is not None and bool(self.parts) and self.parts is last.parts

    def encoded(self) -> Made:
        """Return the same with values that are bytes only: decoded ones take many times the memory."""
        before = [reply if isinstance(reply, Log) else _encoded(reply) for reply in self.answer.before]
        return Made(Answer(_encoded(self.answer.ack), before), self.parts)


def _encoded(reply: Any) -> Any:
    return reply if reply.value is None else reply.replace(value=Json(reply.value.raw))


def parts_of(answers: Iterable[tuple[Node, Answer]], last: Made | None) -> Parts:
    """Return what members answered: the very parts of which `last` was made, if they have answered the same again."""
    found = tuple(Part(node, node.about, answer.raw) for node, answer in answers)
    return last.parts if last is not None and last.parts == found else found
