"""The shapes of engines' answers: which of their fields hold the names of objects.

Source: the Engine API's OpenAPI document, and what engines answer besides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from ..dockerapi.nullable import dict_of, list_of
from . import ports
from .names import BRIDGE, LABEL, Names
from .shapes import Show, bind, each, either, image, keyed, labels, link, name, struct, text

ASKED: Final = f"{LABEL}.asked"
"""The label of a mount that was not asked for as such: it has the bind that was, or "" for a volume without a name."""
_OF_DEFAULT_NETWORK: Final = frozenset(
    {
        *("EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen"),
        *("IPAddress", "IPPrefixLen", "IPv6Gateway", "MacAddress"),
    }
)
"""What an engine says of a container in its default network outside of the list of networks too."""
_ID: Final = re.compile(r"[0-9a-f]{64}")

_ENDPOINT: Final = struct({"Links": each(link), "Aliases": each(name), "DNSNames": each(name)})
_NETWORKS: Final = struct({"Networks": keyed(name, _ENDPOINT)})
_MOUNT_POINT: Final = struct({"Name": name, "Source": text})
_CONFIG: Final = struct({"Image": image, "Labels": labels})


def _last_step(names: Names, value: Any) -> Any:
    """Show the configuration of the container of an image's last step, but no step that was added."""
    shown = _CONFIG(names, value)
    added = any(str(each).endswith(names.stamp) for each in list_of(dict_of(shown).get("Cmd")))
    return {**shown, "Cmd": None} if added else shown


_HOST_CONFIG_FIELDS: Final = struct(
    {
        "Binds": each(bind),
        "Links": each(link),
        "Mounts": each(struct({"Source": either, "VolumeOptions": struct({"Labels": labels})})),
        "NetworkMode": name,
        "VolumesFrom": each(bind),
    }
)


def _host_config(names: Names, value: Any) -> Any:
    """Show the mounts that were asked for: some others were made of binds, and of the volumes of the image."""
    if not dict_of(value).get("Mounts"):
        return _HOST_CONFIG_FIELDS(names, value)
    made_of = [_made_of(mount) for mount in value["Mounts"]]
    binds = [*list_of(value.get("Binds")), *filter(None, made_of)]
    mounts = [mount for mount, bind in zip(value["Mounts"], made_of, strict=True) if bind is None]
    return _HOST_CONFIG_FIELDS(names, {**value, "Binds": binds or None, "Mounts": mounts})


def _made_of(mount: Any) -> str | None:
    return dict_of(dict_of(dict_of(mount).get("VolumeOptions")).get("Labels")).get(ASKED)


def _default_network(settings: dict[str, Any]) -> dict[str, Any]:
    """Return where a container is in its networks, with what an engine says of its own default network besides."""
    bridge = dict_of(dict_of(settings.get("Networks")).get(BRIDGE))
    return {**settings, **{name: bridge[name] for name in _OF_DEFAULT_NETWORK & bridge.keys() & settings.keys()}}


def _by_network_name(show: Show) -> Show:
    """Make the shape of a container whose network mode is shown by the network's name: the engine was given its id."""

    def shown(names: Names, value: Any) -> Any:
        made = show(names, value)
        host = dict_of(made.get("HostConfig"))
        mode = host.get("NetworkMode") or ""
        if _ID.fullmatch(mode):
            networks = dict_of(dict_of(made.get("NetworkSettings")).get("Networks"))
            # A container that has not been started has no id of its network yet, and is in no other one.
            fitting = [each for each, endpoint in networks.items() if dict_of(endpoint).get("NetworkID") in (mode, "")]
            host["NetworkMode"] = fitting[0] if fitting else mode
        if made.get("NetworkSettings"):
            made["NetworkSettings"] = _default_network(made["NetworkSettings"])
        return made

    return shown


def _before(change: Callable[[Any], Any], show: Show) -> Show:
    """Make the shape of a value that is changed before it is shown, as long as it has the labels of tenancy."""
    return lambda names, value: show(names, change(value))


CONTAINER_SUMMARY: Final = _before(
    ports.show_listed,
    _by_network_name(
        struct(
            {
                "Names": each(name),
                "Image": image,
                "Labels": labels,
                "HostConfig": _host_config,
                "NetworkSettings": _NETWORKS,
                "Mounts": each(_MOUNT_POINT),
            }
        )
    ),
)
CONTAINER: Final = _before(
    ports.show_inspected,
    _by_network_name(
        struct(
            {
                "Name": name,
                "Image": image,
                "State": struct({"Error": text}),
                "Config": _CONFIG,
                "HostConfig": _host_config,
                "Mounts": each(_MOUNT_POINT),
                "NetworkSettings": _NETWORKS,
            }
        )
    ),
)
STATS: Final = struct({"name": name})
WAITED: Final = struct({"Error": struct({"Message": text})})
WARNED: Final = struct({"Warnings": each(text), "Warning": text})
NETWORK: Final = struct({"Name": name, "Labels": labels, "Containers": keyed(name, struct({"Name": name}))})
VOLUME: Final = struct({"Name": name, "Mountpoint": text, "Labels": labels})
PRUNED: Final = struct({"NetworksDeleted": each(name), "VolumesDeleted": each(name)})
PROGRESS: Final = struct(
    {"status": text, "id": image, "error": text, "errorDetail": struct({"message": text}), "stream": text}
)
IMAGE: Final = struct(
    {
        "RepoTags": each(image),
        "RepoDigests": each(image),
        "Labels": labels,
        "Config": _CONFIG,
        "ContainerConfig": _last_step,
    }
)
HISTORY: Final = each(struct({"Tags": each(image)}))
REMOVED: Final = each(struct({"Untagged": image, "Deleted": image}))
_ATTRIBUTES: Final = struct({"name": either, "oldName": name, "image": image, "container": name})
_ACTOR: Final = struct({"ID": either, "Attributes": lambda names, value: _ATTRIBUTES(names, labels(names, value))})
EVENT: Final = struct({"from": image, "id": either, "Actor": _ACTOR})
