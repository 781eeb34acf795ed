"""Tests of the backend `example`."""

import pytest
import trio
from swarmlib import Chain, Invalid, Unavailable
from swarmlib.testing import Reference, check_backend
from swarmlib_example import Example
from trio.testing import MockClock


async def test_it_keeps_the_contract() -> None:
    """swarmlib's conformance kit checks the whole contract of a backend."""
    report = await check_backend(Example)
    assert "a_source_speaks_and_closes_under_load" in report.passed


async def test_what_has_ended_is_started_again(autojump_clock: MockClock) -> None:
    """It checks again at each interval; no real time passes here."""
    leaf = Reference()
    job = leaf.add("job")
    async with Chain(Example(interval=60), leaf).open():
        for _ in range(3):
            job.end()
            with trio.fail_after(61):
                await leaf.until(lambda: job.status == "running")


async def test_a_stage_that_fails_is_asked_again(autojump_clock: MockClock) -> None:
    """A failure of the next stage does not end it."""
    leaf = Reference()
    job = leaf.add("job")
    leaf.trouble(job.id, Unavailable("it is down"))
    async with Chain(Example(interval=60), leaf).open():
        job.end()
        await trio.sleep(200)
        leaf.trouble(job.id, None)
        with trio.fail_after(61):
            await leaf.until(lambda: job.status == "running")


def test_an_interval_that_makes_no_sense_is_refused() -> None:
    """Arguments are checked when the chain is read."""
    with pytest.raises(Invalid, match="more than 0 seconds"):
        Example(interval=0)
