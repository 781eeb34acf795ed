"""The stage `tenant` over a simulated engine: names of one's own, and nothing of the others."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Chain, Client, Denied, NotFound
from swarmlib_backends.simulator import Simulator
from tests.support.tenants import tenants

SLEEPS: dict[str, Any] = {"Image": "busybox", "Cmd": ["sleep", "1000"]}


@asynccontextmanager
async def world(folder: Path) -> AsyncGenerator[tuple[Client, Client, Client]]:
    """Clients of alice, of bob, and of the engine behind them."""
    async with Chain(Simulator()).open() as engine, tenants(engine, folder) as (alice, bob):
        yield alice, bob, Client(engine)


async def test_two_tenants_have_a_container_of_one_name(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        one = await alice.spawn(SLEEPS, name="web")
        two = await bob.spawn(SLEEPS, name="web")
        assert one.id != two.id
        for tenant, made in ((alice, one), (bob, two)):
            found = await tenant.get("containers", "web")
            assert (found["Id"], found["Name"]) == (made.id, "/web")
            assert [each["Names"] for each in await tenant.ls(all=True)] == [["/web"]]
        assert {each["Names"][0] for each in await engine.ls(all=True)} == {"/alice.web", "/bob.web"}


async def test_what_another_has_is_as_if_it_did_not_exist(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, _):
        made = await bob.spawn(SLEEPS, name="theirs")
        for ref in ("theirs", "bob.theirs", made.id, made.id[:12], "nosuch"):
            with pytest.raises(NotFound) as caught:
                await alice.get("containers", ref)
            assert caught.value.message == f"No such container: {ref}"


async def test_what_is_not_mapped_is_denied(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, _, _):
        with pytest.raises(Denied, match="PluginList is not for tenants"):
            await alice.ls("plugins")
