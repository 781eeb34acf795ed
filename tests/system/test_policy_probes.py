"""The study's probes against the two policies of their own, on real engines: nothing gets through, nothing is lost."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Chain, connect
from tests.support.engines import Engine, engine
from tests.support.paths import DATA
from tests.support.policy_probes import OK, PROBES, Outcome, run
from tests.support.policy_world import World

pytestmark = pytest.mark.engine
SHARE = 7
"""Of the other ways to a policy, each gets every seventh probe."""


@pytest.fixture(scope="module")
def two() -> Iterator[list[Engine]]:
    with engine() as first, engine() as second:
        yield [first, second]
        for each in (first, second):
            each.kill()  # to end it would take as long as its containers take to be stopped


@asynccontextmanager
async def world(engines: list[Engine], folder: Path) -> AsyncGenerator[World]:
    """Both tenants' objects, on the first engine."""
    hosts = [each.host for each in engines]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(f"docker {host}")) for host in hosts]
        made = World(hosts, clients, folder / "srv")
        await made.make()
        yield made


async def outcomes(made: World, probes: list[dict[str, Any]], address: str) -> list[Outcome]:
    """What came of the probes that did not end as they must."""
    found = [await run(probe, number, made, address) for number, probe in enumerate(probes)]
    return [each for each in found if each.result != OK]


def about(policy: str, *, step: int = 1) -> list[dict[str, Any]]:
    return [each for each in PROBES if each["policy"] == policy][::step]


def guard(policy: str) -> str:
    return f"policy {DATA}/policy/{policy}.toml"


@pytest.mark.parametrize("policy", ["reader", "sandbox"])
async def test_no_probe_gets_through_and_none_is_lost(
    policy: str, two: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRV", str(tmp_path / "srv"))
    socket = f"{tmp_path}/docker.sock"
    async with (
        world(two[:1], tmp_path) as made,
        Chain(f"dockerserver unix://{socket}", guard(policy), f"docker {two[0].host}").open(),
    ):
        assert await outcomes(made, about(policy), socket) == []


async def test_a_peer_of_the_wire_gets_no_further(
    two: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRV", str(tmp_path / "srv"))
    socket, wire = f"{tmp_path}/docker.sock", f"unix://{tmp_path}/wire.sock"
    async with (
        world(two[:1], tmp_path) as made,
        Chain(f"listen {wire}", guard("sandbox"), f"docker {two[0].host}").open(),
        Chain(f"dockerserver unix://{socket}", f"remote {wire}").open(),
    ):
        assert await outcomes(made, about("sandbox", step=SHARE), socket) == []


async def test_two_engines_are_guarded_as_one(
    two: list[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRV", str(tmp_path / "srv"))
    socket = f"{tmp_path}/docker.sock"
    members = " ".join(f"(docker {each.host})" for each in two)
    async with (
        world(two, tmp_path) as made,
        Chain(f"dockerserver unix://{socket}", guard("sandbox"), f"balance {members}").open(),
    ):
        assert await outcomes(made, about("sandbox", step=SHARE), socket) == []
