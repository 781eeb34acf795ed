"""What becomes of each field of a container's creation in a container group: see `enginekit.fields`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from swarmlib import Unsupported

from ..enginekit import fields
from ..enginekit.bodies import HARMLESS, only
from ..enginekit.fields import (
    FILLED_IN,
    MASKED_PATHS,
    READONLY_PATHS,
    WINDOWS,
    Each,
    Entry,
    Field,
    ignored,
    mapped,
    unsupported,
)

_WHAT: Final = "a container on Azure"


def refused(*refusals: tuple[str, str]) -> Unsupported:
    """Return the refusal of fields: each with its place and why it can't be had."""
    return fields.refused(_WHAT, *refusals)


def check(body: Mapping[str, Any]) -> None:
    """Refuse a creation that sets what a container group can't have: see `enginekit.fields.check`."""
    fields.check(TABLE, body, _WHAT)


_ADDRESS: Final = unsupported("Azure gives addresses")
_CGROUPS: Final = unsupported("Azure has --cpus and --memory, and no other limits")
_HARDWARE: Final = unsupported("Azure gives no devices to containers")
_HOST: Final = unsupported("there is no machine of which it could have a part")
_IMAGE: Final = unsupported("the image decides about it: Azure has nothing that replaces it")
_KERNEL: Final = unsupported("Azure decides about it")
_NAMES: Final = unsupported("containers on Azure don't know each other by names; use a private DNS zone of the network")
_RATES: Final = unsupported("Azure does not limit the rates of disks")
_SHARES: Final = unsupported("a volume is a file share of Azure's, or an empty folder")
_STDIN: Final = unsupported("its command has no input; use docker exec -it")
_RESOURCES: Final[Mapping[str, Entry]] = {
    **dict.fromkeys(("Memory",), mapped("resources.requests.memoryInGB")),
    **dict.fromkeys(("NanoCpus", "CpuQuota", "CpuPeriod"), mapped("resources.requests.cpu")),
    "MemorySwap": ignored("it limits swap, of which there is none"),
    "MemorySwappiness": ignored("there is no swap"),
    **dict.fromkeys(("MemoryReservation", "CpuShares", "CpusetCpus", "CpusetMems", "Ulimits"), _CGROUPS),
    **dict.fromkeys(("KernelMemory", "KernelMemoryTCP", "CpuRealtimePeriod", "CpuRealtimeRuntime"), _CGROUPS),
    "OomKillDisable": _CGROUPS,
    "PidsLimit": unsupported("Azure has --cpus and --memory, and no other limits", -1),
    "CgroupParent": _KERNEL,
    "Init": unsupported("Azure adds no first process; the image may have one"),
    "DeviceRequests": unsupported("Azure has retired container instances with GPUs"),
    **dict.fromkeys(("Devices", "DeviceCgroupRules"), _HARDWARE),
    **dict.fromkeys(("BlkioWeight", "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps"), _RATES),
    **dict.fromkeys(("BlkioDeviceReadIOps", "BlkioDeviceWriteIOps"), _RATES),
    **dict.fromkeys(("CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth"), WINDOWS),
}
_MOUNT: Final[Mapping[str, Entry]] = {
    **dict.fromkeys(("Target", "Source", "ReadOnly"), mapped("a volume and where it is mounted")),
    "Type": Field(only("volume", "tmpfs"), "it can have file shares of Azure's (volume) and empty folders (tmpfs)"),
    "Consistency": ignored("it is for Docker Desktop"),
    "BindOptions": dict.fromkeys(
        ("Propagation", "CreateMountpoint", "NonRecursive", "ReadOnlyNonRecursive", "ReadOnlyForceRecursive"), _HOST
    ),
    "VolumeOptions": {
        "NoCopy": ignored("nothing is ever copied into a volume"),
        "Labels": _SHARES,
        "DriverConfig": {"Name": unsupported("a volume is a file share of Azure's", "local"), "Options": _SHARES},
        "Subpath": _SHARES,
    },
    "TmpfsOptions": dict.fromkeys(("SizeBytes", "Mode", "Options"), unsupported("an empty folder has no options")),
    "ImageOptions": {"Subpath": unsupported("images can't be mounted")},
}
_OF_HOST: Final[Mapping[str, Entry]] = {
    **_RESOURCES,
    **dict.fromkeys(("Binds", "Tmpfs"), mapped("volumes and volumeMounts")),
    "Mounts": Each(_MOUNT),
    "ShmSize": _KERNEL,
    "VolumeDriver": unsupported("a volume is a file share of Azure's", "local"),
    "VolumesFrom": unsupported("name the file share in both"),
    "StorageOpt": _KERNEL,
    "ContainerIDFile": ignored("a client writes it"),
    "LogConfig": {
        "Type": unsupported("Azure keeps the logs", "json-file", "local", "journald"),
        "Config": unsupported("Azure keeps the last 4 MB of the logs"),
    },
    "NetworkMode": mapped("subnetIds"),
    "PortBindings": mapped("ipAddress.ports"),
    "PublishAllPorts": unsupported("name each port by -p"),
    "RestartPolicy": {
        "Name": mapped("restartPolicy"),
        "MaximumRetryCount": unsupported("Azure does not count the restarts"),
    },
    "AutoRemove": mapped("the gateway removes the container when it has ended"),
    **dict.fromkeys(("CapAdd", "CapDrop", "Privileged", "GroupAdd", "SecurityOpt", "Sysctls"), _KERNEL),
    "ReadonlyRootfs": _KERNEL,
    "CgroupnsMode": unsupported("Azure decides about it", "private"),
    **dict.fromkeys(("Dns", "DnsOptions", "DnsSearch"), unsupported("the subnet decides about it")),
    "ExtraHosts": _NAMES,
    "IpcMode": unsupported("containers on Azure share nothing with each other", "private", "shareable"),
    **dict.fromkeys(("PidMode", "UTSMode"), unsupported("containers on Azure share nothing with each other")),
    "UsernsMode": _KERNEL,
    "Cgroup": _KERNEL,
    "Links": _NAMES,
    "OomScoreAdj": _KERNEL,
    "Runtime": Field(only("confidential"), "confidential is the only one that it can have"),
    "Isolation": Field(only("default", "confidential"), "confidential is the only one that it can have"),
    "ConsoleSize": Field(HARMLESS["ConsoleSize"], "a client resizes the terminal"),
    "MaskedPaths": Field(MASKED_PATHS, "Azure decides about it", empty=False),
    "ReadonlyPaths": Field(READONLY_PATHS, "Azure decides about it", empty=False),
    "Annotations": unsupported("they are for a container runtime"),
}
_ENDPOINT: Final[Mapping[str, Entry]] = {
    "Aliases": _NAMES,
    "IPAMConfig": dict.fromkeys(("IPv4Address", "IPv6Address", "LinkLocalIPs"), _ADDRESS),
    "Links": _NAMES,
    "MacAddress": _ADDRESS,
    "DriverOpts": unsupported("a subnet has no options"),
    "GwPriority": unsupported("it has one network"),
    **dict.fromkeys(("NetworkID", "EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "IPv6Gateway"), FILLED_IN),
    **dict.fromkeys(("GlobalIPv6Address", "GlobalIPv6PrefixLen", "DNSNames"), FILLED_IN),
}
TABLE: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        "Image": mapped("image"),
        **dict.fromkeys(("Entrypoint", "Cmd"), mapped("command")),
        "Env": mapped("environmentVariables"),
        "Labels": mapped("tags"),
        **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr"), ignored("a client says it when it attaches")),
        **dict.fromkeys(("OpenStdin", "StdinOnce"), _STDIN),
        "Tty": unsupported("its command has no terminal; use docker exec -it"),
        "ExposedPorts": ignored("only what is published is open"),
        "Volumes": mapped("an empty folder each"),
        **dict.fromkeys(("WorkingDir", "User"), _IMAGE),
        "Hostname": unsupported("Azure names it"),
        "Domainname": unsupported("Azure names it"),
        "StopSignal": unsupported("Azure stops containers by TERM", "SIGTERM", "TERM", "15"),
        "StopTimeout": unsupported("Azure decides how long a container may take to stop"),
        "Healthcheck": {
            "Test": unsupported("Azure's probes restart a container, and do not tell its health", ["NONE"]),
            **dict.fromkeys(
                ("Interval", "Timeout", "Retries", "StartPeriod", "StartInterval"),
                unsupported("Azure's probes restart a container, and do not tell its health"),
            ),
        },
        "Shell": ignored("it is of the health check"),
        "ArgsEscaped": ignored("it is for Windows, of images"),
        "OnBuild": ignored("an engine keeps it for commits, which can't be made"),
        "NetworkDisabled": unsupported("every container on Azure has a network"),
        "MacAddress": _ADDRESS,
        "HostConfig": _OF_HOST,
        "NetworkingConfig": {"EndpointsConfig": Each(_ENDPOINT)},
    }
)
"""What becomes of each field of a creation."""
