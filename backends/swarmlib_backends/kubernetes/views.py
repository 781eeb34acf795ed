"""What an engine shows of its containers, for those of a cluster."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..dockerapi.ages import human
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.values import stamp
from ..enginekit import health
from ..enginekit.configs import completed_host
from ..enginekit.mounts import described
from .container import PodContainer
from .pods import publishing
from .pods.volumes import mounts

LOG_DRIVER: Final = "json-file"
"""Nodes keep logs as an engine keeps them by default: clients of that driver know that logs can be read."""
_OF_BRIDGE: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("EndpointID", "Gateway", "GlobalIPv6Address", "IPAddress", "IPv6Gateway", "MacAddress"), ""),
    **dict.fromkeys(("GlobalIPv6PrefixLen", "IPPrefixLen"), 0),
}
"""What an inspection tells of the connection to the default network outside of the others too, where there is none."""


def summary(
    container: PodContainer, now: float, networks: dict[str, Any], linked: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a container as lists show it, with its connections to networks and the names that links give it."""
    words = _command(container)
    return {
        "Id": container.id,
        "Names": [f"/{container.name}", *linked],
        "Image": _image(container),
        "ImageID": image_id(container),
        "Command": " ".join([*words[:1], *(f"'{word}'" if " " in word else word for word in words[1:])]),
        "Created": int(container.created),
        "Ports": publishing.listed(container.record, container.published_address) if container.running else [],
        "Labels": container.labels,
        "State": container.status,
        "Status": _status_text(container, now),
        "HostConfig": {"NetworkMode": _network_mode(container)},
        "NetworkSettings": {"Networks": {name: {**each, "Aliases": None} for name, each in networks.items()}},
        "Mounts": _mounts(container),
    }


def image_id(container: PodContainer) -> str:
    """Return the id of a container's image: its digest, or where that is not known, one made of its name."""
    image = container.record.image
    return (image.digest if image else "") or f"sha256:{hashlib.sha256(_image(container).encode()).hexdigest()}"


def _image(container: PodContainer) -> str:
    return str(container.config.get("Image") or "")


def _command(container: PodContainer) -> list[str]:
    return [*list_of(container.config.get("Entrypoint")), *list_of(container.config.get("Cmd"))] or [""]


def _network_mode(container: PodContainer) -> str:
    return str(container.host.get("NetworkMode") or "default")


def _status_text(container: PodContainer, now: float) -> str:
    state = container.state
    if state.status == "created":
        return "Created"
    if state.status in ("exited", "dead"):
        return f"Exited ({state.exit_code}) {_age(now - state.finished)} ago"
    if state.status == "restarting":
        return f"Restarting ({state.exit_code}) {_age(now - state.finished)} ago"
    note = " (Paused)" if state.status == "paused" else health.note(state.health)
    return f"Up {_age(now - state.started)}{note}"


def _age(seconds: float) -> str:
    return human(max(seconds, 0.0))[0]


def inspect(container: PodContainer, networks: dict[str, Any], execs: list[str]) -> dict[str, Any]:
    """Return all there is to know of a container.

    networks: its connections to networks. execs: the ids of further processes in it.
    """
    path, *args = _command(container)
    return {
        "Id": container.id,
        "Created": stamp(container.created),
        "Path": path,
        "Args": args,
        "State": container.state.described(),
        "Image": image_id(container),
        "ResolvConfPath": "",
        "HostnamePath": "",
        "HostsPath": "",
        "LogPath": "",
        "Name": f"/{container.name}",
        "RestartCount": container.state.restarts,
        "Driver": "kubernetes",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": execs or None,
        "HostConfig": host_config(container),
        "GraphDriver": {"Name": "kubernetes", "Data": None},
        "Mounts": _mounts(container),
        "Config": container.config,
        "NetworkSettings": _network_settings(container, networks),
    }


def _mounts(container: PodContainer) -> list[dict[str, Any]]:
    return [described(each, each.source) for each in mounts(container.record)]


def host_config(container: PodContainer) -> dict[str, Any]:
    """Return the host's side of a container's configuration, with an engine's defaults."""
    return completed_host(container.host) | {"LogConfig": {"Type": LOG_DRIVER, "Config": {}}}


def _network_settings(container: PodContainer, networks: dict[str, Any]) -> dict[str, Any]:
    bridge = dict_of(networks.get("bridge"))
    return {
        "Bridge": "",
        "SandboxID": "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": publishing.shown(container.record, container.published_address) if container.running else {},
        "SandboxKey": "",
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **{name: bridge.get(name, unset) for name, unset in _OF_BRIDGE.items()},
        "Networks": networks,
    }
