"""The checks of a container group's body that need no time, what Azure fills in, and what it never shows again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any, Final

from ....dockerapi.nullable import dict_of, list_of
from ....http.serving import Body
from .. import errors
from ..errors import ArmError
from ..resource import Resource, dig
from ..state import State

TYPE: Final = "Microsoft.ContainerInstance/containerGroups"
_NAME: Final = re.compile(r"(?!.*--)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KINDS_OF_VOLUMES: Final = ("azureFile", "emptyDir", "secret", "gitRepo")
_MOST_PORTS: Final = 5
"""The public ports that a group may have, unless its quota was raised."""
_HUB: Final = "docker.io"


def containers(group: Resource) -> list[Body]:
    """Return the containers of a group, as its body has them."""
    found: list[Body] = group.properties.get("containers") or []
    return found


def check(state: State, group: Resource, old: Resource | None) -> None:
    """Refuse what Azure refuses at once. Raises ArmError."""
    _check_name(group)
    _check_containers(group)
    _check_ports(group)
    _check_volumes(group)
    _check_priority(group)
    _check_subnets(state, group)
    _check_images(state, group)
    _check_room(state, group)
    if old is not None and old.properties.get("restartPolicy") != group.properties.get("restartPolicy", "Always"):
        message = f"The updates on container group '{group.id.name}' are invalid. If you are going to update the"
        raise errors.bad("InvalidContainerGroupUpdate", f"{message} restart policy, you must delete it first.")


def _check_name(group: Resource) -> None:
    for name in (group.id.name, *(str(each["name"]) for each in containers(group))):
        if not _NAME.fullmatch(name):
            message = f"The name '{name}' is invalid: it must have 1 to 63 lower case letters, digits and single"
            raise errors.bad("InvalidContainerGroupName", f"{message} hyphens, of which none is first or last.")


def _check_containers(group: Resource) -> None:
    if not containers(group):
        raise errors.bad("InvalidContainerGroup", f"The container group '{group.id.name}' has no containers.")
    if group.properties.get("osType") not in ("Linux", "Windows"):
        raise errors.bad("OsTypeMissing", f"The osType of the container group '{group.id.name}' is not specified.")
    for each in containers(group):
        wanted = dict_of(dig(each, "properties", "resources", "requests"))
        if not wanted.get("cpu", 0) > 0 or not wanted.get("memoryInGB", 0) > 0:
            message = f"The resource requests of container '{each['name']}' in container group '{group.id.name}' are"
            raise errors.bad("ResourceRequestsNotSpecified", f"{message} not specified.")
        if round(wanted["memoryInGB"] * 10, 6) % 1:
            message = f"The memory '{wanted['memoryInGB']}' GB of container '{each['name']}' must be in increments of"
            raise errors.bad("InvalidMemoryRequest", f"{message} 0.1 GB.")


def _check_ports(group: Resource) -> None:
    opened = {_port(each) for each in list_of(dig(group.properties, "ipAddress", "ports"))}
    own = {_port(port) for each in containers(group) for port in list_of(each["properties"].get("ports"))}
    if lacking := sorted(port for port, _ in opened - own):
        message = f"The ports '{lacking[0]}' in the 'ipAddress' of container group '{group.id.name}' cannot be found"
        raise errors.bad("MissingContainerPorts", f"{message} in any container.")
    if len(opened) > _MOST_PORTS:
        message = f"The container group '{group.id.name}' opens {len(opened)} ports: the limit is {_MOST_PORTS}."
        raise errors.bad("ContainerGroupPortsLimitReached", message)


def _port(port: Body) -> tuple[int, str]:
    return port["port"], port.get("protocol", "TCP")


def _check_volumes(group: Resource) -> None:
    known = set[str]()
    for each in list_of(group.properties.get("volumes")):
        if sum(kind in each for kind in _KINDS_OF_VOLUMES) != 1:
            raise errors.bad("InvalidVolume", f"The volume '{each['name']}' must have exactly one source.")
        known.add(each["name"])
    for container in containers(group):
        for mount in list_of(container["properties"].get("volumeMounts")):
            if mount["name"] not in known:
                message = f"The volume '{mount['name']}' mounted by container '{container['name']}' is not found."
                raise errors.bad("VolumeNotFound", message)


def _check_priority(group: Resource) -> None:
    """Spot groups have no inbound connectivity, and the Standard SKU (learn.microsoft.com: Spot container creation)."""
    if group.properties.get("priority") != "Spot":
        return
    if group.properties.get("ipAddress") or group.properties.get("subnetIds"):
        message = f"The container group '{group.id.name}' of priority 'Spot' can't have inbound connectivity."
        raise errors.bad("SpotContainerGroupNetworkNotSupported", message)
    if group.properties.get("sku", "Standard") != "Standard":
        message = f"The container group '{group.id.name}' of priority 'Spot' must have the SKU 'Standard'."
        raise errors.bad("SpotContainerGroupSkuNotSupported", message)


def _check_subnets(state: State, group: Resource) -> None:
    for each in list_of(group.properties.get("subnetIds")):
        subnet = state.referenced(group.id, each["id"])
        services = [dig(one, "properties", "serviceName") for one in list_of(subnet.properties.get("delegations"))]
        if TYPE.lower() not in [str(name).lower() for name in services]:
            message = f"The subnet '{subnet.id}' must be delegated to '{TYPE}'."
            raise errors.bad("SubnetNotDelegated", message)


def server_of(image: str) -> str:
    """Return the registry of an image's reference."""
    first = image.partition("/")[0]
    return first if "/" in image and (set(".:") & set(first) or first == "localhost") else _HUB


