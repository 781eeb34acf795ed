"""The credentials for Azure: of a service principal, a workload or a machine, or those of the Azure CLI's login.

The sources have the names and the order that the SDK's DefaultAzureCredential gives them, and AZURE_TOKEN_CREDENTIALS
chooses among them in the same way. Its own class can't be used: parts of it need asyncio.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import trio
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError
from azure.identity.aio import EnvironmentCredential, ManagedIdentityCredential, WorkloadIdentityCredential

from swarmlib import Denied, Invalid

from .cloud import Cloud
from .login import Login

logging.getLogger("azure.identity").setLevel(logging.ERROR)  # each source that has no token would be a warning

_IDENTITY_SECONDS: Final = 3.0
"""How long the endpoint of managed identities may take to answer at all: on a machine without one, nothing answers."""
_CHOICE: Final = "AZURE_TOKEN_CREDENTIALS"
_SETS: Final = {
    "prod": ("EnvironmentCredential", "WorkloadIdentityCredential", "ManagedIdentityCredential"),
    "dev": ("AzureCliCredential",),
}
_LOG_IN: Final = "az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or use a managed identity"


class TokenSource(Protocol):
    """What has tokens."""

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token. Raises CredentialUnavailableError if this source has none."""
        ...


@dataclass(frozen=True)
class _Kind:
    """A kind of source: its name in errors, what it lacks where it has no token, and how it is made."""

    shown: str
    lacks: str
    make: Callable[[], TokenSource]


class Credential:
    """Tokens from the first source that has any; that source is kept.

    login: that of the Azure CLI, which is the last source.
    """

    def __init__(
        self, transport: Any, cloud: Cloud, login: Login | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.login = login or Login()
        self.scope = cloud.scope
        common = {"transport": transport, "authority": cloud.authority}
        common |= {} if cloud.is_known else {"disable_instance_discovery": True}
        self._kinds: dict[str, _Kind] = {
            "EnvironmentCredential": _Kind(
                "environment",
                "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH are not set",
                lambda: EnvironmentCredential(**common),
            ),
            "WorkloadIdentityCredential": _Kind(
                "workload identity",
                "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE are not set",
                lambda: _Workload(environ, common),
            ),
            "ManagedIdentityCredential": _Kind(
                "managed identity", "", lambda: _Identity(transport, environ.get("AZURE_CLIENT_ID"))
            ),
            "AzureCliCredential": _Kind("Azure CLI", "", lambda: self.login),
        }
        self._wanted = self._chosen_names(environ.get(_CHOICE, "").strip())
        self._chosen: TokenSource | None = None

    def _chosen_names(self, choice: str) -> list[str]:
        """Return the names of the sources to try.

        Raises:
            Invalid: AZURE_TOKEN_CREDENTIALS names none of them.
        """
        wanted = _SETS.get(choice.lower(), (choice,)) if choice else tuple(self._kinds)
        found = [name for name in self._kinds if name.lower() in {each.lower() for each in wanted}]
        if not found:
            raise Invalid(f"invalid {_CHOICE} {choice!r}: expected one of {', '.join([*_SETS, *self._kinds])}")
        return found

    @property
    def is_login(self) -> bool:
        """Whether the tokens are those of the Azure CLI's login."""
        return self._chosen is self.login

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token, as the SDK's clients ask for one.

        Raises:
            Denied: no source has a token; the message says what each one lacks, and what to do.
            Invalid: the environment names a file that can't be used.
            ClientAuthenticationError: there are credentials, and Azure refuses them.
        """
        if self._chosen is not None:
            return await self._chosen.get_token(*scopes, **options)
        lacking: list[str] = []
        for kind in (self._kinds[name] for name in self._wanted):
            try:
                source = kind.make()
                token = await source.get_token(*scopes, **options)
            except CredentialUnavailableError as exc:
                lacking.append(f"{kind.shown}: {kind.lacks or exc.message.strip().splitlines()[0]}")
                continue
            except (ValueError, OSError) as exc:  # of the file with a certificate or a token
                raise Invalid(f"can't log in to Azure by the {kind.shown}: {exc}") from exc
            self._chosen = source
            return token
        raise Denied(f"nobody is logged in to Azure ({'; '.join(lacking)}). What to do: {_LOG_IN}")

    async def close(self) -> None:
        """Do nothing: the transport belongs to the caller."""

    async def __aenter__(self) -> Credential:
        return self

    async def __aexit__(self, *_: object, **__: object) -> None:
        await self.close()


class _Workload:
    """The identity of a workload, such as a Pod of AKS: the token that it has in a file is exchanged."""

    def __init__(self, environ: Mapping[str, str], common: Mapping[str, Any]) -> None:
        names = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE")
        tenant, client, file = (environ.get(name, "") for name in names)
        if not (tenant and client and file):
            raise CredentialUnavailableError("it is not set up")
        self._credential = WorkloadIdentityCredential(
            tenant_id=tenant, client_id=client, token_file_path=file, **common
        )

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return await self._credential.get_token(*scopes, **options)


class _Identity:
    """The managed identity of the machine that this process runs on.

    Whether there is one shows at the first answer. After that, the SDK tries again as Azure's document of the endpoint
    demands: for more than a minute, if need be, as it may be unavailable for so long after the start of a machine.
    """

    def __init__(self, transport: Any, client_id: str | None) -> None:
        common: dict[str, Any] = {"client_id": client_id, "transport": transport}
        self._probe = ManagedIdentityCredential(**common, retry_total=0)
        self._credential = ManagedIdentityCredential(**common)
        self._is_there = False

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        if not self._is_there:
            with trio.move_on_after(_IDENTITY_SECONDS) as waiting:
                token = await self._first(scopes, options)
                if token is not None:
                    return token
            if waiting.cancelled_caught:
                raise CredentialUnavailableError(f"its endpoint did not answer within {_IDENTITY_SECONDS:g} s")
        found: AccessToken = await self._credential.get_token(*scopes, **options)
        return found

    async def _first(self, scopes: tuple[str, ...], options: Mapping[str, Any]) -> AccessToken | None:
        """Ask once, and return a token; None if the endpoint answers that there is one, but not now."""
        token: AccessToken | None
        try:
            token = await self._probe.get_token(*scopes, **options)
        except ClientAuthenticationError as exc:
            if isinstance(exc, CredentialUnavailableError):
                raise
            token = None
        self._is_there = True
        return token
