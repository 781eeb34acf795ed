"""Tests of the backend `example`."""

import pytest
from swarmlib import Chain, ChainSyntaxError
from swarmlib.testing import Reference, check_backend
from swarmlib.testing.script import ack, expect, get, set, spawn, subset  # noqa: A004 - the script's own word
from swarmlib_example import Example


async def test_it_keeps_the_contract() -> None:
    """swarmlib's conformance kit checks the whole contract of a backend."""
    await check_backend(Example)


async def test_what_is_spawned_gets_the_label() -> None:
    """What reaches the stage behind it has the label."""
    labelled = subset({"Config": subset({"Labels": {"a": "b", "tier": "web"}})})
    chain = Chain(Example("tier=web"), Reference())
    await (
        expect(chain)
        << spawn({"Image": "idle", "Labels": {"a": "b"}}, name="box")
        >> ack()
        << get("containers", "box")
        >> set(labelled)
        >> ack()
    )


def test_a_wrong_label_is_refused() -> None:
    """A chain with a wrong label is refused where it is read; this needs the package installed."""
    with pytest.raises(ChainSyntaxError, match="expected NAME=VALUE"):
        Chain.read("example --label tier | exec")
