"""The file of tenants: what it says, and the mistakes that it can have."""

import re
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from swarmlib import Chain, Denied, Invalid
from swarmlib_backends.policy.demands import Demand
from swarmlib_backends.simulator import Simulator
from swarmlib_backends.tenant.tenants import parse
from tests.support.paths import ROOT
from tests.support.tenants import tenants

GUIDE = (ROOT / "docs" / "tenants.md").read_text("utf-8")
CLIENTS = "[clients.a]\nusers = [1]\n"
X = '[tenant.x]\nclients = ["a"]\n'


def test_the_file_of_the_guide() -> None:
    text, terms = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    found = parse(text, "tenants.toml")
    assert (found.of("uid:1001").name, found.of("cert:agent-7").name) == ("alice", "bob")
    assert found.of("uid:1001").is_shared("ghcr.io/team/app:1")
    assert not found.of("uid:1001").is_shared("ghcr.io/other/app:1")
    assert found.of("cert:agent-7").allows(Demand("capabilities", "NET_ADMIN", ""))
    with pytest.raises(Denied, match="uid:7 is no client of a tenant"):
        found.of("uid:7")
    found = parse(terms, "tenants.toml")
    alice = found.by_name["alice"].terms
    assert (alice.limits["memory"], alice.limits["cpus"], alice.defaults["memory"]) == (2**33, 4 * 10**9, 2**28)
    assert (alice.ports, alice.address, alice.egress) == (range(20000, 20100), "127.0.0.1", False)
    assert found.lease is not None
    assert found.lease.terms.limits["containers"] == 20


@pytest.mark.parametrize("image", ["tenant.invalid/bob/app", "tenant.invalid/bob/app:1", "<none>:<none>", "no image"])
def test_not_even_everything_shares_what_is_a_tenants_own(image: str) -> None:
    assert (
        not parse('[tenant.a]\nsocket = "/s"\nimages = ["**", "tenant.invalid/**"]\n', "x")
        .by_name["a"]
        .is_shared(image)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CLIENTS, "f:1: the file requires a tenant"),
        ("[tenant.Alice]\n", "f:1: invalid tenant 'Alice': expected 1 to 32 of a-z, 0-9 and -"),
        (f"[tenant.{'a' * 33}]\n", "f:1: invalid tenant"),
        ('[tenant."a.b"]\n', "invalid tenant 'a.b'"),
        ('[tenant.a]\nclients = ["b"]\n', r"f:2: unknown client 'b': define it as \[clients.b\]"),
        (CLIENTS + '[tenant.a]\nclient = ["a"]\n', "f:4: unknown key 'client'; did you mean 'clients'"),
        ("[tenant.a.container]\nbind = []\n", "f:2: unknown key 'bind'"),
        ('[tenant.a]\nimages = ["A B"]\n', "f:2: images: invalid reference format"),
        ('[clients.c]\ncontainers = ["web"]\n[tenant.a]\nclients = ["c"]\n', "f:4: client 'c': a tenant's containers"),
        ('[tenant.a]\nimages = ["**"]\n', "f:1: nobody can act for tenant 'a': give it clients or a socket"),
        (f'{CLIENTS}{X}[tenant.y]\nclients = ["a"]\n', "f:5: client 'a' is one of the tenant 'x' already"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        parse(text, "f")


async def test_the_file_is_read_again_and_a_bad_one_changes_nothing(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def said(words: str) -> None:
        while words not in caplog.text:  # noqa: ASYNC110 - the log tells nobody
            await trio.sleep(1)

    text = CLIENTS + X
    async with Chain(Simulator()).open() as engine, tenants(engine, tmp_path, text) as (client, _):
        assert (await client.get())["Name"] == "x"
        (tmp_path / "tenants.toml").write_text(text.replace("tenant.x", "tenant.y"))
        await said("have been read again")
        assert (await client.get())["Name"] == "y"
        (tmp_path / "tenants.toml").write_text("[tenant.Z]")
        await said("the tenants are unchanged: ")
        assert (await client.get())["Name"] == "y"
