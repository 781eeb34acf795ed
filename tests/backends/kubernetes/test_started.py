"""Runs in fake clusters whose kubelets tell late in a Pod's status that a container has started."""

import json
from dataclasses import replace

import pytest
import trio

from swarmlib_backends.kubernetes.api.rights import ROLE
from swarmlib_backends.kubernetes.fakecluster import Rule, User
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import gateway

pytestmark = pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)
SHELL = ["sh", "-c"]


def without_events(place: Place) -> Place:
    """The place for an account that may not follow events."""
    assert place.fake is not None
    rules = [
        Rule([each.name], list(each.verbs), [each.resource.group]) for each in ROLE if each.resource.kind != "Event"
    ]
    token = place.fake.add_user(User("limited", rules, place.namespace))
    file = place.kubeconfig.with_name("limited")
    file.write_text(json.dumps(place.fake.kubeconfig(token, place.namespace)))
    return replace(place, kubeconfig=file)


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
    async with gateway(without_events(place)) as client:
        with trio.fail_after(20):
            ran = await client.run("busybox:1", ["echo hello"], Entrypoint=SHELL)
    assert (ran.stdout, ran.exit_code) == (b"hello\n", 0)
