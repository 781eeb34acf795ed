"""The subscription that is used where none is named: that of the Azure CLI's login, or the only one there is."""

from __future__ import annotations

import json
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy, AsyncRetryPolicy
from azure.core.rest import HttpRequest
from azure.mgmt.core import AsyncARMPipelineClient

from swarmlib import Invalid

from .cloud import Cloud
from .credentials import Credential
from .failures import mapped
from .transport import HttpxTransport

_UNUSABLE = ("Disabled", "Deleted")


async def default_subscription(cloud: Cloud, credential: Credential, transport: HttpxTransport) -> str:
    """Return the id of the subscription that `az account set` has chosen, or else of the only usable one.

    Raises:
        Invalid: there is none, or more than one; or the Azure CLI's is in another cloud.
        Unavailable, BadAnswer: as `Login.account`.
    """
    with mapped():
        await credential.get_token(credential.scope)  # only this tells whose login it is
    if not credential.is_login:
        return await _sole(cloud, credential, transport)
    account = await credential.login.account()
    if cloud.name and account.cloud != cloud.name:
        raise Invalid(f"az is logged in to {account.cloud}, not to {cloud.name}: give --cloud {account.cloud}")
    return account.subscription


async def _sole(cloud: Cloud, credential: Credential, transport: HttpxTransport) -> str:
    policies: list[Any] = [AsyncRetryPolicy(), AsyncBearerTokenCredentialPolicy(credential, cloud.scope)]
    make: Any = AsyncARMPipelineClient
    pipeline = make(cloud.url, transport=transport, policies=policies)
    with mapped():
        answer = await pipeline.send_request(HttpRequest("GET", f"{cloud.url}/subscriptions?api-version=2022-12-01"))
        if answer.status_code != 200:
            raise HttpResponseError(response=answer)
    listed: list[dict[str, Any]] = json.loads(answer.text())["value"]
    found = [each for each in listed if each.get("state") not in _UNUSABLE]
    if len(found) != 1:
        shown = ", ".join(f"{each['subscriptionId']} ({each.get('displayName', '')})" for each in found)
        raise Invalid(f"give --subscription, or set AZURE_SUBSCRIPTION_ID; available: {shown or 'none'}")
    return str(found[0]["subscriptionId"])
