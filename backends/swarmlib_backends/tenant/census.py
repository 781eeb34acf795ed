"""The census: looks at the objects of all tenants on the engine, so that the ledgers say what is there.

The objects are listed by label when the events of the engine begin, and each is looked at again when an event, or a
call of its tenant, may have changed what it uses. What happens behind the gateway's back is so counted too. While the
events are lost nothing is known for sure, and nobody is admitted who has a quota.
"""

from __future__ import annotations

import logging
from typing import Final, NoReturn

import trio

from swarmlib import BadAnswer, NotFound, ReplyReceiver, Request, Sender, Set, SwarmError, TimedOut, Unavailable, Verb
from swarmlib.asking import ask, call, next_reply
from swarmlib.errors import ungrouped

from ..dockerapi.filters import encode
from ..keyed_locks import KeyedLocks
from . import amounts, listing
from .ledger import GONE, Found, Ledgers, Look, Ref

_log = logging.getLogger(__name__)

_ALL_IMAGES: Final = ("images", "")
"""Stands for all tags, as an event of an image does not tell them."""
_LOOKS: Final = 16
"""The objects that are looked at concurrently."""
_PATIENCE_SECONDS: Final = 10.0
"""Seconds that a call waits for the census, if it is not complete."""
_PAUSE_SECONDS: Final = 1.0
"""Seconds before the events are asked for again, after they broke off."""
_MOST_WAITING: Final = 1_000_000
"""Objects that wait to be looked at; more than an engine can have mean that its events can't be followed."""
_CHANGES: Final = {
    "container": frozenset({"create", "start", "die", "destroy", "update"}),
    "network": frozenset({"create", "destroy"}),
    "volume": frozenset({"create", "destroy"}),
    "image": frozenset({"tag", "untag", "delete", "import", "load"}),
}
"""The events after which an object may use something else, by its type."""


