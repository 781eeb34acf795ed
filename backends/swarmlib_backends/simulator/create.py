"""What a create or an update may ask for: checked as an engine does, in its words, and completed with its defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from swarmlib import SwarmError

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal, restated
from ..enginekit.bodies import check_restarts
from ..enginekit.configs import completed, completed_host
from ..enginekit.links import conflict
from ..enginekit.mounts import asked_mount
from .addresses import LAST_PORT, address_in
from .engine import Engine
from .hosts import HOST_GATEWAY
from .image import Image
from .logdrivers import log_config
from .resources import check_of_other_systems, check_privileges, check_resources

_UPDATABLE: Final = (
    *("BlkioWeight", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpuShares", "CpusetCpus"),
    *("CpusetMems", "KernelMemory", "Memory", "MemoryReservation", "MemorySwap", "NanoCpus", "PidsLimit"),
)


def config_of(body: Mapping[str, Any], image: Image, hostname: str) -> dict[str, Any]:
    """Return the configuration of a container, with what it takes from its image.

    Raises:
        SwarmError: there is nothing to run.
    """
    config = completed(body, image.config, hostname)
    if not config["Cmd"] and not config["Entrypoint"]:
        raise refusal(400, "No command specified")
    return config


def host_of(body: Mapping[str, Any], engine: Engine) -> dict[str, Any]:
    """Return the host's side of a configuration.

    Raises:
        SwarmError: it asks for what can't be, or for more than there is.
    """
    given = dict_of(body.get("HostConfig"))
    for each in list_of(given.get("Mounts")):
        asked_mount(each)
    host = completed_host(given)
    host["LogConfig"] = log_config(given.get("LogConfig"))
    if ports := dict_of(given.get("PortBindings")):
        for port in ports:
            _check_port(port.partition("/")[0])
        host["PortBindings"] = {port: [_binding(each) for each in list_of(bound)] for port, bound in ports.items()}
    if host["Memory"] and not host["MemorySwap"]:
        host["MemorySwap"] = 2 * host["Memory"]
    if host["NetworkMode"].startswith("container:"):
        host["NetworkMode"] = _joined_network(host["NetworkMode"].partition(":")[2], engine)
    check_restarts(host)
    for each in list_of(host["ExtraHosts"]):
        _check_extra_host(each)
    if given.get("ShmSize", 0) < 0:
        raise refusal(400, "SHM size can not be less than 0")
    check_resources(host, engine)
    check_privileges(host)
    _check_joined(host, engine)
    return host


def _check_joined(host: Mapping[str, Any], engine: Engine) -> None:
    """Raise what is said of containers that are not there, and whose namespaces are asked for."""
    for name in ("IpcMode", "PidMode"):
        if host[name].startswith("container:") and (other := host[name].partition(":")[2]):
            with restated("", 400):
                engine.find(other)


def check_modes(body: Mapping[str, Any]) -> None:
    """Raise what is said of options that exclude each other."""
    host = dict_of(body.get("HostConfig"))
    mode = str(host.get("NetworkMode") or "")
    if mode in ("container", "container:"):
        raise refusal(400, "Invalid network mode: invalid container format container:<name|id>")
    check_of_other_systems(host)
    if host.get("Links") and mode == "host":
        raise conflict("host type networking")
    if not mode.startswith("container:"):
        return
    if host.get("Links"):
        raise conflict("container type network")
    if body.get("Hostname"):
        raise refusal(400, "conflicting options: hostname and the network mode")
    if host.get("PortBindings") or host.get("PublishAllPorts"):
        raise refusal(400, "conflicting options: port publishing and the container type network mode")
    if body.get("ExposedPorts"):
        raise refusal(400, "conflicting options: port exposing and the container type network mode")


def _check_extra_host(given: str) -> None:
    name, colon, address = given.partition(":")
    if not name or not colon:
        raise refusal(400, f'bad format for add-host: "{given}"')
    if address != HOST_GATEWAY and address_in(address) is None:
        raise refusal(400, f'invalid IP address in add-host: "{address}"')


def _binding(given: dict[str, Any]) -> dict[str, str]:
    port = str(given.get("HostPort") or "")
    numbers = port.partition("/")[0]  # a protocol behind it is not looked at
    first, dash, last = numbers.partition("-")
    for number in (first, last) if dash else (numbers,):
        _check_port(number, port)
    if dash and not (first and last):
        raise refusal(400, f'invalid port specification: "{port}"')
    return {"HostIp": str(given.get("HostIp") or ""), "HostPort": port}


def _check_port(number: str, shown: str = "") -> None:
    if not re.fullmatch("[0-9]{0,5}", number) or int(number or 0) > LAST_PORT:
        raise refusal(400, f'invalid port specification: "{shown or number}"')


def _joined_network(ref: str, engine: Engine) -> str:
    try:
        return f"container:{engine.find(ref).id}"
    except SwarmError:
        return f"container:{ref}"  # an engine too says so only at the start


def update(host: dict[str, Any], body: Mapping[str, Any], id: str) -> dict[str, Any]:
    """Return the host's side of a configuration after an update that was checked.

    Raises:
        SwarmError: it contradicts what the container has.
    """
    asked = {name: value for name in _UPDATABLE if (value := body.get(name))}
    memory, swap = int(asked.get("Memory", 0)), int(asked.get("MemorySwap", 0))
    if memory and not swap and memory > host["MemorySwap"] >= 0:
        text = (
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
        raise refusal(409, f"Cannot update container {id}: {text}")
    policy = dict_of(body.get("RestartPolicy"))
    if policy.get("Name"):
        if host["AutoRemove"]:
            text = "Restart policy cannot be updated because AutoRemove is enabled for the container"
            raise refusal(409, f"Cannot update container {id}: {text}")
        asked["RestartPolicy"] = {"Name": "", "MaximumRetryCount": 0} | policy
    return host | asked


def networks_asked(body: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the endpoints that a create configures, by the networks' names.

    Raises:
        SwarmError: there is more than one.
    """
    asked = dict_of(dict_of(body.get("NetworkingConfig")).get("EndpointsConfig"))
    if len(asked) > 1:
        raise refusal(400, f"Container cannot be connected to network endpoints: {', '.join(sorted(asked))}")
    for name, given in asked.items():
        if given is None:
            raise refusal(400, f"no EndpointSettings for {name}")
        for version in (4, 6):
            address = dict_of(given.get("IPAMConfig")).get(f"IPv{version}Address")
            if address and address_in(address) is None:
                raise refusal(400, f"invalid IPv{version} address: {address}")
    return dict(asked)
