"""Runs in fake clusters whose kubelets tell late in a Pod's status that a container has started."""

import pytest
import trio

from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import gateway, limited

pytestmark = pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)
SHELL = ["sh", "-c"]


async def test_a_run_begins_and_ends_before_the_status_would_tell_its_start(place: Place) -> None:
    assert place.fake is not None
    place.fake.kubelets.look_seconds = 1000
    async with gateway(place) as client, client.watch(filters={"container": "short"}) as events:
        with trio.fail_after(20):
            ran = await client.run("busybox:1", ["echo hello; exit 3"], name="short", Entrypoint=SHELL)
            told = [(await anext(events))["Action"] for _ in range(5)]
    assert (ran.stdout, ran.exit_code) == (b"hello\n", 3)
    assert told == ["create", "attach", "start", "die", "destroy"]


async def test_an_account_that_may_not_follow_events_waits_for_the_status(place: Place) -> None:
    async with gateway(limited(place, lacking="Event")) as client:
        with trio.fail_after(20):
            ran = await client.run("busybox:1", ["echo hello"], Entrypoint=SHELL)
    assert (ran.stdout, ran.exit_code) == (b"hello\n", 0)


async def test_the_events_of_a_pod_are_followed_once_for_all_that_waits_for_its_gate(place: Place) -> None:
    assert place.fake is not None
    place.fake.kubelets.look_seconds = 1000
    async with gateway(place) as client:
        with trio.fail_after(20):
            ran = await client.run("busybox:1", ["echo hello"], Entrypoint=SHELL)  # an attach, and then a start
    assert (ran.stdout, ran.exit_code) == (b"hello\n", 0)
    assert len([each for each in place.fake.asked if each.endswith("/events")]) == 1