class Census:
    """Looks at what is on the engine.

    sender: the stages that lead there.
    """

    def __init__(self, sender: Sender, ledgers: Ledgers) -> None:
        self._sender = sender
        self._ledgers = ledgers
        self._owners: dict[Ref, str] = {}
        self._waiting: dict[Ref, None] = {}
        self._idle = trio.lowlevel.ParkingLot()
        self._locks = KeyedLocks[Ref]()
        self._listed = trio.Event()
        self._unseen: dict[str, dict[Ref, None]] = {}
        """The objects that were listed and not looked at yet, by tenant."""
        self._doubts = trio.Event()

    async def complete(self, tenant: str) -> None:
        """Wait until all objects of a tenant are known.

        Raises:
            Unavailable: it takes too long: the engine does not answer.
        """
        with trio.move_on_after(_PATIENCE_SECONDS):
            await self._listed.wait()
            for ref in list(self._unseen.get(tenant, ())):  # not in their turn: there may be many tenants
                await self._look_first(tenant, ref)
            return
        raise Unavailable("what the tenant uses is not known, as the engine's events can't be read: try again later")

    def look_at(self, ref: Ref, tenant: str) -> None:
        """Look at an object of a tenant, soon: a call has changed it."""
        self._owners[ref] = tenant
        self._await_look(ref)

    def look_at_images(self) -> None:
        """Look at the tags of all images, soon."""
        self._await_look(_ALL_IMAGES)

    def doubt(self) -> None:
        """List everything again: nobody knows what a call has changed."""
        self._doubts.set()

    async def run(self) -> NoReturn:
        """Follow the engine's events until cancelled."""
        while True:
            self._doubts = trio.Event()
            try:
                with ungrouped():
                    await self._follow()
            except SwarmError as exc:
                self._begin_anew()
                _log.warning("tenant: all objects are listed again: the engine's events were lost: %s", exc)
                await trio.sleep(_PAUSE_SECONDS)
            else:
                self._begin_anew()

    def _begin_anew(self) -> None:
        """Know nothing for sure any more."""
        if self._listed.is_set():
            self._listed = trio.Event()
        self._unseen.clear()
        self._waiting.clear()

    async def _follow(self) -> None:
        filters = encode({"type": list(_CHANGES)})
        async with (
            await ask(self._sender, Request(Verb.WATCH, (), {"filters": filters})) as replies,
            trio.open_nursery() as nursery,
        ):
            await next_reply(replies)
            for _ in range(_LOOKS):
                nursery.start_soon(self._look_at_what_waits)
            nursery.start_soon(self._list_all)
            nursery.start_soon(self._until_doubts, nursery.cancel_scope)
            await self._heed_all(replies)

    async def _until_doubts(self, scope: trio.CancelScope) -> None:
        await self._doubts.wait()
        scope.cancel()

    async def _heed_all(self, replies: ReplyReceiver) -> NoReturn:
        while True:
            try:
                reply = await next_reply(replies)
            except trio.EndOfChannel as exc:
                raise Unavailable("they ended") from exc
            if isinstance(reply, Set):
                self._heed(amounts.read(amounts.Event, reply.json))

    def _heed(self, event: amounts.Event) -> None:
        kind, actor = event["Type"], event["Actor"]
        if event["Action"] not in _CHANGES.get(kind, ()):
            return
        ref = _ALL_IMAGES if kind == "image" else (f"{kind}s", actor["ID"])
        if kind == "container" and ref not in self._owners:
            attributes = actor.get("Attributes") or {}
            owner = amounts.owner(ref[0], attributes, attributes.get("name", ""))
            if owner is None:
                return
            self._owners[ref] = owner
        self._await_look(ref)

    def _await_look(self, ref: Ref) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            raise Unavailable(f"more than {_MOST_WAITING} objects have changed at once")
        self._waiting[ref] = None
        self._idle.unpark()

    async def _look_at_what_waits(self) -> None:
        while True:
            while not self._waiting:
                await self._idle.park()
            ref = next(iter(self._waiting))
            del self._waiting[ref]
            await self._look(ref)

    async def _list_all(self) -> None:
        """List the objects of all tenants, and look at each, and at those that were known and are not listed."""
        known = {ref: each.tenant for each in self._ledgers.all() for ref in each.refs}
        known.update(await listing.owned(self._sender))
        await self._look(_ALL_IMAGES)
        for ref, tenant in known.items():
            if ref[0] != "images":
                self._owners[ref] = tenant
                self._unseen.setdefault(tenant, {})[ref] = None
        self._listed.set()
        waiting = iter([(tenant, ref) for tenant, refs in self._unseen.items() for ref in refs])

        async def look_at_each() -> None:
            for tenant, ref in waiting:
                await self._look_first(tenant, ref)

        async with trio.open_nursery() as nursery:
            for _ in range(_LOOKS):
                nursery.start_soon(look_at_each)

    async def _look_first(self, tenant: str, ref: Ref) -> None:
        """Look at an object for the first time, unless somebody has."""
        if ref in self._unseen.get(tenant, ()):
            await self._look(ref)
            self._unseen.get(tenant, {}).pop(ref, None)

    async def _look(self, ref: Ref) -> None:
        async with self._locks.of(ref):  # or an older answer could be noted after a newer one
            await (self._look_at_images() if ref == _ALL_IMAGES else self._look_at_object(ref))

    async def _look_at_object(self, ref: Ref) -> None:
        owner = self._owners.get(ref)
        look = self._ledgers.of(owner).look(ref) if owner is not None else None
        found = await self._found(ref)
        owner = owner or found.owner
        if owner is None:
            return
        self._owners[ref] = owner
        if not found.amounts:
            del self._owners[ref]
        (look or Look(self._ledgers.of(owner), ref)).saw(found)

    async def _found(self, ref: Ref) -> Found:
        """Return what an object is and uses. One that can't be read may use anything.

        Raises:
            Unavailable, TimedOut: the engine does not answer.
        """
        try:
            return amounts.found(ref[0], (await call(self._sender, Request(Verb.GET, ref))).value)
        except NotFound:
            return GONE
        except SwarmError as exc:
            if isinstance(exc, Unavailable | TimedOut) and not isinstance(exc, BadAnswer):
                raise
            _log.warning("tenant: %s counts as unlimited: it can't be inspected: %s", "/".join(ref), exc.message)
            return amounts.unreadable(ref[0])

    async def _look_at_images(self) -> None:
        """Look at all tags."""
        looks = {ref: ledger.look(ref) for ledger in self._ledgers.all() for ref in ledger.refs if ref[0] == "images"}
        value = (await call(self._sender, Request(Verb.LS, ("images",)))).value
        for tag, owner in amounts.tags(value):
            ref = ("images", tag)
            (looks.pop(ref, None) or Look(self._ledgers.of(owner), ref)).saw(Found(owner, tag, {"images": 1}))
        for look in looks.values():
            look.saw(GONE)
