"""Answers that are kept while they are known to be true, and questions that several callers share.

An answer depends on topics, such as one container of one engine. Whoever learns of a change drops its topic, and with
it every answer that depends on it, those that are being asked for included: these still serve who waits for them, but
are not kept. So no answer outlives a change that was told, whatever overtakes what.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import trio

from swarmlib import Ack, Log, Set, SwarmError
from swarmlib.reply import held

from .made import Made

Topic: TypeAlias = tuple[Hashable, ...]
"""What an answer depends on."""

Ask: TypeAlias = "Callable[[Found | None], Awaitable[Found]]"
"""Asks a question; raises SwarmError. It is given what came of the same question last, if that is still there."""

_MOST_BYTES: Final = 8 * 2**20
"""Bytes of answers that are kept; the least recently used are discarded first."""
_EACH: Final = 1000
"""Roughly the bytes that an answer takes besides its values."""
_SETTLING: Final = 1.0
"""Seconds after a change in which answers are not kept: an engine tells some changes before it has made them, as the
end of a container before it has counted it and released its networks."""
_PASSES: Final = 2
"""Passes of trio's loop for which a question waits for callers that come at nearly the same time: one in which those
that have just been served take their answers, and one in which they ask again."""


@dataclass(frozen=True, slots=True)
class Found:
    """An answer: its replies, and the seconds for which it may be kept if none of its topics is dropped.

    exact: it is true as long as it is kept; else it was true when it was asked for, and its age is worth telling.
    made: what it was made of, for the next question. told: whether the engines tell each change of it.
    """

    replies: Sequence[Set | Log | Ack]
    lasts: float = 0.0
    exact: bool = True
    made: Made | None = None
    told: bool = False

    @property
    def is_comparable(self) -> bool:
        """Whether it spares the next question work that has the same answer."""
        return self.made is not None and bool(self.made.parts)

    @property
    def size(self) -> int:
        """Roughly the bytes that it takes."""
        parts = () if self.made is None else self.made.parts
        return _EACH + sum(map(held, self.replies)) + sum(len(part.raw) for part in parts)


class Answer:
    """An answer that was asked for, with what it depends on."""

    __slots__ = ("_error", "asked", "found", "key", "size", "topics", "true", "until")

    def __init__(self, key: bytes, topics: Iterable[Topic]) -> None:
        self.key = key
        self.topics = tuple(topics)
        self.asked = 0.0
        """When it was asked for."""
        self.until = 0.0
        """When it is kept no longer."""
        self.size = 0
        self.true = True
        """Whether none of its topics has been dropped since it was asked for."""
        self.found: Found | None = None
        """What came of the question; None until then, and where that is an error."""
        self._error: SwarmError | None = None

    @property
    def age(self) -> float | None:
        """Seconds since it was asked for, if it may not be true any more."""
        return None if self.found is None or self.found.exact else trio.current_time() - self.asked

    def settle(self, outcome: Found | SwarmError, *, keep: bool) -> None:
        """Take what came of the question. keep: it may be kept as long as it says."""
        if isinstance(outcome, SwarmError):
            self._error = outcome
            return
        self.found = outcome
        self.size = outcome.size
        if keep and self.true:
            self.until = self.asked + outcome.lasts

    def replies(self) -> Sequence[Set | Log | Ack]:
        """Return its replies. They are shared by all callers.

        Raises:
            SwarmError: the question ended with this error.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)
        assert self.found is not None
        return self.found.replies


class _Round:
    """One question to the members, and the callers whom its answer serves."""

    def __init__(self) -> None:
        self.is_open = True
        """Whether the question has not been asked yet, so that callers may still join."""
        self.over = trio.Event()
        self.answer: Answer | None = None
        """None at the end if the caller that asked was cancelled: then the others ask again."""