def _check_images(state: State, group: Resource) -> None:
    """Refuse an image whose registry wants other credentials than the group has (`State.registries`)."""
    given = {each["server"]: each for each in list_of(group.properties.get("imageRegistryCredentials"))}
    for each in containers(group):
        image = each["properties"]["image"]
        wanted = state.registries.get(server_of(image))
        own = given.get(server_of(image), {})
        if wanted is not None and (own.get("username"), own.get("password")) != wanted:
            raise inaccessible(image, group)


def inaccessible(image: str, group: Resource) -> ArmError:
    """Return the error of an image that can't be pulled."""
    message = f"The image '{image}' in container group '{group.id.name}' is not accessible. Please check the image"
    return errors.bad("InaccessibleImage", f"{message} and registry credential.")


def cores(group: Resource) -> float:
    """Return the CPUs that a group takes."""
    return sum(float(each["properties"]["resources"]["requests"]["cpu"]) for each in containers(group))


def groups_in(state: State, location: str) -> Iterator[Resource]:
    """Yield the groups of a region."""
    return (each for each in state.of_type(TYPE) if each.location == location)


def _check_room(state: State, group: Resource) -> None:
    region, wanted = state.region(group.location, TYPE), cores(group)
    used = sum(cores(each) for each in groups_in(state, group.location) if each.id.key != group.id.key)
    if used + wanted > region.container_cores:
        message = f"Resource type '{TYPE}' container group quota 'StandardCores' exceeded in region '{group.location}'."
        limits = f"Limit: '{region.container_cores}', Usage: '{used:g}' Requested: '{wanted:g}'."
        raise errors.conflict("ContainerGroupQuotaReached", f"{message} {limits}")
    if used + wanted > region.container_room:
        message = f"The requested resource is not available in the location '{group.location}' at this moment. Please"
        raise errors.conflict("ServiceUnavailable", f"{message} retry with a different resource request or in another"
                              f" location. Resource requested: '{wanted:g}' CPU 'Linux' OS.")  # fmt: skip


def fill(state: State, group: Resource, old: Resource | None) -> None:
    """Fill in what Azure sets, and hide its secrets."""
    properties = group.properties
    properties.setdefault("sku", "Standard")
    properties.setdefault("restartPolicy", "Always")
    properties.setdefault("initContainers", [])
    for each in containers(group):
        own: Body = each["properties"]
        own.setdefault("ports", [])
        own.setdefault("environmentVariables", [])
        for port in own["ports"]:
            port.setdefault("protocol", "TCP")
    if (address := properties.get("ipAddress")) is not None:
        address["ip"] = (old and dig(old.properties, "ipAddress", "ip")) or _address(state, group, address["type"])
        if label := address.get("dnsNameLabel"):
            address["fqdn"] = f"{label}.{group.location}.azurecontainer.io"
    group.hidden["environment"] = [_variables(each["properties"]["environmentVariables"]) for each in containers(group)]
    _forget_secrets(properties)


def _variables(listed: list[Body]) -> dict[str, str]:
    """Return all variables, and forget the secret values."""
    return {each["name"]: each.pop("secureValue", None) or each.get("value", "") for each in listed}


def _address(state: State, group: Resource, kind: str) -> str:
    if kind == "Public" or not group.properties.get("subnetIds"):
        return state.public_address()
    taken = {dig(each.properties, "ipAddress", "ip") for each in state.of_type(TYPE)}
    subnet = state.referenced(group.id, group.properties["subnetIds"][0]["id"])
    network = IPv4Network(subnet.properties["addressPrefix"])
    # From the end, as those of interfaces are taken from the beginning.
    free = (str(network[-number]) for number in range(2, network.num_addresses - 4))
    return next(address for address in free if address not in taken)


def _forget_secrets(properties: Body) -> None:
    for each in list_of(properties.get("imageRegistryCredentials")):
        each.pop("password", None)
    for each in list_of(properties.get("volumes")):
        each.get("azureFile", {}).pop("storageAccountKey", None)
        if "secret" in each:
            each["secret"] = {}
    for each in list_of(properties.get("extensions")):
        each["properties"].pop("protectedSettings", None)
    dict_of(dig(properties, "diagnostics", "logAnalytics")).pop("workspaceKey", None)


def view_of(containers_shown: list[Body], properties: Body, state: str) -> dict[str, Any]:
    """Return the properties of a group with its instance view."""
    return properties | {"containers": containers_shown, "instanceView": {"events": [], "state": state}}
