"""What the descriptions of networks, volumes, commands in containers, secrets and configurations demand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import containers, mounts, names
from .demands import Reader, each, flag, harmless, keys, nothing, other, struct, text

_SUBNET: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(("Subnet", "IPRange", "Gateway"), text("subnets")),
    "AuxiliaryAddresses": other,
}

volume: Final = struct(
    {
        "Name": nothing,
        "Labels": nothing,
        "Driver": mounts.VOLUME_DRIVER,
        "DriverOpts": mounts.options,
        "ClusterVolumeSpec": other,
    }
)
volume_update: Final = struct({"Spec": other})
network: Final = struct(
    {
        "Name": names.new,
        **dict.fromkeys(("Labels", "CheckDuplicate", "Internal", "Attachable", "EnableIPv4", "EnableIPv6"), nothing),
        "Driver": text("network_drivers", "bridge"),
        "Options": keys("network_options"),
        "IPAM": struct({"Driver": text("ipam_drivers", "default"), "Config": each(struct(_SUBNET)), "Options": other}),
        **dict.fromkeys(("Scope", "Ingress", "ConfigOnly", "ConfigFrom"), other),
    }
)
connection: Final = struct({"Container": nothing, "EndpointConfig": containers.endpoint})
disconnection: Final = harmless("Container", "Force")
command: Final = struct(
    {
        **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "DetachKeys", "Tty", "ConsoleSize"), nothing),
        **dict.fromkeys(("Env", "Cmd", "WorkingDir", "Detach"), nothing),
        "User": nothing,  # a rule can require one
        "Container": nothing,  # docker-py repeats the path's there, which is what an engine takes
        "Privileged": flag("privileged"),
    }
)
beginning: Final = harmless("Detach", "Tty", "ConsoleSize")
_DATA: Final[Mapping[str, Reader]] = {"Name": names.new, **dict.fromkeys(("Labels", "Data"), nothing)}
secret: Final = struct({**_DATA, "Driver": other, "Templating": other})
config: Final = struct({**_DATA, "Templating": other})
credentials: Final = harmless(
    *("serveraddress", "username", "password", "email", "auth", "identitytoken", "registrytoken")
)
"""Reads credentials. Those of a push go to the registry of the image's name, whatever address they have."""
