"""Azure's errors as swarmlib's, with Azure's own code, and advice on what to do."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from swarmlib import UNSENT, Conflict, Denied, Invalid, NotFound, SwarmError, Unavailable

_TERMS: Final = (
    "read and accept the terms of the image, once for the subscription: az vm image terms accept --publisher PUBLISHER"
    " --offer PRODUCT --plan NAME"
)
_ADVICE: Final = {
    "AuthorizationFailed": "get a role such as Contributor for the resource group",
    "InvalidAuthenticationToken": "log in again",
    "ExpiredAuthenticationToken": "log in again",
    "InvalidAuthenticationTokenTenant": "log in to the tenant of the subscription, which the message names: az login"
    " --tenant TENANT, or set AZURE_TENANT_ID",
    "InvalidAuthenticationTokenAudience": "the subscription is in another cloud: give --cloud",
    "RequestDisallowedByPolicy": "comply with POLICIES, or ask whoever assigned it for an exemption; --tag sets tags of"
    " all resources, and --private with --network leaves out public addresses",
    "SkuNotAvailable": "choose another --size, --location or --zone, or give several sizes with commas between them",
    "AllocationFailed": "try again later, or choose another --size, --location or --zone",
    "ZonalAllocationFailed": "try again later, or choose another --zone",
    "OverconstrainedAllocationRequest": "ask for less: leave out --zone or --spot, or choose another --size",
    "QuotaExceeded": "ask for a higher quota, choose another --size or --location, or remove machines",
    "PublicIPCountLimitReached": "ask for a higher quota, use --private, or remove addresses",
    "MissingSubscriptionRegistration": "register it: az provider register --namespace NAMESPACE",
    "VMMarketplaceInvalidInput": "give the plan of the image by --plan PUBLISHER:PRODUCT:NAME",
    "ResourcePurchaseValidationFailed": _TERMS,
    "MarketplacePurchaseEligibilityFailed": _TERMS,
    "PlatformImageNotFound": "`az vm image list` lists the images; --image takes a URN or an alias",
    "SubscriptionRequestsThrottled": "wait, and send fewer requests",
    "TooManyRequests": "wait, and send fewer requests",
    "SubscriptionNotFound": "check --subscription, --cloud and who is logged in",
    "ReadOnlyDisabledSubscription": "the subscription is disabled: enable it in the portal",
}
_NO_ROOM: Final = frozenset(
    {"SkuNotAvailable", "AllocationFailed", "ZonalAllocationFailed", "OverconstrainedAllocationRequest",
     "QuotaExceeded", "PublicIPCountLimitReached"}
)  # fmt: skip
"""Codes that say that nothing was created, and that another size, place or time may work."""
_DENIED: Final = (401, 403)
_POLICY: Final = re.compile(r'"policyAssignment":\s*\{\s*"name":\s*"([^"]+)"')
"""A policy in the message of RequestDisallowedByPolicy, which lists those that deny a request as JSON."""


@contextmanager
def mapped() -> Generator[None]:
    """Raise what the SDK raises in this context as a `SwarmError`, whose details have Azure's code as `azure`."""
    try:
        yield
    except AzureError as exc:
        raise error_of(exc) from exc


def error_of(exc: AzureError) -> SwarmError:
    """Return the SwarmError for an error of the SDK."""
    if isinstance(exc, ServiceRequestError):
        return Unavailable(f"can't connect to Azure: {exc.message}", details={UNSENT: True})
    if isinstance(exc, ServiceResponseError):
        return Unavailable(f"Azure did not answer: {exc.message}")
    if isinstance(exc, HttpResponseError) and not (isinstance(exc, ClientAuthenticationError) and exc.response is None):
        return _of_answer(exc)
    return Denied(f"no token for Azure: {exc.message.strip()}")


def finds_no_room(exc: SwarmError) -> bool:
    """Return whether Azure can't make a machine of a size in a place, so that another choice may be possible."""
    return "azure" in exc.details and bool(exc.details.get(UNSENT))


def _of_answer(exc: HttpResponseError) -> SwarmError:
    code, status = str(getattr(exc.error, "code", None) or ""), exc.status_code or 0
    said = str(getattr(exc.error, "message", None) or exc.message).strip()
    quota = code == "OperationNotAllowed" and "quota" in said
    policies = " and ".join(f"the policy '{each}'" for each in _POLICY.findall(said))
    advice = _ADVICE.get("QuotaExceeded" if quota else code, "").replace("POLICIES", policies or "the policy")
    text = f"Azure says {code or status}: {said}" + (f" What to do: {advice}." if advice else "")
    details: dict[str, Any] = {"azure": code}
    if quota or code in _NO_ROOM:
        return Unavailable(text, details={**details, UNSENT: True})
    return _by_status(status)(text, details=details)


def _by_status(status: int) -> type[SwarmError]:
    if status in _DENIED:
        return Denied
    if status == 404:
        return NotFound
    if status in (409, 412):
        return Conflict
    if status == 429 or status >= 500:
        return Unavailable
    return Invalid if status >= 400 else Unavailable