class Kept:
    """The answers that are kept, and the questions under way."""

    def __init__(self) -> None:
        self._clock = trio.lowlevel.current_clock()
        self._answers = OrderedDict[bytes, Answer]()
        self._size = 0
        self._depending: dict[Topic, dict[Answer, None]] = {}
        self._dropped = OrderedDict[Topic, float]()
        """When topics were dropped lately."""
        self._cleared = float("-inf")
        self._rounds: dict[bytes, _Round] = {}
        """The latest round of each question: it waits for the one before, or is under way."""

    async def answer(self, key: bytes, topics: Iterable[Topic], ask: Ask) -> Answer:
        """Return the answer of this key: one that is kept, or one for which the question was sent after this call.

        Callers of the same key share questions, one of which is under way at a time. An error is shared too, and is
        raised by the answer; it is not kept.

        topics: what it depends on; only the topics of the caller that asks are looked at.
        """
        if (known := self.known(key)) is not None:
            return known
        while (latest := self._rounds.get(key)) is not None and latest.is_open:
            await latest.over.wait()
            if latest.answer is not None:
                return latest.answer
        return await self._next_round(latest, Answer(key, topics), ask)

    async def _next_round(self, before: _Round | None, answer: Answer, ask: Ask) -> Answer:
        """Ask when the round before is over, for the callers that join until then. All of a round go on at once."""
        own = self._rounds[answer.key] = _Round()
        try:
            if before is not None:
                await before.over.wait()
            for _ in range(_PASSES):
                await trio.lowlevel.checkpoint()
            own.is_open = False
            own.answer = self.known(answer.key) or await self._ask(answer, ask)
            return own.answer
        finally:
            if self._rounds[answer.key] is own:
                del self._rounds[answer.key]
                if before is not None and not before.over.is_set():  # this one was cancelled: the next waits for it too
                    self._rounds[answer.key] = before
            own.over.set()

    def known(self, key: bytes) -> Answer | None:
        """Return the answer of this key that is kept."""
        known = self._answers.get(key)
        if known is None or known.until <= self._clock.current_time():
            return None
        self._answers.move_to_end(key)
        return known

    async def _ask(self, answer: Answer, ask: Ask) -> Answer:
        settled, answer.asked = self._is_settled(answer.topics), self._clock.current_time()
        for topic in answer.topics:
            self._depending.setdefault(topic, {})[answer] = None
        last = self._answers[answer.key].found if answer.key in self._answers else None
        try:
            try:
                answer.settle(await ask(last), keep=settled)
            except SwarmError as exc:
                answer.settle(exc, keep=False)
        finally:
            if answer.until > self._clock.current_time() or (answer.found is not None and answer.found.is_comparable):
                self._keep(answer)
            else:
                self._unlink(answer)
        return answer

    def _is_settled(self, topics: Sequence[Topic]) -> bool:
        latest = max([self._cleared, *(self._dropped[topic] for topic in topics if topic in self._dropped)])
        return self._clock.current_time() - latest > _SETTLING

    def _keep(self, answer: Answer) -> None:
        if (old := self._answers.get(answer.key)) is not None:
            self._unlink(old)
        self._answers[answer.key] = answer
        self._size += answer.size
        while self._size > _MOST_BYTES:
            self._unlink(next(iter(self._answers.values())))

    def _unlink(self, answer: Answer) -> None:
        for topic in answer.topics:
            depending = self._depending.get(topic, {})
            depending.pop(answer, None)
            if not depending:
                self._depending.pop(topic, None)
        if self._answers.get(answer.key) is answer:
            del self._answers[answer.key]
            self._size -= answer.size

    def drop(self, *topics: Topic) -> None:
        """Drop the answers that depend on any of these topics."""
        now = self._clock.current_time()
        for topic in topics:
            self._dropped[topic] = now
            self._dropped.move_to_end(topic)
            for answer in list(self._depending.get(topic, ())):
                answer.true = False
                self._unlink(answer)
        while self._dropped and now - next(iter(self._dropped.values())) > _SETTLING:
            self._dropped.popitem(last=False)

    def clear(self) -> None:
        """Drop all answers."""
        self._cleared = self._clock.current_time()
        self.drop(*self._depending)
