"""What the descriptions of networks, volumes and commands in containers demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .demands import Demand, Reader, each, flag, nothing, other, struct, text


def keys(kind: str) -> Reader:
    """Make the reader of a map whose keys are demanded."""

    def read(place: str, value: Any) -> Iterator[Demand]:
        for name in value:
            yield Demand(kind, name, f"{place}.{name}")

    return read


def driver(kind: str, options: str) -> Mapping[str, Reader]:
    """Return the readers of a volume's driver and its options: those of `local` can make any folder a volume."""
    return {"Name": text(kind, "local"), "Options": keys(options)}


_VOLUME: Final = {"Driver": text("volume_drivers", "local"), "DriverOpts": keys("volume_options")}
_SUBNET: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(("Subnet", "IPRange", "Gateway"), text("subnets")),
    "AuxiliaryAddresses": other,
}

volume: Final = struct({**_VOLUME, "Name": nothing, "Labels": nothing, "ClusterVolumeSpec": other})
network: Final = struct(
    {
        **dict.fromkeys(
            ("Name", "Labels", "CheckDuplicate", "Internal", "Attachable", "EnableIPv4", "EnableIPv6"), nothing
        ),
        "Driver": text("network_drivers", "bridge"),
        "Options": keys("network_options"),
        "IPAM": struct({"Driver": text("ipam_drivers", "default"), "Config": each(struct(_SUBNET)), "Options": other}),
        **dict.fromkeys(("Scope", "Ingress", "ConfigOnly", "ConfigFrom"), other),
    }
)
command: Final = struct(
    {
        **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "DetachKeys", "Tty", "ConsoleSize"), nothing),
        **dict.fromkeys(("Env", "Cmd", "User", "WorkingDir", "Detach"), nothing),
        "Privileged": flag("privileged"),
    }
)
beginning: Final = struct(dict.fromkeys(("Detach", "Tty", "ConsoleSize"), nothing))
