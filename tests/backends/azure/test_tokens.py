"""The real azure-identity gets its tokens from the fake, under trio, and ARM takes no others."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    ClientSecretCredential,
    CredentialUnavailableError,
    EnvironmentCredential,
    ManagedIdentityCredential,
)
from azure.identity.aio import ClientSecretCredential as AsyncClientSecretCredential
from azure.identity.aio import ManagedIdentityCredential as AsyncManagedIdentityCredential
from azure.mgmt.resource.resources.aio import ResourceManagementClient

from swarmlib_backends.azure.fakearm import FakeArm
from swarmlib_backends.azure.transport import HttpxTransport

SCOPE = "https://management.azure.com/.default"


Set = Callable[[dict[str, str]], None]


@pytest.fixture
def environment(arm: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Set:
    """Sets variables, after all of Azure's were removed; the fake's certificate is trusted."""
    for name in [each for each in os.environ if each.startswith(("AZURE_", "IDENTITY_", "MSI_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "ca.pem").write_bytes(arm.ca)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))

    def set(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set


async def token(credential: Any) -> str:
    """What a synchronous credential gets, off the event loop."""
    got = await trio.to_thread.run_sync(lambda: credential.get_token(SCOPE))
    return str(got.token)


async def test_a_client_secret_of_the_environment(arm: FakeArm, environment: Set) -> None:
    environment(arm.environment())
    assert arm.tokens.good(await token(EnvironmentCredential(disable_instance_discovery=True)))


async def test_a_client_secret_by_the_asynchronous_credential_on_our_transport(arm: FakeArm) -> None:
    tokens, transport = arm.tokens, HttpxTransport(verify=arm.tls)
    secret = (tokens.tenant, tokens.client_id, tokens.secret)
    credential = AsyncClientSecretCredential(*secret, authority=arm.url, transport=transport)
    options: dict[str, Any] = {"base_url": arm.url, "transport": transport}
    async with transport:
        client = ResourceManagementClient(credential, arm.state.subscription, **options)
        assert [each async for each in client.resource_groups.list()] == []


async def test_a_managed_identity_of_a_machine(arm: FakeArm, environment: Set) -> None:
    environment(arm.tokens.managed_identity(arm.url))
    assert arm.tokens.good(await token(ManagedIdentityCredential()))
    async with HttpxTransport(verify=arm.tls) as transport:
        credential = AsyncManagedIdentityCredential(transport=transport)
        assert arm.tokens.good((await credential.get_token(SCOPE)).token)


async def test_a_managed_identity_of_the_app_service(arm: FakeArm, environment: Set) -> None:
    environment(arm.tokens.managed_identity(arm.url, app_service=True))
    assert arm.tokens.good(await token(ManagedIdentityCredential()))


async def test_no_managed_identity_is_said(arm: FakeArm, environment: Set) -> None:
    environment(arm.tokens.managed_identity(arm.url))
    arm.tokens.identity = False
    with pytest.raises(CredentialUnavailableError, match=r"Identity not found|no managed identity"):
        await token(ManagedIdentityCredential())


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"client_secret": "x"}, "AADSTS7000215"),
        ({"client_id": "11111111-1111-1111-1111-111111111111"}, "AADSTS700016"),
        ({"tenant_id": "11111111-1111-1111-1111-111111111111"}, "AADSTS90002"),
    ],
)
async def test_a_wrong_secret_client_or_tenant_is_refused_with_entras_own_code(
    arm: FakeArm, environment: Set, wrong: dict[str, str], code: str
) -> None:
    environment({})
    tokens = arm.tokens
    right = {"tenant_id": tokens.tenant, "client_id": tokens.client_id, "client_secret": tokens.secret}
    host = {"authority": arm.url, "disable_instance_discovery": True}
    with pytest.raises(ClientAuthenticationError, match=code):
        await token(ClientSecretCredential(**{**right, **wrong}, **host))  # type: ignore[arg-type]


async def test_arm_takes_no_token_that_is_missing_made_up_or_too_old(arm: FakeArm) -> None:
    url = f"{arm.url}/subscriptions/{arm.state.subscription}/resourcegroups?api-version=2024-11-01"
    async with httpx.AsyncClient(verify=arm.tls) as client:

        async def code(headers: dict[str, str]) -> tuple[int, str]:
            answer = await client.get(url, headers=headers)
            return answer.status_code, answer.json().get("error", {}).get("code", "")

        assert await code({}) == (401, "AuthenticationFailed")
        assert await code({"Authorization": "Bearer made.up"}) == (401, "InvalidAuthenticationToken")
        old = arm.tokens.issue(seconds=-1)
        assert await code({"Authorization": f"Bearer {old}"}) == (401, "ExpiredAuthenticationToken")
        assert await code({"Authorization": f"Bearer {arm.tokens.issue()}"}) == (200, "")
