"""The clouds, as they are reached from an organization's network: by its proxy, and under certificates of its own."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from azure.core.exceptions import ServiceRequestError
from azure.core.rest import HttpRequest

from swarmlib import Chain, ChainSyntaxError, Invalid
from swarmlib_backends.azure.client import connected
from swarmlib_backends.azure.cloud import chosen
from swarmlib_backends.azure.fakearm import FakeArm
from swarmlib_backends.azure.transport import HttpxTransport
from tests.support.azure.backend import azure
from tests.support.azure.proxy import Proxy, SecuredProxy, SocksProxy, proxying

HOSTS = {
    "AzureCloud": ("management.azure.com", "login.microsoftonline.com"),
    "AzureUSGovernment": ("management.usgovcloudapi.net", "login.microsoftonline.us"),
    "AzureChinaCloud": ("management.chinacloudapi.cn", "login.chinacloudapi.cn"),
}


@pytest.fixture
async def proxy(led: FakeArm, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """The only way out, by which the fake answers to every name."""
    for name in ("AZURE_RESOURCE_MANAGER", "AZURE_AUTHORITY_HOST", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with proxying(led) as running:
        monkeypatch.setenv("HTTPS_PROXY", running.url)
        yield running


@pytest.mark.parametrize("cloud", HOSTS)
async def test_each_cloud_has_its_own_hosts_and_tokens(proxy: Proxy, cloud: str) -> None:
    async with azure(cloud=cloud, location="usgovvirginia") as swarm:
        assert await swarm.ls() == []
    assert {each.removesuffix(":443") for each in proxy.asked} == {*HOSTS[cloud]}


async def test_the_endpoint_of_managed_identities_is_reached_by_no_proxy(
    led: FakeArm, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = led.url.rpartition(":")[2]
    monkeypatch.setattr("swarmlib_backends.azure.transport._METADATA", "127.0.0.1")
    async with HttpxTransport() as transport:
        await transport.send(HttpRequest("GET", f"https://127.0.0.1:{port}/metadata"))
        assert proxy.asked == []
        await transport.send(HttpRequest("GET", f"https://localhost:{port}/metadata"))
        assert proxy.asked == [f"localhost:{port}"]


async def ask() -> None:
    """Ask a server whose name only a proxy knows; any answer will do, or that its certificate is another one's."""
    async with HttpxTransport() as transport:
        try:
            await transport.send(HttpRequest("GET", "https://management.azure.test/"))
        except ServiceRequestError as exc:
            if "Hostname mismatch" not in str(exc):
                raise


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("kind", [Proxy, SecuredProxy, SocksProxy], ids=lambda kind: kind.scheme)
async def test_a_proxy_may_be_reached_by_tls_and_may_be_one_of_socks(
    led: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Proxy], variable: str
) -> None:
    for name in ("AZURE_RESOURCE_MANAGER", "AZURE_AUTHORITY_HOST", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with proxying(led, kind) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        if proxy.ca:
            with pytest.raises(ServiceRequestError, match="CERTIFICATE_VERIFY_FAILED"):
                await ask()
        with (tmp_path / "ca.pem").open("ab") as bundle:
            bundle.write(proxy.ca)
        await connect()
        assert {*proxy.asked} == {f"{host}:443" for host in HOSTS["AzureCloud"]}
        proxy.asked.clear()
        await ask()
        assert [*proxy.asked] == ["management.azure.test:443"]
        proxy.asked.clear()
        for excepted in ("*", "azure.test"):
            monkeypatch.setenv("NO_PROXY", excepted)
            with pytest.raises(ServiceRequestError, match=r"can't connect to management\.azure\.test"):
                await ask()
        assert proxy.asked == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
async def test_the_authority_of_the_proxy_is_trusted_by_a_file(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ServiceRequestError, match="CERTIFICATE_VERIFY_FAILED"):
        await ask()
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    await connect()


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"])
async def test_the_authority_of_the_proxy_is_trusted_by_a_folder(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    folder = tmp_path / "authorities"
    folder.mkdir()
    shutil.copy(tmp_path / "ca.pem", folder)
    await trio.run_process(["openssl", "rehash", str(folder)])
    monkeypatch.setenv(variable, str(folder))
    await connect()


async def connect() -> None:
    """Ask the cloud whether there is a group."""
    async with connected() as arm:
        assert await arm.group("none") is None


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
async def test_certificates_that_can_not_be_read_are_named(
    led: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "missing.pem"))
    with pytest.raises(Invalid, match=rf"can't read the certificates of {variable}=.*missing\.pem: No such file"):
        await connect()


async def test_a_proxy_that_is_none_is_named_without_its_password(
    led: FakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://me:secret@proxy:70")
    with pytest.raises(Invalid, match=r"HTTPS_PROXY.* is no proxy: expected http://HOST:PORT") as caught:
        await connect()
    assert "secret" not in str(caught.value)


def test_a_cloud_can_be_named_in_one_way_only() -> None:
    with pytest.raises(ChainSyntaxError, match="--cloud AzureChinaCloud requires --location: westeurope is not one"):
        Chain.read("azure --cloud AzureChinaCloud")
    with pytest.raises(ChainSyntaxError, match="--cloud AzureChinaCloud requires --location"):
        Chain.read("aci --cloud AzureChinaCloud")
    assert chosen("AzureCloud", {"AZURE_RESOURCE_MANAGER": "https://hub/"}).scope == "https://hub/.default"
    with pytest.raises(Invalid, match="--cloud AzureChinaCloud and AZURE_RESOURCE_MANAGER can't be used together"):
        chosen("AzureChinaCloud", {"AZURE_RESOURCE_MANAGER": "https://hub"})
    for wrong in ("hub:8443", "http://hub", "https://", "https://hub/path"):
        with pytest.raises(Invalid, match=f"invalid AZURE_RESOURCE_MANAGER '{wrong}': expected https://HOST"):
            chosen("AzureCloud", {"AZURE_RESOURCE_MANAGER": wrong})
