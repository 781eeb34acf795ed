"""What the description of a container demands: the body of ContainerCreate, in canonical form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ..dockerapi import references
from .demands import FIELDS, Demand, Reader, each, flag, given, nothing, other, struct, text
from .objects import driver, keys

_HARMLESS_BIND_OPTIONS: Final = frozenset(
    {"", "ro", "rw", "nocopy", "private", "rprivate", "consistent", "cached", "delegated"}
)
_NO_NEW_PRIVILEGES: Final = re.compile(r"no-new-privileges(?:[:=]true)?")


def _image(place: str, value: Any) -> Iterator[Demand]:
    if value:
        yield Demand("images", value if references.is_digest(value) else references.normal(value), place)


def _namespace(kind: str, *own: str) -> Reader:
    """Make the reader of a namespace's mode: a container's own demands nothing."""

    def read(place: str, value: Any) -> Iterator[Demand]:
        if value and value not in own:
            yield Demand("namespaces", f"{kind}={value}", place)

    return read


def _network_mode(place: str, value: Any) -> Iterator[Demand]:
    if value == "host" or value.startswith("container:"):
        yield from _namespace("network")(place, value)
    elif value not in ("", "none"):
        yield Demand("networks", value, place)


def _capability(place: str, value: Any) -> Iterator[Demand]:
    yield Demand("capabilities", value.upper().removeprefix("CAP_"), place)


def _bind(place: str, value: Any) -> Iterator[Demand]:
    source, _, rest = value.partition(":")
    yield Demand("binds" if source.startswith("/") else "volumes", source, place)
    for option in rest.partition(":")[2].split(","):
        if option not in _HARMLESS_BIND_OPTIONS:
            yield Demand("bind_options", option, place)


def _mount(place: str, value: Any) -> Iterator[Demand]:
    yield from _MOUNTS.get(value.get("Type", ""), _unknown_mount)(place, value)


def _unknown_mount(place: str, value: Any) -> Iterator[Demand]:
    yield Demand(FIELDS, "HostConfig.Mounts", place)


def _device(place: str, value: Any) -> Iterator[Demand]:
    yield Demand("devices", value.get("PathOnHost", ""), place)


def _device_request(place: str, value: Any) -> Iterator[Demand]:
    yield Demand("devices", value.get("Driver") or "any", place)


def _security(place: str, value: Any) -> Iterator[Demand]:
    if not _NO_NEW_PRIVILEGES.fullmatch(value):
        yield Demand("security", value, place)


def _ports(place: str, value: Any) -> Iterator[Demand]:
    published: Mapping[str, Sequence[Mapping[str, str]] | None] = value
    for port, bindings in published.items():
        for binding in bindings or ():
            host = binding.get("HostIp") or "*"
            yield Demand("ports", f"{host}:{binding.get('HostPort') or 'any'}", f"{place}.{port}")


def _publish_all(place: str, value: Any) -> Iterator[Demand]:
    if value:
        yield Demand("ports", "*:any", place)


def _log(place: str, value: Any) -> Iterator[Demand]:
    yield from text("log_drivers")(f"{place}.Type", value.get("Type"))
    if value.get("Config") and not value.get("Type"):
        yield Demand(FIELDS, f"{place}.Config", f"{place}.Config")


def _endpoints(place: str, value: Any) -> Iterator[Demand]:
    joined: Mapping[str, Any] = value
    for name, endpoint in joined.items():
        yield Demand("networks", name, f"{place}.{name}")
        yield from _ENDPOINT(f"{place}.{name}", endpoint)


def _limit(place: str, value: Any) -> Iterator[Demand]:
    """Read a limit: a negative one lifts it, whatever the engine's own default is."""
    if value < 0:
        yield Demand(FIELDS, place, place)


