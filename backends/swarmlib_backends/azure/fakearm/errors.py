"""The errors of ARM, with Azure's own codes and messages: what a real subscription answers, and what clients parse.

Microsoft's documents describe the shape of errors, and every error that is answered is held against that. None of the
official examples has an error, so the codes and the texts can't be held against them. Those that the backend acts upon
are as users have reported them:

- NicReservedForAnotherVm: cloudfoundry/bosh-azure-cpi-release#366, taskcluster/taskcluster#7196
- InvalidResourceReference, of resources in two regions: Azure/azure-cli#984
- SkuNotAvailable, AllocationFailed, quotas: Azure/karpenter-provider-azure#91 and #761
- VMMarketplaceInvalidInput: Azure/azure-sdk-for-go#13894
- AuthorizationFailed of a role that is too narrow: MicrosoftDocs/azure-docs#59350

The texts of all others, such as GalleryImageNotFound, are from memory. The backend goes by codes; only of
OperationNotAllowed it reads the text, as that alone tells a quota, or a machine without extensions, from other reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from ...http.serving import Answer


@dataclass(eq=False)
class ArmError(Exception):
    """An error answer: status, Azure's code, a message; `target` names the parameter, `details` hold further errors."""

    status: int
    code: str
    message: str
    target: str = ""
    details: Sequence[ArmError] = ()
    retry_after: float = 0

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def body(self) -> dict[str, Any]:
        """The object that is `error` in an answer or an operation."""
        found: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target:
            found["target"] = self.target
        if self.details:
            found["details"] = [detail.body for detail in self.details]
        return found

    def answer(self) -> Answer:
        """Return the answer that reports the error."""
        headers = {"x-ms-failure-cause": "gateway" if self.status < 500 else "service"}
        return Answer(self.status, {"error": self.body}, headers | retry_after(self.retry_after))


def retry_after(seconds: float) -> dict[str, str]:
    """Return the header that asks a client to wait; below one second Azure's own header, in milliseconds."""
    if seconds >= 1:
        return {"Retry-After": str(ceil(seconds))}
    return {"x-ms-retry-after-ms": str(max(1, round(seconds * 1000)))} if seconds > 0 else {}


def bad(code: str, message: str, target: str = "") -> ArmError:
    """Return the error for a request that is invalid in itself."""
    return ArmError(400, code, message, target=target)


def required(body: Mapping[str, Any], name: str, where: object) -> Any:
    """Return a member of a body that is required.

    Raises:
        ArmError: it is missing.
    """
    if name not in body:
        raise bad("InvalidRequestFormat", f"Cannot parse the request: {where} lacks '{name}'.", name)
    return body[name]


def parameter(name: str, message: str) -> ArmError:
    """Return the error for a parameter of Microsoft.Compute that has a wrong value."""
    return bad("InvalidParameter", message, name)


def conflict(code: str, message: str, target: str = "") -> ArmError:
    """Return the error for a request that conflicts with the current state."""
    return ArmError(409, code, message, target=target)


def retryable(code: str, message: str, retry_after: float) -> ArmError:
    """Return the error by which Microsoft.Network says that something else must finish first."""
    inner = ArmError(429, code, message)
    return ArmError(429, "RetryableError", "A retryable error occurred.", details=[inner], retry_after=retry_after)


def missing(type: str, name: str, group: str) -> ArmError:
    """Return the error for a resource that doesn't exist."""
    message = f"The Resource '{type}/{name}' under resource group '{group}' was not found."
    return ArmError(
        404, "ResourceNotFound", f"{message} For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )


def missing_group(name: str) -> ArmError:
    """Return the error for a resource group that doesn't exist."""
    return ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")


def missing_reference(user: str, used: str) -> ArmError:
    """Return the error for a resource that another one refers to, and that doesn't exist."""
    message = f"Resource {used} referenced by resource {user} was not found."
    return bad("InvalidResourceReference", f"{message} Please make sure that the referenced resource exists.")


def quota(what: str, location: str, limit: int, used: int, wanted: int) -> ArmError:
    """Return the error for more cores than the subscription may have."""
    return conflict(
        "OperationNotAllowed",
        f"Operation could not be completed as it results in exceeding approved {what} quota. Additional details - "
        f"Deployment Model: Resource Manager, Location: {location}, Current Limit: {limit}, Current Usage: {used}, "
        f"Additional Required: {wanted}, (Minimum) New Limit Required: {used + wanted}.",
    )


def sku_not_available(size: str, location: str) -> ArmError:
    """Return the error for a size that this subscription can't have in this region at all."""
    return conflict(
        "SkuNotAvailable",
        f"The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {size}' is"
        f" currently not available in location '{location}'. Please try another size or deploy to a different"
        " location or different zone. See https://aka.ms/azureskunotavailable for details.",
    )


def allocation_failed(size: str) -> ArmError:
    """Return the error for a region that has no room for the machine now."""
    return conflict(
        "AllocationFailed",
        f"Allocation failed. We do not have sufficient capacity for the requested VM size in this region ({size}). "
        "Read more about improving likelihood of allocation success at http://aka.ms/allocation-guidance",
    )
