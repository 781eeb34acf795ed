"""The credentials for Azure: a service principal of the environment, a managed identity, or the Azure CLI's login."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import trio
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import AzureCliCredential, CredentialUnavailableError
from azure.identity.aio import EnvironmentCredential, ManagedIdentityCredential

from swarmlib import Denied

logging.getLogger("azure.identity").setLevel(logging.ERROR)  # each source that has no token would be a warning

_IDENTITY_SECONDS: Final = 3.0
"""How long the endpoint of managed identities may take: on a machine without one, the request gets no answer at all."""
_LOG_IN: Final = "az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or use a managed identity"


class Credential:
    """Tokens from the first of the three sources that has any; that source is kept."""

    def __init__(self, transport: Any, environ: Mapping[str, str] | None = None) -> None:
        env = os.environ if environ is None else environ
        host = env.get("AZURE_AUTHORITY_HOST", "")
        known = {} if not host or host.endswith("microsoftonline.com") else {"disable_instance_discovery": True}
        self._sources: dict[str, Any] = {
            "environment": EnvironmentCredential(transport=transport, **known),
            "managed identity": _Identity(transport, env.get("AZURE_CLIENT_ID")),
            "Azure CLI": _Cli(),
        }
        self._chosen: Any = None

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token, as the SDK's clients ask for one.

        Raises:
            Denied: no source has a token; the message says what each one lacks, and what to do.
            ClientAuthenticationError: there are credentials, and Azure refuses them.
        """
        if self._chosen is not None:
            token: AccessToken = await self._chosen.get_token(*scopes, **options)
            return token
        lacking: list[str] = []
        for name, source in self._sources.items():
            try:
                token = await source.get_token(*scopes, **options)
            except CredentialUnavailableError as exc:
                lacking.append(f"{name}: {exc.message.strip().splitlines()[0]}")
                continue
            self._chosen = source
            return token
        raise Denied(f"nobody is logged in to Azure ({'; '.join(lacking)}). What to do: {_LOG_IN}")

    async def close(self) -> None:
        """Do nothing: the transport belongs to the caller."""

    async def __aenter__(self) -> Credential:
        return self

    async def __aexit__(self, *_: object, **__: object) -> None:
        await self.close()


class _Identity:
    """The managed identity of the machine that this process runs on."""

    def __init__(self, transport: Any, client_id: str | None) -> None:
        self._credential = ManagedIdentityCredential(client_id=client_id, transport=transport, retry_total=0)

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        with trio.move_on_after(_IDENTITY_SECONDS):
            token: AccessToken = await self._credential.get_token(*scopes, **options)
            return token
        raise CredentialUnavailableError(f"its endpoint did not answer within {_IDENTITY_SECONDS:g} s")


class _Cli:
    """The Azure CLI's login. The SDK's asynchronous class needs asyncio, so the synchronous one runs in a thread."""

    def __init__(self) -> None:
        self._credential = AzureCliCredential()

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        get = partial(self._credential.get_token, *scopes, **options)
        try:
            return await trio.to_thread.run_sync(get, abandon_on_cancel=True)
        except ClientAuthenticationError as exc:  # it is installed, but has no valid login
            raise CredentialUnavailableError(exc.message) from exc
