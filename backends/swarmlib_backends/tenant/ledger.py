"""The ledger of one tenant: what its objects use, what calls under way may come to use, and the limits of the sum.

A call reserves what it may use before it goes to the engine, so that of a thousand calls at once no more are admitted
than the quota has room for. What an object uses is known by looking at it: a reservation is kept until a look that
began after the call ended, so that at no moment less is counted than is used. An object and the calls about it count
once: with the largest amount that any of them has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Final, NamedTuple, TypeAlias

from swarmlib import Denied

from .ports import Ports, Published
from .resources import RESOURCES, Amounts, largest, shown
from .terms import Terms

Ref: TypeAlias = tuple[str, str]
"""The kind of an object, and its id (a volume's is its name)."""

_NO_ID: Final = "+"
"""Begins what stands for the id of an object that is being created. No id and no name begins so."""


class Found(NamedTuple):
    """What is known of an object.

    Attributes:
        owner: the tenant whose it is; None if it is nobody's.
        name: its name at the engine.
        amounts: what it uses; nothing if it does not exist.
        published: the ports of a container.
    """

    owner: str | None
    name: str
    amounts: Amounts
    published: Sequence[Published] = ()


GONE: Final = Found(None, "", {})
"""An object that does not exist."""


class Reservation:
    """What a call may come to use. It ends by `release`, or after `settle` when somebody has looked at the object."""

    def __init__(self, ledger: Ledger, ref: Ref, amounts: Amounts) -> None:
        self._ledger = ledger
        self.ref = ref
        self.amounts = amounts
        self.published: Sequence[Published] = ()
        self.named: Ref = ("", "")
        """The kind and the name of the object that the call creates."""
        self.settled = False

    @property
    def creates(self) -> bool:
        """Whether the object that the call creates has no id yet."""
        return self.ref[1].startswith(_NO_ID)

    def release(self) -> None:
        """Give back what was reserved: the call had no effect. May be called twice."""
        self._ledger.end([self])

    def settle(self, ref: Ref) -> None:
        """Note that the call has ended, and which object it is about: the next look at that object ends this."""
        self._ledger.move(self, ref)
        self.settled = True


class _Entry:
    __slots__ = ("counted", "held", "seen")

    def __init__(self) -> None:
        self.seen: Amounts = {}
        self.held: list[Reservation] = []
        self.counted: Amounts = {}


class Ledger:
    """What a tenant uses, and may use.

    tenant: its name, for errors.
    terms: what it may use.
    """

    def __init__(self, tenant: str, terms: Terms) -> None:
        self.tenant = tenant
        self.terms = terms
        self.ports = Ports()
        self._entries: dict[Ref, _Entry] = {}
        self._creating: dict[Ref, Reservation] = {}
        """The calls under way that create an object, by its kind and its name."""
        self._numbers = count(1)
        self._used = dict.fromkeys(RESOURCES, 0)

    @property
    def used(self) -> Amounts:
        """What is counted now, of each resource."""
        return self._used

    @property
    def refs(self) -> list[Ref]:
        """The objects that were seen, or that calls under way are about."""
        return list(self._entries)

    def create(self, kind: str, name: str, amounts: Amounts, published: Sequence[Published] = ()) -> Reservation:
        """Reserve what a new object may come to use, whose id its engine will tell. Raises as `reserve`.

        name: the name that its engine gets, by which it is recognized if it is seen before that.
        """
        made = self.reserve((kind, f"{_NO_ID}{next(self._numbers)}"), amounts)
        made.named = (kind, name)
        self._creating[made.named] = made
        made.published = published
        self.ports.note(made.ref[1], published)
        return made

    def reserve(self, ref: Ref, amounts: Amounts) -> Reservation:
        """Reserve what a call about an object may come to use.

        Raises:
            Denied: the quota has no room for it; the error names the resource, the use and the limit.
        """
        entry = self._entries.get(ref) or _Entry()
        grown = largest(entry.counted, amounts)
        for name, limit in self.terms.limits.items():
            more = grown.get(name, 0) - entry.counted.get(name, 0)
            if more > 0 and self._used[name] + more > limit:
                raise self._exceeded(name, more, limit)
        made = Reservation(self, ref, amounts)
        self._entries.setdefault(ref, entry).held.append(made)
        self._count(ref)
        return made

    def _exceeded(self, name: str, more: int, limit: int) -> Denied:
        used, most = shown(name, self._used[name]), shown(name, limit)
        return Denied(
            f"the quota of tenant {self.tenant} is exceeded: {name}: "
            f"{used} in use, {shown(name, more)} more requested, at most {most} allowed"
        )

    def move(self, reservation: Reservation, ref: Ref) -> None:
        """Count a reservation with another object: the one that its call has made."""
        old = self._entries.get(reservation.ref)
        if old is None or reservation not in old.held or reservation.ref == ref:
            return
        self._entries.setdefault(ref, _Entry()).held.append(reservation)
        old.held.remove(reservation)
        self._forget(reservation)
        before, reservation.ref = reservation.ref, ref
        self._move_ports(reservation, before[1])
        self._count(ref)
        self._count(before)

    def _move_ports(self, reservation: Reservation, before: str) -> None:
        if reservation.published:
            self.ports.note(reservation.ref[1], reservation.published)
            self.ports.note(before, ())

    def end(self, reservations: Sequence[Reservation]) -> None:
        """End reservations; those that have ended already don't matter."""
        for each in reservations:
            self._forget(each)
            if each.creates:
                self.ports.note(each.ref[1], ())
            entry = self._entries.get(each.ref)
            if entry is not None and each in entry.held:
                entry.held.remove(each)
                self._count(each.ref)

    def recognize(self, ref: Ref, name: str) -> None:
        """Note the name of an object, which may be one that a call under way creates."""
        made = self._creating.get((ref[0], name))
        if made is not None and ref not in self._entries:
            self.move(made, ref)

    def _forget(self, reservation: Reservation) -> None:
        """Expect no object by the name of a reservation any more."""
        if self._creating.get(reservation.named) is reservation:
            del self._creating[reservation.named]

    def look(self, ref: Ref) -> Look:
        """Begin to look at an object."""
        entry = self._entries.get(ref)
        return Look(self, ref, [each for each in entry.held if each.settled] if entry else [])

    def note(self, ref: Ref, found: Found) -> None:
        """Note what an object uses now."""
        if found.amounts or ref in self._entries:
            self._entries.setdefault(ref, _Entry()).seen = found.amounts
            self._count(ref)
        if ref[0] == "containers" and not ref[1].startswith(_NO_ID):
            self.ports.note(ref[1], found.published)

    def _count(self, ref: Ref) -> None:
        """Bring the sums up to date for an object."""
        entry = self._entries[ref]
        before, now = entry.counted, entry.seen
        for each in entry.held:
            now = largest(now, each.amounts)
        entry.counted = now
        for name in before.keys() | now.keys():
            self._used[name] += now.get(name, 0) - before.get(name, 0)
        if not now and not entry.held:
            del self._entries[ref]


class Ledgers:
    """The ledgers of all tenants.

    terms_of: gives the terms of a tenant.
    """

    def __init__(self, terms_of: Callable[[str], Terms]) -> None:
        self._terms_of = terms_of
        self._by_tenant: dict[str, Ledger] = {}

    def of(self, tenant: str) -> Ledger:
        """Return the ledger of a tenant, with the terms that are in force now."""
        terms = self._terms_of(tenant)
        ledger = self._by_tenant.get(tenant)
        if ledger is None:
            ledger = self._by_tenant[tenant] = Ledger(tenant, terms)
        ledger.terms = terms
        return ledger

    def all(self) -> Sequence[Ledger]:
        """Return the ledgers of the tenants that are known."""
        return list(self._by_tenant.values())

    def forget(self, tenant: str) -> bool:
        """Forget a tenant that has ended, if nothing of it is left; return whether it is not known any more."""
        if tenant in self._by_tenant and not self._by_tenant[tenant].refs:
            del self._by_tenant[tenant]
        return tenant not in self._by_tenant


class Look:
    """A look at an object, from before the engine is asked to what it answered."""

    def __init__(self, ledger: Ledger, ref: Ref, settled: Sequence[Reservation] = ()) -> None:
        self._ledger = ledger
        self._ref = ref
        self._settled = settled

    def saw(self, found: Found) -> None:
        """Note what was found, which ends the reservations of calls that had ended before the look began."""
        self._ledger.recognize(self._ref, found.name)
        self._ledger.note(self._ref, found)
        self._ledger.end(self._settled)
