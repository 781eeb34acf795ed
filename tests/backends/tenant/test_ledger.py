"""The ledger: what calls reserve and what is seen counts once, and never less than what is used."""

from typing import NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from swarmlib import Denied
from swarmlib_backends.tenant.ledger import GONE, Found, Ledger, Look, Ref, Reservation
from swarmlib_backends.tenant.resources import UNLIMITED, Amounts
from swarmlib_backends.tenant.terms import Terms

ONE: Amounts = {"containers": 1}
UP: Amounts = {"containers": 1, "running": 1, "memory": 64}


def ledger(**limits: int) -> Ledger:
    return Ledger("alice", Terms(limits))


def test_a_quota_admits_as_many_as_it_says() -> None:
    books = ledger(containers=3)
    held = [books.create("containers", f"c{n}", ONE) for n in range(3)]
    with pytest.raises(Denied, match="alice is exceeded: containers: 3 in use, 1 more requested, at most 3 allowed"):
        books.create("containers", "c3", ONE)
    held[0].release()
    books.create("containers", "c3", ONE)


def test_sums_of_limits_are_shown_as_people_write_them() -> None:
    books = ledger(memory=2**30, cpus=2 * 10**9)
    books.reserve(("containers", "a"), {"memory": 2**29, "cpus": 15 * 10**8})
    with pytest.raises(Denied, match="memory: 512MiB in use, 768MiB more requested, at most 1GiB allowed"):
        books.reserve(("containers", "b"), {"memory": 3 * 2**28})
    with pytest.raises(Denied, match=r"cpus: 1\.5 in use, no limit more requested, at most 2 allowed"):
        books.reserve(("containers", "b"), {"cpus": UNLIMITED})


def test_two_starts_of_one_container_count_once() -> None:
    books = ledger(running=1)
    books.note(("containers", "a"), Found("alice", "a", ONE))
    first, second = (books.reserve(("containers", "a"), UP) for _ in range(2))
    assert books.used["running"] == 1
    first.release()
    assert books.used["running"] == 1
    second.release()
    assert (books.used["running"], books.used["containers"]) == (0, 1)


def test_what_was_created_counts_until_a_look_that_began_afterwards() -> None:
    books = ledger(containers=5)
    made = books.create("containers", "alice.web", ONE)
    before = books.look(("containers", "id"))
    made.settle(("containers", "id"))
    before.saw(GONE)
    assert books.used["containers"] == 1
    books.look(("containers", "id")).saw(GONE)
    assert (books.used["containers"], books.refs) == (0, [])


def test_an_object_that_is_seen_before_the_answer_is_recognized_by_its_name() -> None:
    books = ledger(containers=5)
    made = books.create("containers", "alice.web", ONE)
    books.look(("containers", "id")).saw(Found("alice", "alice.web", ONE))
    assert books.used["containers"] == 1
    made.settle(("containers", "id"))
    books.look(("containers", "id")).saw(Found("alice", "alice.web", ONE))
    assert books.used["containers"] == 1
    books.look(("containers", "other")).saw(Found("alice", "alice.web", ONE))
    assert books.used["containers"] == 2


def test_if_more_is_there_than_the_quota_allows_nothing_is_added() -> None:
    books = ledger(containers=1)
    for id in "abc":
        books.note(("containers", id), Found("alice", id, ONE))
    with pytest.raises(Denied, match="3 in use"):
        books.create("containers", "", ONE)
    books.reserve(("containers", "a"), UP)  # which adds no container


LIMITS: Amounts = {"containers": 4, "running": 2, "memory": 100}
AMOUNTS = st.sampled_from([ONE, {**UP, "memory": 10}, {**UP, "memory": 60}, {**UP, "memory": 100}])


class Call(NamedTuple):
    """A call under way: None for one that was not admitted."""

    reservation: Reservation | None = None
    id: str = ""
    """The container that it starts; "" for a new one."""
    amounts: Amounts = ONE


class Seen(NamedTuple):
    """A look under way, and what there was when it began."""

    ref: Ref
    look: Look
    before: Amounts


class Books(RuleBasedStateMachine):
    """An engine's containers, calls that create and start them, looks at them, and what happens behind our back."""

    calls = Bundle("calls")
    looks = Bundle("looks")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger("alice", Terms(LIMITS))
        self.real: dict[str, Amounts] = {}
        self.unknown = set[str]()
        """The containers that came to use more behind our back, since they were last looked at."""
        self.looked_at = set[Ref]()
        self.made = 0

    def new_id(self) -> str:
        self.made += 1
        return f"id{self.made}"

    @rule(target=calls, name=st.sampled_from(["web", "db", ""]))
    def begin_create(self, name: str) -> Call:
        try:
            return Call(self.ledger.create("containers", name, ONE))
        except Denied:
            assert self.ledger.used["containers"] >= LIMITS["containers"]
            return Call()

    @rule(target=calls, data=st.data(), amounts=AMOUNTS)
    def begin_start(self, data: st.DataObject, amounts: Amounts) -> Call:
        id = data.draw(st.sampled_from([*sorted(self.real), "id0"]))
        try:
            return Call(self.ledger.reserve(("containers", id), amounts), id, amounts)
        except Denied:
            return Call()

    @rule(call=consumes(calls), works=st.booleans())
    def end_call(self, call: Call, works: bool) -> None:
        if call.reservation is None:
            return
        if call.id:
            if works and call.id in self.real:
                self.real[call.id] = call.amounts
            call.reservation.settle(call.reservation.ref)
        elif works:
            self.real[id := self.new_id()] = ONE
            call.reservation.settle(("containers", id))
        else:
            call.reservation.release()

    @rule(target=looks, data=st.data())
    def begin_look(self, data: st.DataObject) -> Seen:
        refs = {*self.ledger.refs, *(("containers", id) for id in self.real), ("containers", "id0")}
        ref = data.draw(st.sampled_from(sorted(refs - self.looked_at) or [("containers", "none")]))
        self.looked_at.add(ref)
        return Seen(ref, self.ledger.look(ref), self.real.get(ref[1], {}))

    @rule(seen=consumes(looks), late=st.booleans())
    def end_look(self, seen: Seen, late: bool) -> None:
        now = self.real.get(seen.ref[1], {})
        if late or now == seen.before:
            self.unknown.discard(seen.ref[1])
        seen.look.saw(Found("alice", "web", now if late else seen.before))
        self.looked_at.discard(seen.ref)

    @rule(data=st.data(), amounts=AMOUNTS)
    def change_behind_our_back(self, data: st.DataObject, amounts: Amounts) -> None:
        id = data.draw(st.sampled_from([*sorted(self.real), "new"]))
        id = self.new_id() if id == "new" else id
        self.real[id] = amounts
        self.unknown.add(id)

    @rule(data=st.data(), remove=st.booleans())
    def stop_or_remove(self, data: st.DataObject, remove: bool) -> None:
        id = data.draw(st.sampled_from([*sorted(self.real), "id0"]))
        if remove:
            self.real.pop(id, None)
            self.unknown.discard(id)
        elif id in self.real:
            self.real[id] = ONE

    @invariant()
    def never_less_is_counted_than_is_used(self) -> None:
        known = [amounts for id, amounts in self.real.items() if id not in self.unknown]
        for name in LIMITS:
            assert self.ledger.used[name] >= sum(each.get(name, 0) for each in known)

    @invariant()
    def the_sums_are_those_of_the_objects(self) -> None:
        if not self.ledger.refs:
            assert not any(self.ledger.used.values())


TestBooks = Books.TestCase
