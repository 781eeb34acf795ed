"""The subnets of machines, and their ways out to the Internet.

swarmlib's own network has one subnet. Its machines reach the Internet by their own public addresses or, with `--nat`,
by a NAT gateway with an address of its own. Other subnets exist already, and their owners decide.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Final

from swarmlib import Denied, Invalid, NotFound

from .client import Arm
from .resources import NETWORKS
from .spec import Body, Spec, part, parts

_log = logging.getLogger(__name__)

NAME: Final = "machines"
"""The name of the subnet in swarmlib's own network."""
_ID: Final = re.compile(
    r"(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^/]+/virtualNetworks/[^/]+)/subnets/([^/]+)"
)
_WAYS_OUT: Final = ("natGateway", "routeTable")


# The own network.


def network(location: str, tags: Mapping[str, str], gateway: str) -> Body:
    """Return the body of swarmlib's own network; gateway: the id of its NAT gateway, or ""."""
    properties = {"addressSpace": {"addressPrefixes": ["10.86.0.0/16"]}, "subnets": [subnet(gateway)]}
    return {"location": location, "tags": dict(tags), "properties": properties}


def subnet(gateway: str) -> Body:
    """Return the body of its subnet, which has no other way out: what Azure does by default depends on API versions."""
    properties: Body = {"addressPrefix": "10.86.0.0/20", "defaultOutboundAccess": False}
    if gateway:
        properties["natGateway"] = {"id": gateway}
    return {"name": NAME, "properties": properties}


def uses(network: Body, gateway: str) -> bool:
    """Return whether a network's subnets use a NAT gateway."""
    used = [part(each, "properties", "natGateway").get("id", "") for each in _subnets(network)]
    return gateway.lower() in [str(id).lower() for id in used]


def gateway(location: str, tags: Mapping[str, str], address: str) -> Body:
    """Return the body of the NAT gateway; address: the id of its public address."""
    properties = {"publicIpAddresses": [{"id": address}]}
    return {"location": location, "tags": dict(tags), "sku": {"name": "Standard"}, "properties": properties}


# An existing one.


def named(arm: Arm, group: str, text: str) -> str:
    """Return the id of the subnet that `--network` names.

    Raises:
        Invalid: the text names none.
    """
    owner, _, name = text.partition("/")
    id = text if text.startswith("/") else f"{arm.id(group, NETWORKS, owner)}/subnets/{name or 'default'}"
    if not _ID.fullmatch(id):
        raise Invalid(f"invalid network {text!r}: expected VNET/SUBNET or the id of a subnet")
    return id


async def check(arm: Arm, id: str, spec: Spec) -> None:
    """Check that a machine can be in an existing subnet, if that may be read; warn if it has no way out.

    Raises:
        NotFound: there is no such subnet. Invalid: it is in another region than the machine.
    """
    found = _ID.fullmatch(id)
    assert found is not None
    try:
        network = await arm.find(found[1])
    except Denied as exc:
        _log.info("the region of %s is not known: %s", id, exc.message)
        return
    subnets = [each for each in _subnets(network or {}) if str(each["name"]).lower() == found[2].lower()]
    if network is None or not subnets:
        raise NotFound(f"no such subnet: {id}")
    if network["location"] != spec.region:
        where = f"{id} is in {network['location']}, not in {spec.location}"
        raise Invalid(f"{where}: use --location {network['location']}, or another --network")
    properties = part(subnets[0], "properties")
    shut = properties.get("defaultOutboundAccess") is False and not any(properties.get(way) for way in _WAYS_OUT)
    if spec.private and shut:
        text = "%s has no NAT gateway and no route: %s may not reach the Internet, as Docker's installation demands"
        _log.warning(text, id, spec.name)


def _subnets(network: Body) -> list[Body]:
    return parts(part(network, "properties"), "subnets")
