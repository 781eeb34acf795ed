"""A call forwarded to one member: its replies are shown to whoever learns from them, and it is cut when the member goes
down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import trio

from swarmlib import BadAnswer, Message, Reply, SwarmError, Tap, Verb, refuse

See: TypeAlias = Callable[[Message], Message | None]
"""Is shown a reply, and may give another in its place; raises BadAnswer for a malformed one."""


class _Line:
    """Whether a forwarded call is still connected. It knows nothing of the call, which so can be dropped."""

    def __init__(self) -> None:
        self.cut = False
        self.callbacks: list[Callable[[], object]] = []

    def end(self) -> None:
        self.cut = True
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()


class Forwarded(Tap):
    """The reply channel of a call that one member has: cut when that member goes down before it has answered."""

    def __init__(self, inner: Reply, see: See | None) -> None:
        super().__init__(inner, self._look)
        self._show = see
        self._line = _Line()
        self._begun = False
        inner.on_gone(self._line.end)

    @property
    def gone(self) -> bool:
        """See `Reply.gone`."""
        return self._line.cut

    def on_gone(self, callback: Callable[[], object]) -> None:
        """See `Reply.on_gone`."""
        if self._line.cut:
            callback()
        else:
            self._line.callbacks.append(callback)

    async def _deliver(self, reply: Message) -> None:
        try:
            await super()._deliver(reply)
        except BadAnswer as exc:
            await self._end(exc)

    def _look(self, reply: Message) -> Message:
        if self._line.cut:
            raise trio.BrokenResourceError("the call was cut")
        seen = None if self._show is None else self._show(reply)
        self._begun = True
        return seen or reply

    async def cut(self, error: SwarmError) -> None:
        """Answer with an error, unless answers have come: a stream that has begun may yet go on."""
        if not self._begun and not self._line.cut:
            await self._end(error)

    async def _end(self, error: SwarmError) -> None:
        """Answer with an error in place of whatever the member says from now on, and cancel its work."""
        self._line.end()
        await refuse(Message(Verb.GET, ret=self._inner), error)
