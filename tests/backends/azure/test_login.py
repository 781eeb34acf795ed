"""Who the backend is to Azure: the sources of credentials, by name, and the subscription that they choose."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from swarmlib import BadAnswer, Denied, Invalid
from swarmlib_backends.azure.client import connected
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from swarmlib_backends.azure.fakearm.subscriptions import Subscription
from tests.support.azure.az import Az
from tests.support.azure.backend import azure

OTHER = "7d0b1c52-5d0b-4f8f-8e2f-1f6d3f0f7a11"


@pytest.fixture
def nobody(led: FakeArm, monkeypatch: pytest.MonkeyPatch) -> FakeArm:
    """No service principal in the environment, no managed identity, and no Azure CLI."""
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    monkeypatch.delenv("AZURE_CLIENT_ID")
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", led.url)
    monkeypatch.setenv("PATH", "/nowhere")
    led.tokens.identity = False
    return led


@pytest.fixture
def az(nobody: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Az:
    """An Azure CLI that somebody is logged in to, with the fake's subscription as its default."""
    found = Az(tmp_path, monkeypatch)
    token, subscription = nobody.tokens.issue(), nobody.state.subscription
    found.knows(token, {subscription: token}, default=subscription)
    return found


async def works() -> bool:
    """Whether Azure answers to the backend."""
    async with azure() as swarm:
        return await swarm.ls() == []


# The sources.


async def test_the_managed_identity_is_used_where_there_is_one(nobody: FakeArm) -> None:
    nobody.tokens.identity = True
    assert await works()


@pytest.mark.parametrize("status", [404, 410, 429, 503])
async def test_a_managed_identity_that_answers_later_is_waited_for(nobody: FakeArm, status: int) -> None:
    nobody.tokens.identity = True
    nobody.faults.add(Fault("fail", "GET", "/metadata/*", status=status, times=2, retry_after=0.01))
    assert await works()
    assert sum("/metadata/" in each for each in nobody.asked) == 3


async def test_a_managed_identity_whose_endpoint_does_not_answer_is_none(
    nobody: FakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmlib_backends.azure.credentials._IDENTITY_SECONDS", 0.1)
    nobody.faults.add(Fault("hang", "GET", "/metadata/*"))
    with pytest.raises(Denied, match=r"managed identity: its endpoint did not answer within 0\.1 s"):
        await works()


async def test_a_workloads_own_token_is_exchanged(
    nobody: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("a.pods.token")
    monkeypatch.setenv("AZURE_CLIENT_ID", nobody.tokens.client_id)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    with pytest.raises(Denied, match="AADSTS50027"):
        await works()
    nobody.tokens.assertions.federated = {"a.pods.token"}
    assert await works()
    assert not any("/metadata/" in each for each in nobody.asked)
    file.unlink()
    with pytest.raises(Invalid, match=f"can't log in to Azure by the workload identity: .*{file}"):
        await works()


def certificate() -> tuple[x509.Certificate, bytes]:
    """A new certificate, and its file with the key."""
    key = rsa.generate_private_key(65537, 2048)
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ci")]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    made = builder.sign(key, hashes.SHA256())
    return made, made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


async def test_a_service_principal_may_have_a_certificate(
    led: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(tmp_path / "client.pem"))
    with pytest.raises(Invalid, match=r"can't log in to Azure by the environment: .*client\.pem"):
        await works()
    made, pem = certificate()
    (tmp_path / "client.pem").write_bytes(pem)
    with pytest.raises(Denied, match=r"AADSTS700027.*not registered"):
        await works()
    led.tokens.assertions.certificates = [made]
    assert await works()


async def test_the_sources_can_be_chosen_by_the_sdks_names(
    az: Az, nobody: FakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody.tokens.identity = True
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "dev")
    assert await works()
    assert az.asked
    assert not any("/metadata/" in each for each in nobody.asked)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    with pytest.raises(Denied, match=r"\(environment: AZURE_TENANT_ID, [^;]* are not set\)"):
        await works()
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "magic")
    with pytest.raises(Invalid, match="invalid AZURE_TOKEN_CREDENTIALS 'magic': expected one of prod, dev, Env"):
        await works()


async def test_without_any_credentials_it_is_said_what_to_do(nobody: FakeArm) -> None:
    said = r"nobody is logged in.*environment: .*workload identity: .*managed identity: .*Azure CLI: .*az login"
    with pytest.raises(Denied, match=said):
        await works()


async def test_a_refused_secret_is_told_with_entras_own_code(led: FakeArm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    with pytest.raises(Denied, match="AADSTS7000215"):
        await works()


# The Azure CLI's login, and the default subscription.


async def test_a_login_by_the_azure_cli_makes_no_noise(az: Az, caplog: pytest.LogCaptureFixture) -> None:
    assert await works()
    assert az.asked
    assert [each for each in caplog.records if each.name.startswith("azure.")] == []


async def test_the_azure_cli_is_asked_for_the_tenant_of_the_subscription(az: Az, nobody: FakeArm) -> None:
    subscription, elsewhere = nobody.state.subscription, "c1b2f2f0-3a55-4f4e-9b50-21a1c6d3a1b7"
    nobody.subscriptions.known[subscription] = Subscription(elsewhere)
    default = nobody.tokens.issue()
    az.knows(default, {subscription: nobody.tokens.issue(tenant=elsewhere)}, default=OTHER)
    assert await works()
    assert all(each.endswith(f"--subscription {subscription}") for each in az.asked)


async def test_a_token_of_another_tenant_is_told_with_what_helps(led: FakeArm) -> None:
    led.subscriptions.known[led.state.subscription] = Subscription("c1b2f2f0-3a55-4f4e-9b50-21a1c6d3a1b7")
    with pytest.raises(Denied, match=r"c1b2f2f0-3a55.*What to do: log in to the tenant.*az login --tenant"):
        await works()


async def test_the_default_subscription_is_the_azure_clis(
    az: Az, nobody: FakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID")
    subscription = nobody.state.subscription
    nobody.subscriptions.known[OTHER] = Subscription(nobody.tokens.tenant)
    async with connected() as arm:
        assert arm.subscription == subscription
    token = nobody.tokens.issue()
    az.knows(token, {}, default=subscription, cloud="AzureUSGovernment")
    monkeypatch.delenv("AZURE_RESOURCE_MANAGER")
    with pytest.raises(Invalid, match=r"az is logged in to AzureUSGovernment.*: give --cloud AzureUSGovernment"):
        await works()
    (Path(os.environ["PATH"].partition(":")[0]) / "account").write_text("[]")
    with pytest.raises(BadAnswer, match="az gave a malformed answer to account show"):
        await works()


async def test_the_only_usable_subscription_is_the_default(led: FakeArm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID")
    tenant = led.tokens.tenant
    led.subscriptions.known[OTHER] = Subscription(tenant, state="Disabled")
    async with connected() as arm:
        assert arm.subscription == led.state.subscription
    led.subscriptions.known[OTHER] = Subscription(tenant, "test")
    with pytest.raises(Invalid, match=rf"give --subscription.*{led.state.subscription} \(fake\), {OTHER} \(test\)"):
        await works()
