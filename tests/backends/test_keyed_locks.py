"""Locks by key: they are taken in one order, and kept only while a task needs them."""

import trio
from trio.testing import wait_all_tasks_blocked

from swarmlib_backends.keyed_locks import KeyedLocks


async def test_whoever_needs_two_locks_gets_them_whatever_order_they_are_named_in() -> None:
    locks, held = KeyedLocks[str](), list[str]()

    async def hold(name: str, *keys: str) -> None:
        async with locks.of(*keys):
            held.append(name)
            await wait_all_tasks_blocked()
            held.append(name)

    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold, "first", "a", "b", "a")
            nursery.start_soon(hold, "second", "b", "a")
            nursery.start_soon(hold, "third", "c")
    one, again, other, last = (name for name in held if name != "third")
    assert one == again != other == last
    assert held[:2] != ["first", "first"]  # nobody waits for the third, which has another key
    async with locks.of("a", "b", "c"):
        pass