_MOUNT_HEAD: Final[Mapping[str, Reader]] = dict.fromkeys(("Type", "Target", "ReadOnly", "Consistency"), nothing)
_BIND_MOUNT: Final[Mapping[str, Reader]] = {
    **_MOUNT_HEAD,
    "Source": text("binds"),
    "BindOptions": struct(
        {
            "Propagation": text("bind_options", "private", "rprivate"),
            **dict.fromkeys(("NonRecursive", "ReadOnlyNonRecursive", "ReadOnlyForceRecursive"), nothing),
            "CreateMountpoint": other,
        }
    ),
}
_VOLUME_MOUNT: Final[Mapping[str, Reader]] = {
    **_MOUNT_HEAD,
    "Source": text("volumes"),
    "VolumeOptions": struct(
        {
            "NoCopy": nothing,
            "Labels": nothing,
            "Subpath": nothing,
            "DriverConfig": driver,
        }
    ),
}
_TMPFS_MOUNT: Final[Mapping[str, Reader]] = {
    **_MOUNT_HEAD,
    "Source": other,
    "TmpfsOptions": struct({"SizeBytes": nothing, "Mode": nothing, "Options": other}),
}
_IMAGE_MOUNT: Final[Mapping[str, Reader]] = {
    **_MOUNT_HEAD,
    "Source": _image,
    "ImageOptions": struct({"Subpath": nothing}),
}
_MOUNTS: Final[Mapping[str, Reader]] = {
    "bind": struct(_BIND_MOUNT),
    "volume": struct(_VOLUME_MOUNT),
    "tmpfs": struct(_TMPFS_MOUNT),
    "image": struct(_IMAGE_MOUNT),
}
_ENDPOINT: Final = struct(
    {
        **dict.fromkeys(("Aliases", "IPAMConfig", "MacAddress", "GwPriority", "DNSNames"), nothing),
        # What an engine fills in, and ignores where a client repeats it.
        **dict.fromkeys(("NetworkID", "EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "IPv6Gateway"), nothing),
        **dict.fromkeys(("GlobalIPv6Address", "GlobalIPv6PrefixLen"), nothing),
        "Links": each(text("links")),
        "DriverOpts": other,
    }
)
_LIMITS: Final = ("Memory", "MemorySwap", "MemoryReservation", "NanoCpus", "CpuQuota", "CpuPeriod", "PidsLimit")
"""The fields that a rule's requirements judge, and nothing else."""
_HOST: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(_LIMITS, _limit),
    **dict.fromkeys(("AutoRemove", "Init", "ReadonlyRootfs", "CapDrop", "ConsoleSize", "CpuShares"), nothing),
    **dict.fromkeys(("Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "Tmpfs", "MemorySwappiness"), nothing),
    "Binds": each(_bind),
    "Mounts": each(_mount),
    "VolumesFrom": each(text("volumes_from")),
    "VolumeDriver": text("volume_drivers", "local"),
    "NetworkMode": _network_mode,
    "IpcMode": _namespace("ipc", "private", "none", "shareable"),
    "PidMode": _namespace("pid"),
    "UTSMode": _namespace("uts"),
    "UsernsMode": _namespace("user"),
    "CgroupnsMode": _namespace("cgroup", "private"),
    "Privileged": flag("privileged"),
    "CapAdd": each(_capability),
    "Devices": each(_device),
    "DeviceCgroupRules": each(text("devices")),
    "DeviceRequests": each(_device_request),
    "SecurityOpt": each(_security),
    "MaskedPaths": given,
    "ReadonlyPaths": given,
    "Sysctls": keys("sysctls"),
    "GroupAdd": each(text("groups")),
    "Runtime": text("runtimes"),
    "Links": each(text("links")),
    "PortBindings": _ports,
    "PublishAllPorts": _publish_all,
    "LogConfig": _log,
    "RestartPolicy": struct({"Name": text("restarts", "no"), "MaximumRetryCount": nothing}),
    "Isolation": text(FIELDS, "default"),
    # The rest has no kind: CgroupParent, OomScoreAdj, StorageOpt, Ulimits, and whatever engines learn to do.
    **dict.fromkeys(
        (
            *("BlkioWeight", "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps"),
            *("BlkioDeviceWriteIOps", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpusetCpus", "CpusetMems"),
            *("KernelMemory", "KernelMemoryTCP", "OomKillDisable", "OomScoreAdj", "Ulimits", "CpuCount", "CpuPercent"),
            *("IOMaximumIOps", "IOMaximumBandwidth", "ContainerIDFile", "Cgroup", "CgroupParent", "StorageOpt"),
            *("ShmSize", "Annotations"),
        ),
        other,
    ),
}
_CONFIG: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(("Hostname", "Domainname", "MacAddress", "WorkingDir", "StopSignal", "StopTimeout"), nothing),
    **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"), nothing),
    **dict.fromkeys(("Env", "Cmd", "Entrypoint", "Shell", "OnBuild", "ArgsEscaped", "Healthcheck"), nothing),
    **dict.fromkeys(("ExposedPorts", "Volumes", "Labels", "NetworkDisabled", "User"), nothing),
    "Image": _image,
    "HostConfig": struct(_HOST),
    "NetworkingConfig": struct({"EndpointsConfig": _endpoints}),
}

read: Final = struct(_CONFIG)
"""Yields what the body of ContainerCreate demands: `read("", body)`."""
