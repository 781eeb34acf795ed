"""The container group that a container is: ARM's body for it, made of its record."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from swarmlib import Invalid

from ..azure.spec import Body
from ..dockerapi import isolation
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.references import full
from ..enginekit.bodies import check_restarts
from ..enginekit.mounts import Mount, check_temporary, mounts_of
from ..registry.credentials import Credentials
from . import fields
from .fields import refused
from .options import AciOptions
from .record import MAIN, Record

_GIB: Final = 2**30
_NANO: Final = 10**9
_PERIOD: Final = 100_000
"""Microseconds: that of a quota without one."""
_POLICIES: Final = {
    "": "Never",
    "no": "Never",
    "on-failure": "OnFailure",
    "always": "Always",
    "unless-stopped": "Always",
}
CONFIDENTIAL: Final = "confidential"
_OWN_NETWORKS: Final = ("", "default", "bridge")
"""The names of the network that a container has that asks for none."""
_ANY_ADDRESS: Final = ("", "0.0.0.0", "::")
_PROTOCOLS: Final = ("tcp", "udp")
_AZURE_REGISTRY: Final = ".azurecr.io"
_SHARE: Final = re.compile(r"(?!.*--)[a-z0-9][-a-z0-9]{1,61}[a-z0-9]")
"""The names of file shares."""


@dataclass(frozen=True)
class Surroundings:
    """What the groups of one backend have in common.

    scope: the id of their resource group. account, key: of the file shares.
    """

    options: AciOptions
    scope: str
    account: str = ""
    key: str = field(default="", repr=False)


def group(record: Record, around: Surroundings, credentials: Credentials) -> Body:
    """Return the body of a container's group.

    credentials: those for the registry of its image.

    Raises:
        Unsupported: it asks for what Azure can't do. SwarmError: a value is wrong.
        TooLarge: its labels are more than Azure's tags can hold.
    """
    fields.check(record.body)
    check_restarts(record.host)
    options = around.options
    ports, subnet, confidential = _ports(record), _subnet(record, around), _is_confidential(record)
    properties: Body = {
        "osType": "Linux",
        "restartPolicy": _POLICIES[str(dict_of(record.host.get("RestartPolicy")).get("Name") or "")],
        "sku": "Confidential" if confidential else "Standard",
        **_containers(record, around, ports),
        "imageRegistryCredentials": [*_credentials(record, options, credentials)],
    }
    if options.spot:
        _check_spot(ports, subnet, confidential=confidential)
        properties["priority"] = "Spot"
    if subnet:
        properties["subnetIds"] = [{"id": subnet}]
    if ports:
        properties["ipAddress"] = {"type": "Private" if subnet else "Public", "ports": ports}
    more = dict(each.split("=", 1) for each in options.tag)
    body: Body = {"location": options.location, "tags": record.tags(more), "properties": properties}
    if options.identity:
        body["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {options.identity: {}}}
    return body


def _containers(record: Record, around: Surroundings, ports: list[Body]) -> Body:
    """Return the container of a group, and its volumes."""
    volumes = [*_volumes(record, around)]
    own: Body = {
        "image": record.image,
        "resources": {"requests": _resources(record, around.options)},
        "environmentVariables": [*_variables(record)],
        "ports": ports,
        "volumeMounts": [mount for _, mount in volumes],
    }
    if record.command:
        own["command"] = record.command
    return {"containers": [{"name": MAIN, "properties": own}], "volumes": [volume for volume, _ in volumes]}


def _check_spot(ports: list[Body], subnet: str, *, confidential: bool) -> None:
    if ports or subnet or confidential:
        what = "HostConfig.PortBindings" if ports else "a network" if subnet else "isolation"
        raise refused((what, "a spot container has no way in, and no other isolation; leave out --spot"))


def _is_confidential(record: Record) -> bool:
    """Return whether a container is to be confidential. Raises `Unsupported` for another isolation."""
    demand = isolation.demanded(record.body) or isolation.named(record.body)
    if demand not in ("", CONFIDENTIAL):
        raise refused((f"the isolation {demand!r:.40}", "confidential is the only one that it can have"))
    return bool(demand)


def _resources(record: Record, options: AciOptions) -> Body:
    """Return what a container asks for: CPUs, and memory, of which Azure wants tenths of GB."""
    host = record.host
    cpus = _positive(host, "NanoCpus") / _NANO or options.cpus
    if (quota := int(host.get("CpuQuota") or 0)) > 0:
        cpus = quota / int(host.get("CpuPeriod") or _PERIOD)
    memory = _positive(host, "Memory") or options.memory
    return {"cpu": math.ceil(cpus * 100) / 100, "memoryInGB": math.ceil(memory * 10 / _GIB) / 10}


def _positive(host: Mapping[str, Any], name: str) -> int:
    if (amount := int(host.get(name) or 0)) < 0:
        raise Invalid(f"HostConfig.{name} must be 0 or more, not {amount}")
    return amount


def _variables(record: Record) -> Iterator[Body]:
    for entry in list_of(record.body.get("Env")):
        name, given, value = entry.partition("=")
        if not given:
            raise refused((f"Env {entry!r:.80}", "Azure can't remove a variable; give it a value"))
        yield {"name": name, "value": value}


def _ports(record: Record) -> list[Body]:
    """Return the ports that are open, each under its own number."""
    found: list[Body] = []
    for key, bindings in dict_of(record.host.get("PortBindings")).items():
        number, _, protocol = key.partition("/")
        place = f"HostConfig.PortBindings.{key:.20}"
        if not (number.isascii() and number.isdigit()) or (protocol or "tcp") not in _PROTOCOLS:
            raise refused((place, "it can publish ports of TCP and UDP, each by its number"))
        for each in map(dict_of, list_of(bindings)):
            if each.get("HostPort") not in (None, "", number):
                why = f"Azure publishes a port under its own number: -p {number}:{number}"
                raise refused((f"{place} {each['HostPort']!r:.20}", why))
            if str(each.get("HostIp") or "") not in _ANY_ADDRESS:
                raise refused((f"{place} {each['HostIp']!r:.40}", "Azure gives the address"))
        found.append({"port": int(number), "protocol": (protocol or "tcp").upper()})
    return found


def _subnet(record: Record, around: Surroundings) -> str:
    """Return the id of the subnet that a container is in; "" for none."""
    asked = {
        f"NetworkingConfig.EndpointsConfig {name!r:.80}": name
        for name in dict_of(dict_of(record.body.get("NetworkingConfig")).get("EndpointsConfig"))
    } | {f"HostConfig.NetworkMode {record.network!r:.80}": record.network}
    named = {name: place for place, name in asked.items() if name not in _OWN_NETWORKS}
    named = named or {around.options.network: "--network"}
    if len(named) > 1:
        raise refused((", ".join(named.values()), "it has one network"))
    ((name, place),) = named.items()
    if not name or name.startswith("/"):
        return name
    network, slash, subnet = name.partition("/")
    if not (network and slash and subnet):
        raise refused((place, "its network is a delegated subnet, as VNET/SUBNET or by its id; there are no others"))
    return f"{around.scope}/providers/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}"


def _volumes(record: Record, around: Surroundings) -> Iterator[tuple[Body, Body]]:
    """Yield the volumes of a container, each with how it is mounted. Raises `SwarmError`."""
    check_temporary(record.host)
    found = mounts_of(record.config, record.host, _check_share)
    temporary = dict_of(record.host.get("Tmpfs"))
    for target, options in temporary.items():
        if options:
            raise refused((f"HostConfig.Tmpfs.{target:.80} {options!r:.40}", "an empty folder has no options"))
    found += [Mount("tmpfs", target) for target in temporary]
    for number, mount in enumerate(found):
        name = f"v{number}"
        where = {"name": name, "mountPath": mount.target, "readOnly": not mount.writable}
        if mount.type == "bind":
            raise refused((f"the mount {mount.source!r:.80}", "there is no machine with folders; name a file share"))
        shared = mount.type == "volume" and not mount.anonymous
        source: Body = {"azureFile": _share(mount, around)} if shared else {"emptyDir": {}}
        yield {"name": name, **source}, where


def _check_share(name: str) -> None:
    if not _SHARE.fullmatch(name):
        rule = "3 to 63 lower case letters, digits and single hyphens"
        raise Invalid(f"invalid volume {name!r:.80}: expected the name of a file share of Azure's, {rule}")


def _share(mount: Mount, around: Surroundings) -> Body:
    if not around.account or not around.key:
        why = "a volume is a file share: give --storage-account and --storage-key"
        raise refused((f"the volume {mount.name!r:.80}", why))
    account: Body = {"storageAccountName": around.account, "storageAccountKey": around.key}
    return account | {"shareName": mount.name, "readOnly": not mount.writable}


def _credentials(record: Record, options: AciOptions, credentials: Credentials) -> Iterator[Body]:
    """Yield the credentials for the registry of the image, if it needs any. Raises `Unsupported` for a token."""
    server = full(record.image).partition("/")[0]
    if credentials.username and not credentials.identity_token:
        known = "index.docker.io" if server == "docker.io" else server
        yield {"server": known, "username": credentials.username, "password": credentials.password}
    elif credentials != Credentials():
        raise refused((f"the image {record.image!r:.80}", "Azure pulls by a user with a password, not by a token"))
    elif options.identity and server.endswith(_AZURE_REGISTRY):
        yield {"server": server, "identity": options.identity}
