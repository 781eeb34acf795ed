"""What the making of a network may ask for: checked as an engine does, in its words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.numbers import integer
from ..dockerapi.parameters import PARSE_BOOL
from ..dockerapi.status import refusal
from .addresses import address_in, subnet_of

_MTU: Final = "com.docker.network.driver.mtu"
_BRIDGE: Final = "com.docker.network.bridge.name"
_HOST_ADDRESS: Final = "com.docker.network.bridge.host_binding_ipv4"
_SWITCHES: Final = {
    f"com.docker.network.bridge.{name}" for name in ("default_bridge", "enable_icc", "enable_ip_masquerade")
}
_LONGEST_INTERFACE: Final = 15
_INTERFACE: Final = re.compile(r"(?!\.{1,2}$)[^/:\s]*")
"""What Linux takes for the name of a network interface; an engine makes one up for none."""


def config_from(body: Mapping[str, Any]) -> str:
    """Return the network whose configuration another one takes; "" if it has one of its own."""
    return str(dict_of(body.get("ConfigFrom")).get("Network") or "")


def check_subnets(body: Mapping[str, Any]) -> None:
    """Refuse subnets that are none. Raises `SwarmError`."""
    for config in list_of(dict_of(body.get("IPAM")).get("Config")):
        subnet_of(str(dict_of(config).get("Subnet") or ""))


def check_operator(body: Mapping[str, Any]) -> None:
    """Refuse what excludes each other, and a network of more than this engine, which is in no swarm.

    Raises:
        SwarmError: it asks for such a thing.
    """
    if body.get("ConfigOnly"):
        _check_config_only(body)
    if config_from(body):
        _check_dependent(body)
    if body.get("Ingress"):
        raise refusal(403, "Ingress network can only be global scope network")
    if body.get("Scope") == "swarm":
        raise refusal(403, "cannot create a swarm scoped network when swarm is not active")


def _check_config_only(body: Mapping[str, Any]) -> None:
    if any(body.get(name) for name in ("Ingress", "Internal", "Attachable", "Scope")):
        kinds = "[ ingress | internal | attachable | scope ]"
        only = "configuration network can only contain network specific fields"
        raise refusal(403, f"{only}. Network operator fields like {kinds} are not supported.")
    if config_from(body):
        raise refusal(403, "a configuration network cannot depend on another configuration network")


def _check_dependent(body: Mapping[str, Any]) -> None:
    depends = "not supported if the network depends on a configuration network"
    ipam = dict_of(body.get("IPAM"))
    own = (body.get("EnableIPv6"), body.get("Labels"), ipam.get("Options"), ipam.get("Config"))
    if any(own) or ipam.get("Driver") not in (None, "", "default"):
        raise refusal(403, f"user specified configurations are {depends}")
    if body.get("Options"):
        raise refusal(403, f"network driver options are {depends}")


def check_options(options: Mapping[str, str]) -> None:
    """Refuse options of the bridge that are not what they should be. Raises `SwarmError`."""
    for name, value in options.items():
        if name == _MTU and (integer(value) or 0) < 0:
            raise refusal(500, f"invalid MTU number: {value}")
        if name == _BRIDGE and len(value) > _LONGEST_INTERFACE:
            raise refusal(500, "failed to check bridge interface existence: numerical result out of range")
        if name == _BRIDGE and not _INTERFACE.fullmatch(value):
            raise refusal(500, "invalid argument")
        if problem := _unreadable(name, value):
            raise refusal(500, f"failed to parse {name} value: {value} ({problem})")


def _unreadable(name: str, value: str) -> str:
    """Why an option can't be read; empty if it can."""
    if name == _MTU and integer(value) is None:
        return f'strconv.Atoi: parsing "{value}": invalid syntax'
    if name in _SWITCHES and value not in PARSE_BOOL:
        return f'strconv.ParseBool: parsing "{value}": invalid syntax'
    return "nil ip" if name == _HOST_ADDRESS and address_in(value) is None else ""
