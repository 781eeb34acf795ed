"""The marketplace's images: what they need of a machine, and the plans of those that are sold.

https://learn.microsoft.com/azure/virtual-machines/generation-2 and …/linux/cli-ps-findimage
"""

from __future__ import annotations

from ...http.serving import Answer, Body
from . import errors, images
from .resource import Resource, dig
from .state import State
from .validation import size_of
from .world import ImageFacts, image_facts

_VERSION = "1.0.0"


def check(state: State, machine: Resource) -> None:
    """Check that a new machine fits its image, and has its plan. Images that are not known are not checked.

    Raises:
        ArmError: they don't fit, or the plan is missing, or its terms were not accepted; or an image by its id does not
            exist, or is in another region.
    """
    image: Body = dig(machine.properties, "storageProfile", "imageReference") or {}
    names = [str(image.get(each) or "") for each in ("publisher", "offer", "sku")]
    facts = image_facts(*names)
    if facts is None:
        if (own := images.facts(state, image, machine)) is not None:
            _check_size(machine, own)
        return
    _check_size(machine, facts)
    if facts.plan:
        _check_plan(state, machine, names)


def _check_size(machine: Resource, facts: ImageFacts) -> None:
    size = size_of(machine)
    security = dig(machine.properties, "securityProfile", "securityType")
    if facts.architecture != size.architecture:
        message = f"Cannot create a VM of size '{size.name}' because this VM size only supports a CPU Architecture of"
        message += (
            f" '{size.architecture}', but an image or disk with CPU Architecture '{facts.architecture}' was given."
        )
        raise errors.parameter("vmSize", message)
    if facts.generation not in size.generations:
        message = f"The selected VM size '{size.name}' cannot boot Hypervisor Generation '{facts.generation[-1]}'."
        raise errors.bad("BadRequest", f"{message} If this was a Create operation please check that the"
                         " Hypervisor Generation of the Image matches that of the selected VM Size.")  # fmt: skip
    if (security == "ConfidentialVM" and not facts.confidential) or (security and facts.generation == "V1"):
        raise errors.bad("BadRequest", f"The image does not support the security type '{security}'.")


def _check_plan(state: State, machine: Resource, names: list[str]) -> None:
    plan: Body = machine.body.get("plan") or {}
    given = [str(plan.get(each) or "") for each in ("publisher", "product", "name")]
    if [each.lower() for each in given] != [each.lower() for each in names]:
        message = "Creating a virtual machine from Marketplace image or a custom image sourced from a Marketplace image"
        message += f" requires Plan information in the request. VM: '{machine.id}'."
        raise errors.bad("VMMarketplaceInvalidInput", message)
    if ":".join(given).lower() not in state.terms:
        message = "User failed validation to purchase resources. Error message: 'You have not accepted the legal terms"
        message += f" on this subscription: '{state.subscription}' for this plan. Before the subscription can be used,"
        raise errors.bad("ResourcePurchaseValidationFailed", f"{message} you need to accept the legal terms.'")


def shown(publisher: str, offer: str, sku: str, version: str | None) -> Answer:
    """Answer a request for the versions of an image, or for one of them."""
    facts = image_facts(publisher, offer, sku)
    if facts is None or version not in (None, _VERSION):
        raise errors.ArmError(404, "NotFound", f"Artifact: VMImage was not found: {publisher}:{offer}:{sku}.")
    body: Body = {"id": f"/{publisher}/{offer}/{sku}/{_VERSION}", "name": _VERSION, "location": "westeurope"}
    if version is None:
        return Answer(200, [body])
    security = "ConfidentialVmSupported,TrustedLaunchSupported" if facts.confidential else "TrustedLaunchSupported"
    features = [{"name": "SecurityType", "value": security}] if facts.generation == "V2" else []
    told: Body = {"architecture": facts.architecture, "hyperVGeneration": facts.generation, "features": features}
    if facts.plan:
        told["plan"] = {"publisher": publisher, "product": offer, "name": sku}
    return Answer(200, body | {"properties": told})
