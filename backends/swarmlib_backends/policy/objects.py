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


_DRIVER: Final = text("volume_drivers", "local")
_OPTIONS: Final = keys("volume_options")
"""The options of a volume's driver: those of `local` can make any folder of the host a volume."""
_SUBNET: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(("Subnet", "IPRange", "Gateway"), text("subnets")),
    "AuxiliaryAddresses": other,
}

driver: Final = struct({"Name": _DRIVER, "Options": _OPTIONS})
volume: Final = struct(
    {"Name": nothing, "Labels": nothing, "Driver": _DRIVER, "DriverOpts": _OPTIONS, "ClusterVolumeSpec": other}
)
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
