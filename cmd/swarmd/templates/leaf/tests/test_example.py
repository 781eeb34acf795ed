"""Tests of the backend `example`."""

import re

from swarmlib.testing import Leaf, check_backend
from swarmlib.testing.script import ack, error, expect, ls, set, spawn, subset  # noqa: A004 - the script's own word
from swarmlib_example import Example

LEAF = Leaf(idle={"Cmd": []}, talks={"Cmd": ["one", "two"]}, lines=(b"one", b"two"))


async def test_it_keeps_the_contract() -> None:
    """swarmlib's conformance kit checks the whole contract of a backend."""
    report = await check_backend(Example, leaf=LEAF)
    assert "gives_every_line" in report.passed


async def test_what_is_spawned_is_listed_with_all() -> None:
    """A container that was not started is listed only with `all`."""
    await (
        expect(Example())
        << spawn({"Cmd": ["hello"]})
        >> ack(subset({"Id": re.compile("[0-9a-f]{64}")}))
        << ls()
        >> set([])
        >> ack()
        << ls(all="1")
        >> set([subset({"State": "created"})])
        >> ack()
    )


async def test_what_it_cannot_honour_is_refused_by_name() -> None:
    """No field is ignored."""
    await (expect(Example(most=0)) << spawn({"Cmd": []}) >> error("conflict"))
    await (
        expect(Example())
        << spawn({"Cmd": [], "User": "root"})
        >> error("not_implemented", "a container of example can't have User")
    )
