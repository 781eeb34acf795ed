"""The Azure CLI's login: its tokens, and the subscription that is its default."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

import orjson
import trio
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import AzureCliCredential, CredentialUnavailableError

from swarmlib import BadAnswer, Unavailable

_SECONDS: Final = 30.0
"""How long `az` may take, whose start alone takes seconds."""
_SHOW: Final = ("account", "show", "--output", "json")


@dataclass(frozen=True)
class Account:
    """A subscription that the Azure CLI knows: its id, and the name of its cloud."""

    subscription: str
    cloud: str

    @classmethod
    def of(cls, text: bytes) -> Self:
        """Read what `az account show` prints.

        Raises:
            BadAnswer: it is something else.
        """
        try:
            found = orjson.loads(text)
            return cls(str(found["id"]), str(found["environmentName"]))
        except (orjson.JSONDecodeError, KeyError, TypeError) as exc:
            raise BadAnswer(f"az gave a malformed answer to {' '.join(_SHOW)}: {exc}") from exc


class Login:
    """The login. The SDK's asynchronous class needs asyncio, so the synchronous one runs in a thread."""

    def __init__(self) -> None:
        self.subscription = ""
        """The subscription that tokens are for: `az` knows its tenant, which may not be that of its default."""

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token. Raises CredentialUnavailableError if there is no `az`, or it has no valid login."""
        credential = AzureCliCredential(subscription=self.subscription or None, process_timeout=int(_SECONDS))
        get = partial(credential.get_token, *scopes, **options)
        try:
            return await trio.to_thread.run_sync(get, abandon_on_cancel=True)
        except ClientAuthenticationError as exc:  # it is installed, but has no valid login
            raise CredentialUnavailableError(exc.message) from exc

    async def account(self) -> Account:
        """Return the subscription that is the CLI's default.

        Raises:
            Unavailable: `az` can't be run, or fails, or takes too long.
            BadAnswer: what it prints is malformed.
        """
        command = [shutil.which("az") or "az", *_SHOW]
        with trio.move_on_after(_SECONDS):
            try:
                done = await trio.run_process(command, capture_stdout=True, stderr=subprocess.DEVNULL)
            except (OSError, subprocess.CalledProcessError) as exc:
                raise Unavailable(f"can't ask az for its default subscription: {exc}") from exc
            return Account.of(done.stdout)
        raise Unavailable(f"az did not answer within {_SECONDS:g} s")
