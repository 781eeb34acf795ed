"""The calls in progress on one member: hooks observe their replies, the calls are cut when the member goes down, and a
call is given back when the member does not have its object.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import trio

from swarmlib import BadAnswer, Error, NotFound, Reply, ReplySender, Request, Sender, SwarmError, Tap
from swarmlib.refusing import break_off
from swarmlib.reply import FINAL

See: TypeAlias = Callable[[Reply], Reply | None]
"""Is shown a reply, and may return another one to replace it; raises BadAnswer for a malformed one."""
GiveBack: TypeAlias = Callable[[ReplySender, NotFound], Awaitable[None]]
"""Takes back a call, by its reply channel, to which the member only answered that it has no such object."""
Changed: TypeAlias = Callable[[], None]
"""Called before the caller learns that the call ended, which may have changed something."""


class Forwarded(Tap):
    """The reply channel of a call that was forwarded to one member.

    changed: see `Changed`; None for a call that changes nothing. under_way: the set that contains this channel as long
    as the call is in progress.
    """

    def __init__(
        self,
        inner: ReplySender,
        see: See | None,
        give_back: GiveBack | None = None,
        *,
        changed: Changed | None = None,
        may_go_on: bool,
        under_way: set[Forwarded],
    ) -> None:
        super().__init__(inner)
        self._changed = changed
        self._caller = inner
        self._show = see
        self._give_back = give_back
        self._given_back = False
        self._may_go_on = may_go_on
        self._under_way = under_way
        self._begun = False
        under_way.add(self)
        inner.on_gone(self.leave)

    @property
    def gone(self) -> bool:
        """Whether the member's work is cancelled, which it is too when another answers the caller."""
        return super(Tap, self).gone

    on_gone = ReplySender.on_gone

    def leave(self) -> None:
        """Cancel the member's work: the caller has disconnected, or another answers it."""
        self._under_way.discard(self)
        self._tell_changed()
        super().leave()

    def _tell_changed(self) -> None:
        if self._changed is not None:
            self._changed()

    async def _deliver(self, reply: Reply) -> None:
        if isinstance(reply, FINAL):
            self._tell_changed()
        if isinstance(reply, Error) and await self._gave_back(reply.error):
            return
        try:
            await self._caller.send(self.instead(reply))
        except BadAnswer as exc:
            await self._end(exc)

    async def _gave_back(self, error: SwarmError) -> bool:
        if self._give_back is None or self._begun or self.gone or not isinstance(error, NotFound):
            return False
        self._begun = self._given_back = True
        await self._give_back(self._caller, error)
        return True

    async def _finish(self) -> None:
        self._under_way.discard(self)
        self._tell_changed()
        if not self._given_back:
            await self._caller.aclose()

    def instead(self, reply: Reply) -> Reply:
        """See `Tap.instead`."""
        if self.gone:
            raise trio.BrokenResourceError("the call was cut")
        seen = None if self._show is None else self._show(reply)
        self._begun = True
        return seen or reply

    async def cut(self, error: SwarmError) -> None:
        """Answer with an error, unless the call is a stream that has begun and may continue when the member is back."""
        if not (self._begun and self._may_go_on) and not self.gone:
            await self._end(error)

    async def _end(self, error: SwarmError) -> None:
        """Answer with an error instead of whatever the member may still say, and cancel its work."""
        self.leave()
        await break_off(self._caller, error, begun=False)


class Calls(trio.abc.SendChannel[Request]):
    """All calls in progress on one member. Requests sent here are balance's own, and are cut even after a reply."""

    def __init__(self, member: Sender, changes: Callable[[Request], Changed | None]) -> None:
        """Create the channel to a member. changes: returns what is called at the end of a request, if anything is."""
        self._member = member
        self._changes = changes
        self._under_way: set[Forwarded] = set()

    def forwarded(self, request: Request, see: See | None, give_back: GiveBack | None) -> Request:
        """Return a client's request, to be sent to the member's channel. A stream that has begun is not cut."""
        return self._held(request, see, give_back, may_go_on=True)

    def _held(self, request: Request, see: See | None, give_back: GiveBack | None, *, may_go_on: bool) -> Request:
        reply = Forwarded(
            request.reply,
            see,
            give_back,
            changed=self._changes(request),
            may_go_on=may_go_on,
            under_way=self._under_way,
        )
        return request.replace(reply=reply)

    async def send(self, value: Request) -> None:
        """Send a request of balance's own; raise what the member's channel raises."""
        await self._member.send(self._held(value, None, None, may_go_on=False))

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""

    async def cut(self, error: SwarmError) -> None:
        """End the calls with an error because the member is down."""
        for reply in list(self._under_way):
            await reply.cut(error)
